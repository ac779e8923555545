"""`freeze`: the encoder stays to the bit and reads each text once; otherwise the numbers are the same."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file

import xmlkit
from xmlkit.data.joined import joined_means
from xmlkit.model.encoder import Encoder
from xmlkit.model.representation import TokenMean
from xmlkit.training import train as training

SETTINGS = {
    "max_len": 16,
    "batch_size": 16,
    "validation": 0.2,
    "epochs": 2,
    "device": "cpu",
    "precision": "float32",
    "log_every": 1,
    "label_width": 8,
    "cluster_size": 3,
    "shortlist": 2,
    "freeze": True,
}
CORPUS = tiny.learnable_corpus()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XMLKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def texts_read(monkeypatch):
    """How many texts the transformer was given."""
    read, real = [0], Encoder._attention_mask

    def mask(self, mask_BT):
        read[0] += len(mask_BT)
        return real(self, mask_BT)

    monkeypatch.setattr(Encoder, "_attention_mask", mask)
    return read


def run(folder, encoder, corpus=CORPUS, **settings):
    training.train(corpus, {**SETTINGS, "encoder": encoder, **settings}, folder)
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


PATHS = {
    "flat": {"clustered": False},
    "clustered": {"clustered": True},
    "from zero": {"clustered": False, "start": "prior"},
    "with a bag": {"clustered": False, "plugins": ["lexical"], "lexical": {"buckets": 512, "width": 8}},
    "with names": {"clustered": False, "name_documents": "soft"},
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_the_losses_are_those_of_an_encoder_that_is_asked_in_each_step(
    tmp_path, encoder, monkeypatch, texts_read, path
):
    """But for the float16 in which its answers are kept; its weights stay to the bit."""
    corpus = replace(CORPUS, labels=replace(CORPUS.labels, names=[f"w{row} w4" for row in range(10)]))
    known = run(tmp_path / "known", encoder, corpus, **path)
    names = len(CORPUS.labels) * 2 if path.get("name_documents") else len(CORPUS.labels)
    evaluated = 0 if CORPUS.test is None else len(CORPUS.test)
    assert texts_read[0] <= len(CORPUS.train) + names + evaluated + 3  # and what a store is sized by
    monkeypatch.setattr(TokenMean, "reads_states", True)
    asked = run(tmp_path / "asked", encoder, corpus, **path)
    losses = [[line["loss"] for line in lines if "loss" in line] for lines in (known, asked)]
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)
    before = {f"encoder/{name}": w for name, w in tiny.backbone("bert").state_dict().items()}
    for name in ("known", "asked"):
        after = load_file(tmp_path / name / "model.safetensors")
        assert all(torch.equal(after[name], before[name]) for name in after if name.startswith("encoder/"))


def test_a_second_run_reads_no_text_and_opened_it_predicts_as_it_was_trained(tmp_path, encoder, texts_read):
    corpus = xmlkit.Corpus.of(CORPUS.train.texts, [[str(row)] for row in range(len(CORPUS.train))])
    settings = {**SETTINGS, "encoder": encoder, "epochs": 1, "clustered": False}
    training.train(corpus, settings, tmp_path / "a")
    texts_read[0] = 0
    training.train(corpus, {**settings, "seed": 1}, tmp_path / "b")
    assert texts_read[0] == 0
    trainer = training.prepare(CORPUS, {**settings, "seed": 2}, tmp_path / "c")
    trainer.fit()
    held_out = [CORPUS.train.texts[row] for row in trainer.data.validation_rows]
    opened = xmlkit.load(tmp_path / "c").predict(held_out, top_k=10)
    _, ids = trainer.model.eval().rank(trainer.data.reader.documents(trainer.data.validation_rows), 10)
    agree = [
        [p.label for p in found] == [CORPUS.labels.ids[row] for row in rows]
        for found, rows in zip(opened, ids.tolist(), strict=True)
    ]
    assert np.mean(agree) > 0.9  # float16 may turn two that are close


@pytest.mark.parametrize("settings", [{"plugins": ["se"]}, {"pooling": "first"}], ids=["se", "first"])
def test_parts_that_read_states_have_them(tmp_path, encoder, settings):
    log = run(tmp_path / "run", encoder, clustered=False, **settings)
    losses = [line["loss"] for line in log if "loss" in line]
    assert losses[-1] < losses[0]
    assert xmlkit.load(tmp_path / "run").predict(["w1 w2"])


def test_a_run_that_is_gone_on_with_ends_as_an_unbroken_one(tmp_path, encoder):
    settings = {**SETTINGS, "encoder": encoder, "clustered": False, "checkpoint_every": 5}
    training.train(CORPUS, settings, tmp_path / "whole")
    with tiny.killed_before_step(8):
        training.train(CORPUS, settings, tmp_path / "killed")
    training.resume(tmp_path / "killed", CORPUS)
    whole, killed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_two_stores_are_read_as_one():
    first, second = np.arange(10.0).reshape(5, 2), -np.arange(6.0).reshape(3, 2)
    means = joined_means(first.__getitem__, second.__getitem__, 5)
    rows = np.array([6, 0, 4, 7, 5, 1])
    assert means(rows).tolist() == np.concatenate([first, second])[rows].tolist()
    assert joined_means(None, second.__getitem__, 5) is None
