"""What differs on a CUDA device."""

from __future__ import annotations

import json

import pytest
import tiny
import torch

import xmlkit
from xmlkit.training import train as training

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def test_training_and_prediction(tmp_path):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    settings = {
        "encoder": encoder,
        "max_len": 16,
        "batch_size": 16,
        "epochs": 12,
        "lr": 3e-3,
        "head_lr": 1e-2,
    }
    corpus = tiny.learnable_corpus()
    trained = training.train(corpus, {**settings, "pooling": "mean", "validation": 0.2}, tmp_path / "run")
    assert trained.metrics["P@1"] > 80
    model = xmlkit.load(tmp_path / "run")
    assert model.evaluate(corpus.test) == trained.metrics


def test_the_first_loss_is_that_of_the_cpu(tmp_path):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    first = []
    for device in ("cpu", "cuda"):
        settings = {
            "encoder": encoder,
            "device": device,
            "precision": "float32",
            "dropout": 0,
            "max_steps": 1,
        }
        training.train(tiny.learnable_corpus(), {**settings, "max_len": 16}, tmp_path / device)
        first.append(json.loads((tmp_path / device / "log.jsonl").read_text().splitlines()[0])["loss"])
    assert first[0] == pytest.approx(first[1], rel=1e-4)


def test_a_step_does_not_wait_between_upload_and_optimiser():
    device = torch.device("cuda")
    model = tiny.model().train().to(device)
    documents, training_ = tiny.batch(["w1 w2", "w3", ""])
    documents, labels = documents.to(device), training_.labels.to(device)
    rng = torch.Generator(device).manual_seed(0)
    model.backward(model(documents, type(training_)(labels, rng)))  # the first call sets up libraries
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        model.backward(model(documents, type(training_)(labels, rng)))
    finally:
        torch.cuda.set_sync_debug_mode("default")
