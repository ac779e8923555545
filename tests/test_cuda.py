"""What differs on a CUDA device."""

from __future__ import annotations

import json

import pytest
import tiny
import torch

import xmlkit
from xmlkit.training import train as training
from xmlkit.training.optim import clip_gradients
from xmlkit.training.row_optimizers import RowAdamW
from xmlkit.training.rows import row_parameters, unite_rows

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


CLUSTERED = {"clustered": True, "cluster_size": 3, "shortlist": 2, "label_width": 16}


@pytest.mark.parametrize("path", [{}, CLUSTERED], ids=["flat", "clustered"])
def test_training_and_prediction(tmp_path, path):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    settings = {
        "encoder": encoder,
        "max_len": 16,
        "batch_size": 16,
        "epochs": 30,
        "lr": 3e-3,
        "head_lr": 1e-2,
    }
    corpus = tiny.learnable_corpus()
    settings |= {**path, "pooling": "mean", "validation": 0.2}
    trained = training.train(corpus, settings, tmp_path / "run")
    assert trained.metrics["P@1"] > 80
    model = xmlkit.load(tmp_path / "run")
    assert model.evaluate(corpus.test) == trained.metrics


@pytest.mark.parametrize("path", [{}, CLUSTERED], ids=["flat", "clustered"])
def test_the_first_losses_are_those_of_the_cpu(tmp_path, path):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    first = []
    for device in ("cpu", "cuda"):
        settings = {
            "encoder": encoder,
            "device": device,
            "precision": "float32",
            "dropout": 0,
            "max_steps": 3,
            "log_every": 1,
        }
        training.train(tiny.learnable_corpus(), {**settings, **path, "max_len": 16}, tmp_path / device)
        lines = map(json.loads, (tmp_path / device / "log.jsonl").read_text().splitlines())
        first.append([line["loss"] for line in lines if "loss" in line])
    assert first[0] == pytest.approx(first[1], rel=1e-3)


@pytest.mark.parametrize("starts", [None, [0, 4, 8, 12, 16, 20]], ids=["flat", "clustered"])
def test_a_step_does_not_wait_between_upload_and_optimiser(starts):
    device = torch.device("cuda")
    model = tiny.model(starts=starts, shortlist=2).train().to(device)
    documents, training_ = tiny.batch(["w1 w2", "w3", ""])
    documents, labels = documents.to(device), training_.labels.to(device)
    rng = torch.Generator(device).manual_seed(0)
    rows = row_parameters(model)
    optimizers = [RowAdamW([{"params": rows}])] if rows else []

    def step():
        model.backward(model(documents, type(training_)(labels, rng)))
        unite_rows(rows)
        clip_gradients(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad()

    step()  # the first call sets up libraries and moments
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
