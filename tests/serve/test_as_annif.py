"""What Annif's API description (v1) says of projects and suggestions."""

from __future__ import annotations

from datetime import datetime

import pytest
import tiny
from serving import serving
from test_limits import is_problem

LISTED = {f"w{i}" for i in range(7)}


def test_projects(server):
    projects = server.get("/v1/projects").json()["projects"]
    assert [project["project_id"] for project in projects] == ["a-run", "a-run-2"]
    project = server.get("/v1/projects/a-run").json()
    assert project == projects[0] and datetime.fromisoformat(project.pop("modification_time")).tzinfo
    assert project == {
        "project_id": "a-run",
        "name": "a-run",
        "language": "en",
        "backend": {"backend_id": "xmlkit"},
        "vocab": {"vocab_id": "words", "languages": ["en"], "size": 8, "loaded": True},
        "vocab_language": "en",
        "is_trained": True,
    }
    assert is_problem(server.get("/v1/projects/none"), 404)


def test_suggest(server, model):
    allowed = [label for label in model.labels.ids if label in LISTED]
    for text in tiny.texts(5, seed=9):
        form = {"text": text, "limit": "9", "threshold": "0.02", "metadata_title": "x", "project": "y"}
        answer = server.post("/v1/projects/a-run/suggest", data={**form, "language": "en"})
        found = answer.json()["results"]
        expected = [one for one in model.predict([text], 10, 0.02)[0] if one.label in allowed]
        assert answer.headers["content-type"] == "application/json"
        assert [one["uri"] for one in found] == [one.label for one in expected]
        assert [one["label"] for one in found] == [f"word {one.label[1:]}" for one in expected]
        assert [one["score"] for one in found] == pytest.approx([one.score for one in expected], abs=1e-5)
        numbers = [int(one.label[1:]) for one in expected]
        assert [one["notation"] for one in found] == [f"{i}.9" if i % 2 else None for i in numbers]
    assert len(server.post("/v1/projects/a-run/suggest", data={"text": "w1"}).json()["results"]) == 7
    assert server.post("/v1/projects/a-run/suggest", data={"text": "w1", "limit": 0}).json() == {
        "results": []
    }
    assert len(server.post("/v1/projects/a-run/suggest", data={"text": ""}).json()["results"]) == 7


def test_suggest_batch(server):
    texts = tiny.texts(32, seed=10)
    documents = [
        {"text": text, "document_id": f"d{i}", "metadata": {"a": "b"}} for i, text in enumerate(texts)
    ]
    del documents[3]["document_id"]
    answer = server.post("/v1/projects/a-run/suggest-batch?limit=2", json={"documents": documents}).json()
    assert [one["document_id"] for one in answer] == [one.get("document_id") for one in documents]
    for text, found in zip(texts, answer, strict=True):
        alone = server.post("/v1/projects/a-run/suggest", data={"text": text, "limit": 2}).json()["results"]
        assert [one["uri"] for one in found["results"]] == [one["uri"] for one in alone]
        assert set(found["results"][0]) == {"uri", "label", "notation", "score"}
    documents.append({"text": "w1"})
    assert is_problem(server.post("/v1/projects/a-run/suggest-batch", json={"documents": documents}), 400)


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"text": "w1", "limit": "-1"},
        {"text": "w1", "limit": "1.5"},
        {"text": "w1", "limit": "9" * 5_000},
        {"text": "w1", "threshold": "nan"},
        {"text": "w1", "threshold": "2"},
        {"text": "w1", "language": "xx\n"},
        {"text": "w" * 2_001},
        {f"field{i}": "x" for i in range(1_001)},
    ],
)
def test_what_is_refused_is_a_bad_request(server, form):
    assert is_problem(server.post("/v1/projects/a-run/suggest", data=form), 400)


def test_a_form_is_in_utf_8_spelt_out_or_not(server):
    text, form = "w1 Übergröße w2", {"Content-Type": "application/x-www-form-urlencoded"}
    path = "/v1/projects/a-run/suggest"
    expected = server.post(path, data={"text": text}).json()
    for body in (f"text={text}", f"text={text}".replace(" ", "+"), f"limit=3&limit=10&text={text}"):
        assert server.post(path, content=body.encode(), headers=form).json() == expected
    assert server.post(path, content=f"text={text}".encode()).json() == expected
    for body in (f"text={text}".encode("latin-1"), b"text=%e4"):
        assert is_problem(server.post(path, content=body, headers=form), 400)


def test_what_is_no_form_says_what_is_read(server):
    path = "/v1/projects/a-run/suggest"
    for given in ({"json": {"text": "w1"}}, {"files": {"text": (None, "w1")}}):
        answer = server.post(path, **given)
        assert is_problem(answer, 415) and "application/x-www-form-urlencoded" in answer.json()["detail"]


def test_too_large_a_form(server):
    assert is_problem(server.post("/v1/projects/a-run/suggest", data={"text": "ä" * 4_000}), 413)


def test_a_form_is_as_long_as_may_be(run, tmp_path):
    """Of nine bytes a character, as forms write it: more than Starlette takes of a field by itself."""
    with serving(tmp_path / "log", run) as server:
        name = server.get("/v1/projects").json()["projects"][0]["project_id"]
        answer = server.post(f"/v1/projects/{name}/suggest", data={"text": "\u4e2d" * 200_000})
    assert answer.status_code == 200
