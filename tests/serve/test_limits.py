"""What a server takes, what it says of the rest, and how it stops."""

from __future__ import annotations

import json
import re
import resource
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx
import pytest
from commands import xmlkit
from marking import mostly_slow
from pydantic import ValidationError
from serving import Server, serving

from xmlkit.errors import UserError
from xmlkit.serve.limits import Limits
from xmlkit.serve.predicting import Question
from xmlkit.serve.served import opened
from xmlkit.serve.server import Address, serve

LINE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z]+ /\S* \d{3} \d+ ms"
JSON = {"Content-Type": "application/json"}
DEEP = (400, 422)  # Python's own parser gives up, or, since it goes deeper, what it finds is no text
REFUSED = {
    "no JSON": (b'{"texts"', 422),
    "not UTF-8": (b'{"texts": "\xff\xfe"}', 400),
    "deep nesting": (b"[" * 9_000, DEEP),
    "deep in a field": (b'{"texts": ' + b"[" * 9_000 + b"]" * 9_000 + b"}", DEEP),
    "a list": (b"[]", 422),
    "null": (b"null", 422),
    "nothing": (b"", 422),
    "a number as text": (b'{"texts": [1]}', 422),
    "null as text": (b'{"texts": [null]}', 422),
    "half a pair": (rb'{"texts": "\ud800"}', 422),
    "half a pair as a name": (rb'{"texts": "w1", "\ud800\n": 1}', 422),
    "half a pair as a label": (rb'{"texts": "w1", "labels": ["\udfff"]}', 422),
    "half a pair as a model": (rb'{"texts": "w1", "model": "\udfff"}', 422),
    "another model": (b'{"texts": "w1", "model": "\\n<script>\\u001b[2J"}', 404),
    "a field too many": (b'{"texts": "w1", "topk": 3}', 422),
    "NaN": (b'{"texts": "w1", "threshold": NaN}', 422),
    "infinity": (b'{"texts": "w1", "threshold": Infinity}', 422),
    "a threshold above 1": (b'{"texts": "w1", "threshold": 1.01}', 422),
    "no labels": (b'{"texts": "w1", "top_k": 0}', 422),
    "part of a label": (b'{"texts": "w1", "top_k": 1.5}', 422),
    "very many labels": (b'{"texts": "w1", "top_k": 1001}', 422),
    "true as a number": (b'{"texts": "w1", "top_k": true}', 422),
    "a text as a number": (b'{"texts": "w1", "top_k": "5"}', 422),
    "a huge number": (b'{"texts": "w1", "top_k": ' + b"9" * 4_000 + b"}", 422),
    "a huger number": (b'{"texts": "w1", "top_k": ' + b"9" * 5_000 + b"}", 400),
    "nothing allowed": (b'{"texts": "w1", "labels": []}', 422),
    "only unknown labels": (b'{"texts": "w1", "labels": ["x"]}', 404),
    "too many texts": (json.dumps({"texts": ["w1"] * 41}).encode(), 422),
    "too long a text": (json.dumps({"texts": "w" * 2_001}).encode(), 422),
    "too large": (json.dumps({"texts": ["w" * 1_000] * 20}).encode(), 413),
}


def connected(server: Server) -> socket.socket:
    url = httpx.URL(server.url)
    return socket.create_connection((url.host, url.port or 80))


def is_problem(answer: httpx.Response, *statuses: int) -> bool:
    found, status = answer.json(), answer.status_code
    detail = found["detail"]
    assert answer.headers["content-type"] == "application/problem+json" and found["status"] == status
    return status in statuses and bool(detail) and len(detail) <= 500 and detail.isprintable()


@pytest.mark.parametrize("body, status", REFUSED.values(), ids=list(REFUSED))
def test_what_is_refused_is_told_in_one_line(server, body, status):
    statuses = status if isinstance(status, tuple) else (status,)
    assert is_problem(server.post("/predict", content=body, headers=JSON), *statuses)


def test_the_most_that_may_be_asked_is_answered(server):
    found = server.post("/predict", json={"texts": ["w" * 2_000] + ["w1"] * 39, "top_k": 1_000})
    assert found.status_code == 200 and len(found.json()["results"]) == 40


def test_a_body_is_measured_as_it_comes(server):
    answer = server.post("/predict", content=iter([b" " * 10_000] * 3), headers=JSON)  # without its length
    assert is_problem(answer, 413)


def test_json_says_that_it_is(server):
    answer = server.post("/predict", content=b'{"texts": "w1"}', headers={"Content-Type": "text/plain"})
    assert is_problem(answer, 422) and "application/json" in answer.json()["detail"]


def test_no_client_writes_a_line_of_the_log(server):
    forged = "/x%0A2026-01-01 00:00:00 GET /forged 200 1 ms%1b[2J"
    server.get(forged)
    server.get("/predict?a=%0d%0aforged")
    with connected(server) as raw:
        raw.sendall(b"GET /\x1b[2J\nforged HTTP/1.1\r\n\r\n")
        raw.recv(100)
    server.post("/predict", json={"texts": "w1\n2026 forged", "model": "m\nforged"})
    lines = server.log.read_text().splitlines()[1:]
    own = [line for line in lines if not line.startswith("  | ")]
    assert not [
        line for line in own if not re.fullmatch(LINE, line) and not line.endswith("request received.")
    ]
    assert not any(line.startswith("forged") for line in lines) and "\x1b" not in "".join(lines)
    assert "forged" not in server.get("/metrics").text


def test_a_full_queue_says_when_to_come_again(run, tmp_path):
    """Here a model without work waits for texts, so that the queue is as full as it is meant to be."""
    with (
        serving(tmp_path / "log", run, "--queue", 3, "--texts", 3, "--batch", 3, "--wait", 10_000) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        first = pool.submit(server.post, "/predict", json={"texts": ["w1", "w2"]})
        server.wait_for("xmlkit_queued_texts", 2)
        refused = server.post("/predict", json={"texts": ["w3", "w4"]})
        assert is_problem(refused, 503) and int(refused.headers["retry-after"]) >= 1
        assert server.post("/predict", json={"texts": "w5"}).status_code == 200
        assert first.result().status_code == 200


@pytest.mark.parametrize(
    "number",
    mostly_slow((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), (signal.SIGTERM,)),
)
def test_stopping_answers_what_was_taken_and_nothing_more(run, tmp_path, number):
    with (
        serving(tmp_path / "log", run, "--wait", 10_000) as server,
        ThreadPoolExecutor(9) as pool,
        server.client() as late,
    ):
        assert late.get("/healthz").status_code == 200
        taken = [pool.submit(server.post, "/predict", json={"texts": [f"w{i}"] * 2}) for i in range(8)]
        server.wait_for("xmlkit_queued_texts", 16)
        server.process.send_signal(number)
        server.wait_for_line("stopping")
        with suppress(httpx.TransportError):  # where all have their answers, nobody listens any more
            assert is_problem(late.get("/healthz"), 503)
            assert is_problem(late.post("/predict", json={"texts": "w1"}), 503)
        assert [answer.result().status_code for answer in taken] == [200] * 8
        assert server.process.wait(60) == 0
    with pytest.raises(httpx.ConnectError):
        server.get("/healthz")


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="a running process can't be bounded here")
def test_stopping_answers_though_the_log_takes_no_more(run, tmp_path):
    with (
        serving(tmp_path / "log", run, "--wait", 10_000) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        taken = pool.submit(server.post, "/predict", json={"texts": ["w1", "w2"]})
        server.wait_for("xmlkit_queued_texts", 2)
        full = server.log.stat().st_size
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (full, full))
        assert server.stop() == 0 and taken.result().status_code == 200
        assert "stopping" not in server.log.read_text()


@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once(run, tmp_path):
    """A client that does not send what it announces would be waited for."""
    with serving(tmp_path / "log", run) as server, connected(server) as raw:
        raw.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        raw.sendall(b"Content-Length: 9\r\n\r\n")
        assert server.get("/healthz").status_code == 200
        server.process.send_signal(signal.SIGINT)
        server.wait_for_line("stopping: 1 requests")
        assert server.stop(signal.SIGINT) == 130
        assert raw.recv(100).startswith(b"HTTP/1.1 503")
    assert "Traceback" not in server.log.read_text()


def test_who_has_the_token(run, tmp_path):
    with serving(tmp_path / "log", run, XMLKIT_TOKEN="a secret") as server:
        bearer = {"Authorization": "Bearer a secret"}
        for headers in ({}, {"Authorization": "Bearer another"}, {"Authorization": "Basic a secret"}):
            for path in ("/models", "/metrics", "/v1/projects", "/openapi.json", "/none"):
                answer = server.get(path, headers=headers)
                assert is_problem(answer, 401) and answer.headers["www-authenticate"] == "Bearer"
            assert is_problem(server.post("/predict", json={"texts": "w1"}, headers=headers), 401)
        assert server.get("/healthz").status_code == 200
        assert server.get("/models", headers=bearer).status_code == 200
        assert server.post("/predict", json={"texts": "w1"}, headers=bearer).status_code == 200
    assert "secret" not in server.log.read_text()


@pytest.mark.parametrize(
    "options, line",
    [
        (["--texts", "9", "--queue", "8"], "--texts 9: "),
        (["--token", "grün"], "--token: "),
        (["--language", "en"], "--language en: "),
        (["--host", "no.such.host.invalid"], "--host no.such.host.invalid: "),
        (["--host", ".."], "--host ..: "),
        (["--vocab", "words.csv"], "--vocab words.csv: "),
    ],
)
def test_mistakes(run, options, line):
    _, err = xmlkit("serve", run, *options, code=1)
    assert err.startswith(f"error: {line}") and err.count("\n") == 1


def test_a_port_that_is_taken(run):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        _, err = xmlkit("serve", run, "--port", port, code=1)
    assert err.startswith(f"error: --port {port}: ") and err.count("\n") == 1


def test_of_two_that_are_bound_to_a_port_the_later_is_told(run, monkeypatch):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]

        @contextmanager
        def meanwhile(*given):
            with opened(*given) as models:
                other.listen()
                yield models

        monkeypatch.setattr("xmlkit.serve.server.opened", meanwhile)
        with pytest.raises(UserError, match=f"^--port {port}: .*choose another"):
            serve([run], None, None, Limits(), Address(port=port))


def test_who_looks_after_a_machine_may_ask_by_head(server):
    with server.client() as client:
        for path in ("/healthz", "/"):
            answer = client.head(path)
            assert answer.status_code == 200 and not answer.content
            assert answer.headers["content-length"] == client.get(path).headers["content-length"]


def test_a_vocabulary_of_something_else(run, tmp_path):
    (tmp_path / "other.tsv").write_text("x\tanother\n")
    _, err = xmlkit("serve", run, "--port", 0, "--vocab", tmp_path / "other.tsv", code=1)
    assert err.startswith("error: --vocab: ") and err.count("\n") == 1


def test_what_to_install(run, tmp_path):
    (tmp_path / "fastapi.py").write_text("raise ModuleNotFoundError(name='fastapi')")
    _, err = xmlkit("serve", run, code=1, path=tmp_path)
    assert err == "error: serve needs fastapi: pip install 'xmlkit-xmc[serve]'\n"


@pytest.mark.parametrize("name", ["texts", "labels", "without"])
@pytest.mark.parametrize("wrong", [1, "\ud800", None])
def test_one_mistake_is_told_of_many(name, wrong):
    """What describes each of them would take the server's time, and a thousand times the body."""
    with pytest.raises(ValidationError) as error:
        Question.model_validate({"texts": ["w1"], name: ["w2", *[wrong] * 1000]})
    assert error.value.error_count() == 1 and "number 1 is no text" in str(error.value)


def test_one_mistake_is_told_of_many_keys():
    with pytest.raises(ValidationError) as error:
        Question.model_validate({"texts": ["w1"], **{f"key{n}": 1 for n in range(1000)}})
    assert error.value.error_count() == 1
