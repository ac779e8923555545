"""What differs on a CUDA device."""

from __future__ import annotations

import json

import pytest
import tiny
import torch

import xmlkit
from benchmarks.cuda import check_waits, same_as_the_cpu
from xmlkit.discovery import shipped
from xmlkit.testing.tiny import named_corpus
from xmlkit.training import train as training

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
        "head_lr": 4e-2,
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


ROWS = {
    "full": {"row_state": "full"},
    "compact": {},
    "bfloat16": {"row_precision": "bfloat16"},
}


@pytest.mark.parametrize("rows", list(ROWS.values()), ids=list(ROWS))
@pytest.mark.parametrize("path", [{}, CLUSTERED], ids=["flat", "clustered"])
def test_a_step_does_not_wait_between_upload_and_optimiser(tmp_path, path, rows):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    settings = {"encoder": encoder, "max_len": 16, "batch_size": 16, "micro_batch_size": 8, **path, **rows}
    trainer = training.prepare(tiny.learnable_corpus(), settings, tmp_path / "run")
    trainer.model.train()
    steps = [trainer.data.train_rows[i : i + 16] for i in (0, 16)]
    assert all(batch.documents.tokens_BT.is_pinned() for batch in trainer.micro_batches(steps[0]))
    check_waits(trainer, steps)


@pytest.mark.parametrize("rows", list(ROWS.values()), ids=list(ROWS))
def test_each_state_of_the_rows_learns(tmp_path, rows):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    settings = {"encoder": encoder, "max_len": 16, "batch_size": 16, "epochs": 30, "lr": 3e-3}
    settings |= {"head_lr": 4e-2, "pooling": "mean", "validation": 0.2, **CLUSTERED, **rows}
    trained = training.train(tiny.learnable_corpus(), settings, tmp_path / "run")
    assert trained.metrics["P@1"] > 80


SMALL = {"lexical": {"buckets": 1024, "width": 16, "dropout": 0}, "full-head": {"labels_at_once": 5}}
DRAWS = "astec-negatives"  # on the device, whose random numbers are its own


@pytest.mark.parametrize("plugin", shipped())
def test_a_plugin_computes_what_the_cpu_does_and_never_waits(tmp_path, plugin):
    corpus, teacher = named_corpus(), tmp_path / "scores.jsonl"
    scores = [{"label": label, "score": 0.5} for label in corpus.labels.ids[:3]]
    teacher.write_text("".join(json.dumps({"text": t, "labels": scores}) + "\n" for t in corpus.train.texts))
    settings = {"encoder": tiny.save_encoder(tmp_path / "encoder"), "precision": "float32", "dropout": 0}
    settings |= {"max_len": 16, "batch_size": 16, "pooling": "first", "plugins": [plugin]}
    settings[plugin] = {**SMALL, "distil": {"teacher": str(teacher)}}.get(plugin, {})
    if plugin != "full-head":
        settings |= CLUSTERED
    losses = {}
    for device in ("cpu", "cuda"):
        trainer = training.prepare(corpus, {**settings, "device": device}, tmp_path / device)
        steps = [trainer.data.train_rows[i : i + 16] for i in (0, 16, 32, 48)]
        trainer.model.train()
        losses[device] = [float(trainer.step(trainer.micro_batches(rows))["loss"]) for rows in steps[:2]]
        if device == "cuda":
            check_waits(trainer, steps[2:])
    if plugin != DRAWS:
        assert losses["cpu"] == pytest.approx(losses["cuda"], rel=1e-3)


@pytest.mark.filterwarnings("ignore:TensorFloat32")  # advice for those who did not ask for float32
def test_compiled_the_first_losses_are_the_same(tmp_path):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    losses = []
    for compiled in (False, True):
        settings = {"encoder": encoder, "precision": "float32", "dropout": 0, "max_len": 16}
        settings |= {**CLUSTERED, "compile": compiled}
        trainer = training.prepare(tiny.learnable_corpus(), settings, tmp_path / str(compiled))
        rows = trainer.data.train_rows
        steps = [trainer.micro_batches(rows[i : i + 8]) for i in (0, 8, 16)]
        losses.append([float(trainer.step(batches)["loss"]) for batches in steps])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_the_device_computes_what_the_cpu_does_in_float64():
    found = same_as_the_cpu()
    assert found["losses"] < 1e-9 and found["gradients"] < 1e-6
