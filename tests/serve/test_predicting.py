"""What the server says of texts is what the model says, alone and among others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tiny
from tiny import WORDS

from xmlkit.serve.served import ids


def close(found: dict, expected: list) -> bool:
    """The same labels; scores but for the last digits, which depend on who is read beside."""
    labels = found["labels"]
    return [one["label"] for one in labels] == [one.label for one in expected] and np.allclose(
        [one["score"] for one in labels], [one.score for one in expected], atol=1e-5
    )


def test_predict_as_the_model_does(server, model):
    texts = tiny.texts(20, seed=3)
    answer = server.post("/predict", json={"texts": texts, "top_k": 4, "threshold": 0.05})
    assert answer.status_code == 200 and answer.json()["model"] == "a-run"
    results = answer.json()["results"]
    assert len(results) == 20 and all(map(close, results, model.predict(texts, 4, 0.05)))
    one = server.post("/predict", json={"texts": texts[0]}).json()["results"]
    assert len(one) == 1 and close(one[0], model.predict(texts[:1])[0])
    assert server.post("/predict", json={"texts": []}).json()["results"] == []
    as_float = server.post("/predict", json={"texts": texts[0], "top_k": 4.0}).json()["results"]
    assert close(as_float[0], model.predict(texts[:1], 4)[0])


@pytest.mark.parametrize(
    "asked",
    [{"labels": ["w1", "w7", "none"]}, {"without": ["w1"]}, {"labels": ["w1", "w2"], "without": ["w2"]}],
)
def test_only_labels_that_are_allowed(server, model, asked):
    texts = tiny.texts(10, seed=4)
    answer = server.post("/predict", json={"texts": texts, "top_k": 9, **asked}).json()
    allowed = {label for label in model.labels.ids if label in asked.get("labels", model.labels.ids)}
    allowed -= set(asked.get("without", ()))
    allowed_L = np.array([label in allowed for label in model.labels.ids])
    assert all(map(close, answer["results"], model.predict(texts, 9, allowed=allowed_L)))
    assert answer["unknown"] == [label for label in asked.get("labels", ()) if label == "none"]


def test_who_asks_at_once_shares_batches_and_gets_what_each_would_get_alone(server, model):
    texts, before = tiny.texts(64, seed=6), server.figure("xmlkit_batch_texts_count")

    def ask(number: int) -> dict:
        question = {"texts": texts[number], "top_k": 1 + number % 7, "threshold": number % 3 / 10}
        return server.post("/predict", json=question).json()["results"][0]

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(64)))
    for number, one in enumerate(found):
        assert close(one, model.predict([texts[number]], 1 + number % 7, number % 3 / 10)[0])
    assert server.figure("xmlkit_batch_texts_count") - before < 64


def test_models_have_names_of_their_own(server, model):
    listed = server.get("/models").json()["models"]
    assert [one["id"] for one in listed] == ["a-run", "a-run-2"] and listed[0]["labels"] == len(model.labels)
    found = server.post("/predict", json={"texts": WORDS[1], "model": "a-run-2"}).json()
    assert found["model"] == "a-run-2" and close(found["results"][0], model.predict([WORDS[1]])[0])
    assert server.post("/predict", json={"texts": "w1", "model": "another"}).status_code == 404


def test_names_can_stand_in_urls(tmp_path):
    folders = [tmp_path / name for name in ("a/x", "b/x", "x-2", "größe & co", "../..", "%2e%2e", "c/x")]
    found = ids(folders)
    assert len(set(found)) == len(found) and found[:3] == ["x", "x-2", "x-2-2"] and found[3] == "gr-e-co"
    assert all(
        name.strip(".") and set(name) <= set(".-_0123456789abcdefghijklmnopqrstuvwxyz") for name in found
    )


def test_it_describes_itself_and_is_well(server):
    paths = server.get("/openapi.json").json()["paths"]
    assert {"/predict", "/models", "/healthz", "/metrics", "/v1/projects/{project_id}/suggest"} <= set(paths)
    assert server.get("/healthz").json() == {"status": "ok"}


def test_it_describes_all_that_it_refuses(server):
    """What a program knows beforehand: bounds, and the languages that there are."""
    described = server.get("/openapi.json").json()
    schemas = described["components"]["schemas"]
    bounds = {
        "Question": {"minimum": 1, "maximum": 1000},
        "WhyQuestion": {"minimum": 1, "maximum": 20},
    }
    for name, found in bounds.items():
        top_k = schemas[name]["properties"]["top_k"]
        assert found.items() <= top_k.get("anyOf", [top_k])[0].items()
    batch = described["paths"]["/v1/projects/{project_id}/suggest-batch"]["post"]
    (language,) = [one["schema"] for one in batch["parameters"] if one["name"] == "language"]
    assert language["enum"] == ["", "en"]
    for given, status in [("", 200), ("en", 200), ("fi", 400)]:
        asked = {"params": {"language": given}, "json": {"documents": [{"text": "w1"}]}}
        assert server.post("/v1/projects/a-run/suggest-batch", **asked).status_code == status
