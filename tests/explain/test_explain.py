"""Reasons: contributions that sum to the model's own score, falls as predictions have them, votes by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny
import torch
from commands import xmlkit

from xmlkit import load, train
from xmlkit.explain.explain import explain
from xmlkit.explain.occlusion import MOST
from xmlkit.explain.words import widened, windows, words

TEXTS = ["w1 w2 w1 w2 w30", "w5, w4.", "w9 w9 w9 w7", ""]
LEXICAL = {"buckets": 997, "width": 6, "characters": [1, 2]}


@pytest.fixture(scope="module", params=["flat", "clustered"])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained")
    given = {"encoder": tiny.save_encoder(folder / "encoder"), "max_len": 16, "epochs": 3, "device": "cpu"}
    given |= {"lr": 3e-3, "head_lr": 1e-2, "batch_size": 16, "plugins": ["lexical", "neighbours"]}
    given |= {"lexical": LEXICAL, "neighbours": {"nearest": 6}, "pooling": "mean", "validation": 0.0}
    if request.param == "clustered":
        given |= {"clustered": True, "cluster_size": 3, "label_width": 8}
    train(tiny.learnable_corpus(), given, folder / "run")
    return folder / "run"


@pytest.mark.parametrize("text", TEXTS)
def test_what_words_add_is_what_the_bag_brings(run, text):
    """The model's own logits, less those of the same document without the bag, of the same length."""
    model = load(run)
    opened = model.opened
    net = opened.model
    for one in explain(model, text, 3):
        [said] = one.said
        documents, _ = tiny.batch([text], len(model.labels))
        with torch.no_grad():
            vectors = net.vectors(documents)
            x_1D = vectors.rank_BD
            bare_1D = torch.cat([x_1D[:, :-6], torch.zeros(1, 6)], 1)
            head, row = net.head, torch.tensor([model.labels.rows[one.label]])
            u_2D = torch.cat([x_1D, bare_1D]) - head.centre.centre_D
            query_2E = head.project(u_2D / u_2D[:1].norm())
            z, bare = (query_2E @ head.label_vectors_UE(row)[0] + head.label_bias_U(row)).tolist()
        assert said.by_words == pytest.approx(z - bare, abs=1e-4)
        assert said.logit - said.by_votes == pytest.approx(z, abs=1e-4)
        assert sum(word.adds for word in said.words) == pytest.approx(said.by_words, abs=1e-4)
        assert said.by_votes >= 0 and (said.by_votes > 0) == bool(said.documents)
        if net.shortlister.every_label:
            assert one.score == pytest.approx(1 / (1 + np.exp(-said.logit)), abs=1e-4)


@pytest.mark.parametrize("text", TEXTS)
def test_falls_are_those_of_predictions_one_by_one(run, text):
    model = load(run)

    def scores(asked: str) -> dict[str, float]:
        return {p.label: p.score for p in model.predict([asked], len(model.labels))[0]}

    for one in explain(model, text, 3):
        assert (
            [text[f.begin : f.end] for f in one.falls]
            == [f.text for f in one.falls]
            == text.replace(",", "").replace(".", "").split()
        )
        for fall in one.falls:
            without = scores(text[: fall.begin] + text[fall.end :]).get(one.label, 0.0)
            assert fall.fall == pytest.approx(scores(text)[one.label] - without, abs=1e-4)


def test_who_votes_for_a_label_has_it(run):
    model = load(run)
    found = [near for one in explain(model, "w1 w2 w3", 5) for near in one.said[0].documents]
    assert found
    for one in explain(model, "w1 w2 w3", 5):
        near = one.said[0].documents
        assert all(one.name in document.labels and -1 <= document.likeness <= 1 for document in near)
        assert sum(document.share for document in near) <= 1 + 1e-5


def test_the_command(run):
    out, _ = xmlkit("explain", run, "w1 w2 w3", "--top-k", 2)
    assert "words add to it:" in out and "votes for it" in out and "the logit is" in out
    out, _ = xmlkit("explain", run, "--format", "json", "--top-k", 2, stdin="w1 w2 w3\n")
    found = json.loads(out)["labels"]
    assert [one["label"] for one in found] == [p.label for p in load(run).predict(["w1 w2 w3\n"], 2)[0]]
    assert {"falls", "said"} <= found[0].keys() and len(found[0]["falls"]) == 3
    _, err = xmlkit("explain", run / "nothing", "w1", code=1)
    assert "is not a run" in err
    _, err = xmlkit("explain", run, run / "config.json", code=1)
    assert f"config.json is a file; for the text in it: xmlkit explain {run} < " in err
    out, _ = xmlkit("explain", run, "w1 " * 2000, "--top-k", 1)  # longer than a name of a file can be
    assert out


def test_words_and_runs_of_them():
    text = "The cat's tail, it-self"
    assert [text[b:e] for b, e in words(text)] == ["The", "cat's", "tail", "it-self"]
    assert windows(words(text), 4) == words(text) and windows(words(text), 2) == [(0, 9), (10, 23)]
    assert windows([], 4) == []
    long = " ".join(["word"] * 1000)
    assert len(windows(words(long), MOST)) <= MOST
    assert widened(words(text), 5, 12) == (4, 14) and widened(words(text), 14, 15) == (14, 15)
