"""Reasons of ensembles: what members add is the whole's own logit; what falls is what they say without."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import tiny
from commands import xmlkit

from xmlkit import ensemble, load, train
from xmlkit.blend.kinds.neighbours import EPS
from xmlkit.explain.explain import explain
from xmlkit.testing.tiny import named_corpus

TEXTS = ["w1 w2 w3", "w9, w4", ""]
SETTINGS = {"max_len": 16, "batch_size": 16, "validation": 0.3, "epochs": 2, "lr": 1e-3, "device": "cpu"}


@pytest.fixture(scope="module", params=["fitted", "summed"])
def made(request, tmp_path_factory):
    """A run that has a bag, neighbours or a linear tree, and a system that answers the corpus alone."""
    folder, corpus = tmp_path_factory.mktemp("ensemble"), named_corpus()
    encoder = tiny.save_encoder(folder / "encoder")
    lexical = {"plugins": ["lexical"], "lexical": {"buckets": 997, "width": 6, "characters": [1, 2]}}
    train(corpus, {**SETTINGS, **lexical, "pooling": "mean", "encoder": encoder}, folder / "a run")
    with (folder / "scores.jsonl").open("w") as file:
        for row, text in enumerate(corpus.train.texts):
            labels = [
                {"label": corpus.labels.ids[label], "score": 0.7} for label in corpus.train.labels[row][:1]
            ]
            print(json.dumps({"text": text, "labels": labels}), file=file)
    summed = request.param == "summed"
    other = "linear" if summed else f"neighbours:{folder / 'a run'}"
    members = [str(folder / "a run"), other, f"scores:{folder / 'scores.jsonl'}"]
    return ensemble(members, corpus, folder / "whole", summed=summed).folder


def looked_up() -> str:
    return named_corpus().train.texts[3]


@pytest.mark.parametrize("text", [*TEXTS, looked_up()])
def test_what_members_add_is_the_wholes_own_logit(made, text):
    model = load(made)
    z_1K, ids_1K = model.logits([text], 50)
    z_of = dict(zip(ids_1K[0].tolist(), z_1K[0].tolist()))
    found = explain(model, text, 4)
    assert [(one.label, one.score) for one in found] == [
        (best.label, best.score) for best in model.predict([text], 4)[0]
    ]
    for one in found:
        summed = model.whole.described.fusion == "sum"
        assert (one.rest is None) == summed
        whole = sum(said.adds for said in one.said) + (one.rest or 0.0)
        if summed:
            whole = np.log(whole / (1 - whole))
        assert whole == pytest.approx(z_of[model.labels.rows[one.label]], abs=1e-4)
        assert [said.member for said in one.said] == [name for name, _ in model.members]


@pytest.mark.parametrize("text", [*TEXTS, looked_up()])
def test_what_falls_is_what_members_say_without_a_word(made, text):
    """Asked one by one; who looks texts up says what it says of the text, and does not fall."""
    model = load(made)
    whole = model.whole

    def numbers(asked, label):
        said = [m.candidates([text if m.looks_texts_up else asked], 50) for m in whole.members]
        pairs, z_V = whole.fusion.read(said, whole.seen_L)
        at = np.flatnonzero(pairs.labels_V == model.labels.rows[label])
        return (whole.calibration(z_V)[at].sum(), *whole.fusion.adds_VF(pairs)[at].sum(0))

    for one in explain(model, text, 3):
        before = numbers(text, one.label)
        assert one.said[-1].silent and one.said[-1].falls == ()
        for place, falls in enumerate([one.falls, one.said[0].falls, one.said[1].falls]):
            assert len(falls) == len(text.split())
            for fall in falls:
                after = numbers(text[: fall.begin] + text[fall.end :], one.label)
                assert fall.fall == pytest.approx(before[place] - after[place], abs=1e-4)
    if text == looked_up():
        assert max(one.said[-1].adds for one in explain(model, text, 3)) > 0


def test_each_member_is_asked_for_what_it_knows(made):
    model = load(made)
    for one in explain(model, "w1 w2 w3", 3):
        run, other, _ = one.said
        assert sum(word.adds for word in run.words) == pytest.approx(run.by_words, abs=1e-4)
        if model.whole.described.fusion == "fitted":
            said = model.whole.members[1].candidates(["w1 w2 w3"], 50)
            at = np.flatnonzero(said.ids_NK[0] == model.labels.rows[one.label])
            assert all(one.name in near.labels for near in other.documents)
            votes = sum(near.share for near in other.documents)
            assert np.log(votes + EPS) == pytest.approx(
                said.evidence_NK[0, at].sum() if len(at) else np.log(EPS)
            )


def test_the_command(made):
    out, _ = xmlkit("explain", made, looked_up(), "--top-k", 2)
    assert "a run adds " in out and "it looks whole texts up" in out and "the logit of " in out
    assert ("how frequent it is" in out) == (load(made).whole.described.fusion == "fitted")
    told = re.findall(r"(?:adds|add|together) ([+-][\d.]+)(?:, of which calibration makes ([\d.]+))?", out)
    parts = [float(number) for number, _ in told]
    whole = [at for at, (_, score) in enumerate(told) if score]
    assert len(whole) == 2 and [told[at][1] for at in whole] == re.findall(
        r"^ +(\d\.\d{3})  ", out, re.MULTILINE
    )
    begin = 0
    for at in whole:
        assert sum(parts[begin:at]) == pytest.approx(parts[at], abs=0.005 * (at - begin + 1))
        begin = at + 1
    out, _ = xmlkit("explain", made, looked_up(), "--top-k", 2, "--format", "json")
    [first, _] = json.loads(out)["labels"]
    assert len(first["said"]) == 3 and {"adds", "falls", "silent", "documents"} <= first["said"][0].keys()
