"""All four at once: in every order, saved and opened in another process, resumed to the bit."""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest
import tiny
import torch
from marking import mostly_slow
from safetensors.torch import load_file

import xmlkit
from xmlkit.model.tensor_file import load_tensors, save_tensors
from xmlkit.passing import Training
from xmlkit.training import train as training
from xmlkit.training.optim import clip_gradients
from xmlkit.training.rows import row_parameters, unite_rows

TEXTS = ["w1 w2 w3", "w9", "", "w5 w4 w40 w41 w7"]
ALL = ("se", "loss-fix", "astec-negatives", "combination")
# Each option of each plugin in at least one row; the first is all defaults.
ROWS = [
    {},
    {
        "se": {"squeeze": "max", "activation": "linear", "expand": 3, "reduction": 4},
        "loss-fix": {"mode": "upstream"},
        "astec-negatives": {"unit": "clusters", "count": 2},
        "combination": {"where": "classifier", "tokens": "mean", "likely": 2, "neighbours": 3, "width": 8},
    },
    {
        "se": {"squeeze": "mean", "learning_rate": 1e-4},
        "loss-fix": {"mode": "uncertainty", "learning_rate": 1e-3},
        "astec-negatives": {"fraction": 0.2},
        "combination": {"where": "labels", "text": False, "learning_rate": 1e-3},
    },
    {
        "se": {"per_element": True, "element_width": 8},
        "loss-fix": {"mode": "gradnorm", "alpha": 0.5},
        "combination": {"where": "labels", "cooccurrence": False},
    },
    {"loss-fix": {"mode": "fixed", "generator": 0.5, "ranker": 2.0}, "combination": {"cooccurrence": False}},
    {"loss-fix": {"mode": "doubled"}, "se": {"reduction": 3}, "astec-negatives": {"count": 1}},
]
SMALL = {
    "max_len": 16,
    "batch_size": 16,
    "validation": 0.2,
    "log_every": 1,
    "device": "cpu",
    "pooling": "first",
}
CLUSTERED = {**SMALL, "clustered": True, "cluster_size": 3, "shortlist": 2, "label_width": 16}


def named_corpus():
    """Labels with names, so that there is label text."""
    corpus = tiny.learnable_corpus()
    labels = type(corpus.labels)(corpus.labels.ids, [f"{label} w40" for label in corpus.labels.ids])
    return type(corpus)(corpus.name, labels, corpus.train, corpus.test)


@pytest.mark.parametrize("starts", [range(0, 90, 3), None], ids=["clustered", "flat"])
@pytest.mark.parametrize("order", mostly_slow(permutations(ALL), (ALL, ALL[::-1], (*ALL[2:], *ALL[:2]))))
def test_every_order_trains_and_is_saved_under_the_same_names(order, starts):
    ours = tiny.model(90, plugins=order, starts=starts, shortlist=4, label_width=16, start="random").train()
    documents, training_ = tiny.batch(TEXTS, 90, seed=2)
    ours.backward(ours(documents, training_))
    unite_rows(row_parameters(ours))
    clip_gradients(ours.parameters(), 1.0)
    assert all(torch.isfinite(p.grad).all() for p in ours.parameters() if p.grad is not None)
    rows = [p.row_gradient for p in row_parameters(ours) if p.row_gradient is not None]
    assert all(torch.isfinite(gradient.squared_norms_U()).all() for gradient in rows)
    other = tiny.model(90, plugins=ALL, starts=starts, shortlist=4, label_width=16, start="random")
    assert ours.weights().keys() == other.weights().keys()


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_a_step_with_all_plugins_never_asks_the_device(row):
    ours = tiny.model(
        90,
        plugins=ALL,
        options=ROWS[row],
        starts=range(0, 90, 3),
        shortlist=4,
        label_width=16,
        names=torch.zeros(90, 32),
    )
    ours.train().to("meta")
    documents, training_ = tiny.batch(TEXTS, 90, seed=2)
    meta = torch.device("meta")
    ours.backward(
        ours(documents.to(meta), Training(training_.labels.to(meta), None, training_.rows_B.to(meta)))
    )
    assert ours.report()


@pytest.mark.parametrize("row", mostly_slow(range(len(ROWS)), (0, 3)))
def test_saved_and_opened_in_a_new_process_predictions_are_identical(tmp_path, row):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    settings = {"encoder": encoder, **CLUSTERED, "plugins": list(ALL), **ROWS[row], "max_steps": 4}
    trained = training.train(named_corpus(), settings, tmp_path / "run")
    assert trained.outcome == "finished"
    texts = tiny.texts(20, seed=1)
    here = xmlkit.load(tmp_path / "run").predict(texts)
    expected = [[[p.label, p.score.hex()] for p in found] for found in here]
    assert tiny.predicted_in_a_new_process(tmp_path / "run", texts) == expected


@pytest.mark.parametrize("row", mostly_slow(range(len(ROWS)), (0,)))
def test_a_kill_in_an_epoch_and_resume_give_the_unbroken_weights(tmp_path, row):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    settings = {"encoder": encoder, **CLUSTERED, "plugins": list(ALL), **ROWS[row]}
    settings |= {"epochs": 1, "checkpoint_every": 3, "micro_batch_size": 5}
    corpus = named_corpus()
    training.train(corpus, settings, tmp_path / "whole")
    with tiny.killed_before_step(5):
        training.train(corpus, settings, tmp_path / "killed")
    training.resume(tmp_path / "killed", corpus)
    whole, broken = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert whole.keys() == broken.keys()
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_label_names_are_encoded_by_the_start_that_a_run_takes(tmp_path):
    """`--init-from`: the encoder has the start's weights when it reads the names."""
    encoder = tiny.save_encoder(tmp_path / "encoder")
    settings = {"encoder": encoder, **CLUSTERED, "plugins": ["combination"]}
    settings |= {"combination": {"where": "labels"}, "max_steps": 1}
    corpus = named_corpus()
    base = {**CLUSTERED, "encoder": encoder}
    start = training.store_start(corpus, base, tmp_path / "start")
    weights, note = load_tensors(start / "model.safetensors")
    shaken = {name: t * 1.5 if name.startswith("encoder/") else t for name, t in weights.items()}
    save_tensors(start / "model.safetensors", shaken, note)
    names = []
    for number in range(2):
        torch.manual_seed(number)
        trainer = training.prepare(corpus, settings, tmp_path / f"run-{number}", start)
        names.append(trainer.model.head.names_LH)
    plain = training.prepare(corpus, settings, tmp_path / "plain").model.head.names_LH
    assert torch.equal(*names) and not torch.allclose(names[0], plain)


def test_of_a_run_that_failed_nothing_is_said_at_the_end(tmp_path, capsys):
    settings = {"encoder": tiny.save_encoder(tmp_path / "encoder"), **CLUSTERED, "plugins": list(ALL)}
    with tiny.killed_before_step(2):
        training.train(named_corpus(), settings, tmp_path / "run")
    assert "moved by" not in capsys.readouterr().err


def test_figures_in_the_log_and_what_is_said_at_the_end(tmp_path, capsys):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    settings = {"encoder": encoder, **CLUSTERED, "plugins": list(ALL), "epochs": 1}
    training.train(named_corpus(), settings, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    for line in steps:
        assert line["se/deviation"] >= 0 and line["loss-fix/norm/ranker"] >= 0
        assert abs(line["combination/rank/alpha"] - 1) < 0.5 and line["combination/rank/gamma"] >= 0
        assert 0 < line["se/gate/1"] < 1
        assert line["loss-fix/cosine"] is None or -1.001 <= line["loss-fix/cosine"] <= 1.001
    err = " ".join(capsys.readouterr().err.split())
    # Both optimisers of `split` step what stands before the ranker: the rates count twice there.
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    factors = [line["lr"] / config["lr"] for line in steps]
    assert "alpha moved by" in err and "its learning rates sum to" in err
    sums = {float(piece.split()[0].rstrip(":")) for piece in err.split("its learning rates sum to ")[1:]}
    once = config["head_lr"] * sum(factors)
    assert all(np.isclose(total, 2 * once, rtol=0.25) for total in sums)
