"""`--budget`: what a trial says, what is chosen by it, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import tiny

from xmlkit.console import in_words
from xmlkit.errors import UserError
from xmlkit.training import budget
from xmlkit.training import train as training
from xmlkit.training.assemble import held_out
from xmlkit.training.budget import NAME, Budget, Pace, plan_for, seconds_in
from xmlkit.training.checked import check

SETTINGS = {"max_len": 16, "batch_size": 16, "validation": 0.2, "device": "cpu", "precision": "float32"}
CORPUS = tiny.learnable_corpus()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.mark.parametrize(("given", "seconds"), [("90s", 90), ("30m", 1800), (" 1.5h", 5400)])
def test_times(given, seconds):
    assert seconds_in(given) == seconds


@pytest.mark.parametrize("given", ["", "30", "m", "0m", "-1h", "1d", "1h30m"])
def test_what_is_no_time_is_one_line(given):
    with pytest.raises(UserError, match="expected a time such as 90s, 30m or"):
        seconds_in(given)


@pytest.mark.parametrize(("seconds", "words"), [(12.4, "12 s"), (1234, "21 min"), (9000, "2.5 h")])
def test_in_words(seconds, words):
    assert in_words(seconds) == words


def paces(monkeypatch, **by_freeze):
    """As trials would find them: a document read in 0.1 s, learnt from in a second; frozen in a tenth; half
    a second for a checkpoint. They take no time themselves."""
    tried = []

    def pace(corpus, settings):
        tried.append((settings.get("freeze", False), settings.get("max_len")))
        return Pace(0.1, 0.1 if settings.get("freeze") else 1.0, np.array([100, 20, 30]), saved=0.5)

    monkeypatch.setattr(budget, "_pace", pace)
    monkeypatch.setattr(Budget, "_spent", 0.0)
    return tried


def test_the_best_that_fits_is_chosen(monkeypatch, encoder):
    tried = paces(monkeypatch)
    settings = {"batch_size": 16, "validation": 0.2, "device": "cpu", "encoder": encoder}
    apart = int(held_out(CORPUS, check(CORPUS, settings, None).config).sum())
    documents, tested = len(CORPUS.train) - apart, len(CORPUS.test)
    steps = -(-documents // 16)
    begun = documents  # of a warm start: 10 labels of 32 documents at least would be more

    names = len(CORPUS.labels) * NAME / 50  # of 50 tokens, the mean of a document

    def seconds(epochs):
        evaluated = epochs * (steps * 16 * 1.0 + apart * 0.1 + 0.5)  # and a checkpoint with each evaluation
        return (begun + names + tested) * 0.1 + 0.5 + evaluated

    for epochs in (3, 2, 1):
        plan = plan_for(CORPUS, settings, Budget(f"{seconds(epochs) / 0.9 + 1}s"))
        assert plan.settings == ({} if epochs == 3 else {"epochs": epochs})
        assert plan.seconds == pytest.approx(seconds(epochs))
    # 150 tokens of three documents; in windows of 64 and 32 there are 114 and 82: each saves a fifth.
    assert set(tried) == {(False, None)}
    plan = plan_for(CORPUS, settings, Budget(f"{seconds(1) / 0.9 - 2}s"))
    assert plan.settings == {"freeze": True, "epochs": 4, "dropout": 0.2}
    assert (False, 64) in tried and (False, 32) in tried
    frozen = (len(CORPUS.train) + names + tested) * 0.1 + 0.5 + 4 * (steps * 16 * 0.1 + apart * 0.1 + 0.5)
    assert plan.seconds == pytest.approx(frozen)
    plan = plan_for(CORPUS, settings, Budget(f"{frozen / 0.9 - 2}s"))
    assert plan.settings == {"epochs": 0}
    with pytest.raises(UserError, match=r"--budget 5s: the least takes longer here \(epochs=0: about"):
        plan_for(CORPUS, settings, Budget("5s"))


def test_what_is_given_is_left_alone(monkeypatch, encoder):
    paces(monkeypatch)
    settings = {**SETTINGS, "encoder": encoder, "epochs": 5, "freeze": False}
    with pytest.raises(UserError, match=r"the least takes longer here \(as it is: about"):
        plan_for(CORPUS, settings, Budget("1s"))


def test_a_trial_leaves_nothing_behind(tmp_path, encoder, monkeypatch, capsys):
    """No file in the cache, no line but the plan's, and the very losses of a training without it."""
    monkeypatch.setenv("XMLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    settings = {
        **SETTINGS,
        "encoder": encoder,
        "log_every": 1,
        "plugins": ["lexical"],
        "lexical": {"width": 8},
    }
    before = set(os.listdir(tmp_path))
    for freeze in (False, True):
        plan = plan_for(CORPUS, {**settings, "freeze": freeze}, Budget("9h"))
        assert plan.settings == {} and 0 < plan.seconds < 3600
    said = capsys.readouterr().err
    assert said.count("\n") == 2 and said.startswith("budget 9h: as it is: about ")
    assert set(os.listdir(tmp_path)) == before
    losses = []
    for name in ("after", "without"):
        if name == "without":
            monkeypatch.setattr(budget, "_pace", None)
        else:
            plan_for(CORPUS, settings, Budget("9h"))
        training.train(CORPUS, {**settings, "max_steps": 3}, tmp_path / name)
        lines = (tmp_path / name / "log.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines if '"loss"' in line])
    assert losses[0] == losses[1] and len(losses[0]) == 3
