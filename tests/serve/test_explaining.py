"""POST /explain: what `explain` says of a text, within limits, and never in the way of predictions."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from pydantic import ValidationError
from serving import serving
from test_limits import JSON, is_problem

from xmlkit import load
from xmlkit.explain.explain import explain
from xmlkit.serve.explaining import DOCUMENTS, WORDS, WhyQuestion, without_folders
from xmlkit.serve.limits import Limits

TEXT = "w1 w2, w3 w1"


@pytest.mark.parametrize("number", [0, 1])
def test_it_says_what_explain_says(telling, telling_server, number):
    model, name = load(telling[number]), telling[number].name
    answer = telling_server.post("/explain", json={"text": TEXT, "model": name, "top_k": 3})
    assert answer.status_code == 200 and answer.json()["model"] == name and answer.json()["unknown"] == []
    found, expected = answer.json()["labels"], explain(model, TEXT, 3)
    assert [(one["label"], one["name"]) for one in found] == [(one.label, one.name) for one in expected]
    assert [one["score"] for one in found] == pytest.approx([one.score for one in expected], abs=1e-5)
    for one, reasons in zip(found, expected, strict=True):
        why = one["why"]
        assert [TEXT[fall["begin"] : fall["end"]] for fall in why["falls"]] == ["w1", "w2", "w3", "w1"]
        assert np.allclose([f["fall"] for f in why["falls"]], [f.fall for f in reasons.falls], atol=1e-4)
        assert (why["rest"] is None) == (number == 0) and len(why["parts"]) == len(reasons.said)
        for part, said in zip(why["parts"], reasons.said, strict=True):
            assert part["member"] == without_folders(said.member) and "/" not in part["member"]
            assert part["words"] == [
                {"text": word.text, "adds": pytest.approx(word.adds, abs=1e-4)} for word in said.words[:WORDS]
            ]
            near = said.documents[:DOCUMENTS]
            assert [vote["place"] for vote in part["documents"]] == [one.place for one in near]
            assert all(one["name"] in vote["labels"] for vote in part["documents"])
    if number == 0:
        assert found[0]["why"]["parts"][0]["words"] and any(
            one["why"]["parts"][0]["documents"] for one in found
        )


def test_labels_may_be_named(telling, telling_server):
    asked = {"text": TEXT, "labels": ["w9", "w1", "none", "w9"]}
    answer = telling_server.post("/explain", json=asked).json()
    allowed_L = np.array([label in ("w1", "w9") for label in load(telling[0]).labels.ids])
    expected = load(telling[0]).predict([TEXT], 2, allowed=allowed_L)[0]
    assert [one["label"] for one in answer["labels"]] == [one.label for one in expected]
    assert {one.label for one in expected} == {"w1", "w9"} and answer["unknown"] == ["none"]
    asked["top_k"] = 1
    assert len(telling_server.post("/explain", json=asked).json()["labels"]) == 1


def test_a_text_without_words(telling_server):
    for text in ("", "...", "\n"):
        for model in ("rich", "blend"):
            found = telling_server.post("/explain", json={"text": text, "model": model}).json()["labels"]
            assert len(found) == 5 and all(one["why"]["falls"] == [] for one in found)


REFUSED = {
    "no text": (b"{}", 422),
    "several": (b'{"text": ["w1"]}', 422),
    "half a pair": (rb'{"text": "\ud800"}', 422),
    "another model": (b'{"text": "w1", "model": "\\n<script>"}', 404),
    "a field too many": (b'{"text": "w1", "threshold": 0.1}', 422),
    "many fields": (b'{"text": "w1"' + b"".join(b',"%d":0' % key for key in range(32)) + b"}", 422),
    "no labels": (b'{"text": "w1", "top_k": 0}', 422),
    "very many labels": (b'{"text": "w1", "top_k": 21}', 422),
    "only unknown labels": (b'{"text": "w1", "labels": ["x"]}', 404),
    "too long": (b'{"text": "' + b"w" * 2_001 + b'"}', 422),
    "no JSON": (b'{"text"', 422),
    "too many named": (
        b'{"text": "w1", "labels": [' + b",".join(b'"w%d"' % n for n in range(21)) + b"]}",
        422,
    ),
}


@pytest.mark.parametrize("body, status", REFUSED.values(), ids=list(REFUSED))
def test_what_is_refused_is_told_in_one_line(telling_server, body, status):
    assert is_problem(telling_server.post("/explain", content=body, headers=JSON), status)


def test_where_json_ends_is_told(telling_server):
    answer = telling_server.post("/explain", content=b'{"text": "w1"', headers=JSON)
    assert answer.json()["detail"] == "the body is no JSON: Expecting ',' delimiter, at character 13"


def test_it_is_described(telling_server):
    described = telling_server.get("/openapi.json").json()
    [route] = described["paths"]["/explain"].values()
    assert {"200", "401", "404", "413", "422", "503"} <= route["responses"].keys()
    parts = described["components"]["schemas"]
    for name in ("Part", "Loss", "Vote"):
        told = parts[name]["properties"].items()
        assert parts[name]["description"] and [key for key, one in told if "description" in one]


def test_as_many_as_may_wait_and_who_leaves_makes_room(telling, tmp_path):
    """Here the model waits for texts of predictions, and explanations wait for it."""
    most = Limits().explanations
    with (
        serving(tmp_path / "log", telling[0], "--wait", 10_000, "--batch", 2) as server,
        ThreadPoolExecutor(most + 1) as pool,
    ):
        first = pool.submit(server.post, "/predict", json={"texts": "w1"})
        server.wait_for("xmlkit_queued_texts", 1)
        waiting = [pool.submit(server.post, "/explain", json={"text": TEXT}) for _ in range(most - 1)]
        server.wait_for("xmlkit_queued_explanations", most - 1)
        with server.client() as client, pytest.raises(httpx.ReadTimeout):
            client.post("/explain", json={"text": TEXT}, timeout=0.2)
        while server.figure("xmlkit_queued_explanations") != most - 1:
            time.sleep(0.02)
        waiting.append(pool.submit(server.post, "/explain", json={"text": TEXT}))
        server.wait_for("xmlkit_queued_explanations", most)
        refused = server.post("/explain", json={"text": TEXT})
        assert is_problem(refused, 503) and int(refused.headers["retry-after"]) >= 1
        assert server.post("/predict", json={"texts": "w2"}).status_code == 200
        assert first.result().status_code == 200
        assert [one.result().status_code for one in waiting] == [200] * most
        assert server.figure("xmlkit_queued_explanations") == 0


@pytest.mark.slow
def test_what_is_explained_when_the_server_stops_is_answered(telling, tmp_path):
    with serving(tmp_path / "log", telling[0]) as server, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(server.post, "/explain", json={"text": " ".join(["w1"] * 64)}) for _ in range(4)]
        server.wait_for("xmlkit_queued_explanations", 1)
        assert server.stop() == 0
        statuses = {one.result().status_code for one in asked if not one.exception()}
    assert statuses <= {200, 503} and 200 in statuses


def test_one_mistake_is_told_of_many():
    with pytest.raises(ValidationError) as error:
        WhyQuestion.model_validate({"text": "w1", "labels": ["w2", *[1] * 1000]})
    assert error.value.error_count() == 1 and "number 1 is no text" in str(error.value)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("linear", "linear"),
        ("/home/me/runs/one", "one"),
        ("neighbours:/home/me/runs/one/", "neighbours:one"),
        ("scores:scores.jsonl", "scores:scores.jsonl"),
        ("/home/me/2026-11-28T10:30/warm", "warm"),
        ("neighbours:/home/me/2026-11-28T10:30/warm", "neighbours:warm"),
        ("2026-11-28T10:30/warm", "warm"),
        ("C:\\Users\\me\\one", "one"),
    ],
)
def test_names_of_members_tell_nothing_of_a_machine(name, expected):
    assert without_folders(name) == expected


def test_predictions_go_between(telling_server):
    """While texts are explained one after the other, predictions are answered."""
    ended = threading.Event()

    def explain_on() -> int:
        count = 0
        while not ended.is_set():
            assert (
                telling_server.post("/explain", json={"text": " ".join(["w1 w2"] * 100)}).status_code == 200
            )
            count += 1
        return count

    with ThreadPoolExecutor(2) as pool:
        explaining = [pool.submit(explain_on) for _ in range(2)]
        try:
            for number in range(20):
                answer = telling_server.post("/predict", json={"texts": f"w{number}"})
                assert answer.status_code == 200
        finally:
            ended.set()
        assert all(one.result() for one in explaining)
