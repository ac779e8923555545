"""An encoder of which each rank has a part of every weight; its numbers are also in test_same_numbers.py."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from ranks_here import on_ranks

from xmlkit.config import resolve
from xmlkit.distributed import collectives
from xmlkit.distributed.part import own_part
from xmlkit.inference.predict import load_run
from xmlkit.model.folder import WEIGHTS, save_weights
from xmlkit.model.sharded import Sharded, shard_encoder
from xmlkit.model.split import split_over_ranks
from xmlkit.model.tensor_file import load_tensors
from xmlkit.tables import shares_of
from xmlkit.testing.tiny import SETTINGS, losses_of, named_corpus
from xmlkit.training import train as training
from xmlkit.training.checkpoint import CHECKPOINT
from xmlkit.training.trainer import Trainer

BAG = {"dropout": 0.0, "buckets": 64, "width": 8, "min_documents": 1}
CONFIG: dict[str, Any] = {
    **{**SETTINGS, "shard_encoder": True, "precision": "float32", "dropout": 0.0, "start": "random"},
    **{"batch_size": 12, "micro_batch_size": 2, "clip": 0.5, "swa_start": 0.0, "swa_every": 1},
    **{"max_steps": 4, "eval_every": 4, "checkpoint_every": 1, "validation": 0.1, "clustered": True},
    **{"plugins": ["lexical", "label-text"], "lexical": BAG, "label-text": {"refresh": 3}},
}


def prepared(folder: Path, encoder: str, **settings: Any) -> Trainer:
    return training.prepare(named_corpus(), {**CONFIG, "encoder": encoder, **settings}, folder)


# -------------------------------------------------------------------------------- a run, whoever trains it


def trained(folder: Path, encoder: str, steps: int | None) -> None:
    """A run in float64, broken off before so many steps; one that is there is gone on with."""
    corpus, real = named_corpus(), training.make_ready
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "make_ready", lambda model, *rest: real(model, *rest).double())
        if folder.exists():
            training.resume(folder, corpus)
        elif steps is None:
            training.train(corpus, {**CONFIG, "encoder": encoder}, folder)
        else:
            with tiny.killed_before_step(steps):
                training.train(corpus, {**CONFIG, "encoder": encoder}, folder)


@pytest.mark.slow
def test_another_number_of_ranks_goes_on_to_the_same_numbers(tmp_path):
    """With micro-batches, a clipped gradient and averaged weights, and a plugin that calls the encoder.

    What two have saved is whole.
    """
    encoder = tiny.save_encoder(tmp_path / "encoder")
    trained(tmp_path / "unbroken", encoder, None)
    on_ranks(2, trained, tmp_path / "run", encoder, 2)
    saved, _ = load_tensors(tmp_path / "run" / CHECKPOINT)
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    trained(tmp_path / "run", encoder, None)
    on_ranks(3, trained, tmp_path / "other", encoder, None)
    weights, texts = load_tensors(tmp_path / "unbroken" / WEIGHTS)[0], tiny.texts(20, seed=1)
    assert {name: saved[f"model/{name}"].shape for name in weights} == {
        n: w.shape for n, w in weights.items()
    }
    answers = load_run(tmp_path / "unbroken").predict(texts)
    for name in ("run", "other"):
        ours, theirs = losses_of(tmp_path / name), losses_of(tmp_path / "unbroken")
        for own, expected in zip(ours, theirs, strict=True):
            assert own == pytest.approx(expected, rel=1e-9)
        found = load_tensors(tmp_path / name / WEIGHTS)[0]
        assert found.keys() == weights.keys()
        for key, value in weights.items():
            np.testing.assert_allclose(found[key], value, rtol=1e-7, atol=1e-10, err_msg=key)
        for own, expected in zip(load_run(tmp_path / name).predict(texts), answers, strict=True):
            assert [best.label for best in own] == [best.label for best in expected]


# -------------------------------------------------------------------------------------- what each rank has


def held(folder: Path, encoder: str) -> dict[str, list[int]]:
    """Numbers of the encoder's weights, their moments and their average that are here, and all of them."""
    trainer = prepared(folder, encoder)
    trainer.step(trainer.micro_batches(trainer.data.train_rows[:12]))
    assert trainer.averaged is not None
    trainer.averaged.update_parameters(trainer.model)
    documents = trainer.data.reader.documents(trainer.data.validation_rows)
    trainer.model.eval().rank(documents, 5)
    trainer.averaged.module.eval().rank(documents, 5)
    weights = list(trainer.model.encoder.parameters())
    state = trainer.optimizers[0].state
    kinds = {
        "weights": weights,
        "average": list(trainer.averaged.module.encoder.parameters()),
        **{name: [state[weight][name] for weight in weights] for name in ("exp_avg", "exp_avg_sq")},
    }
    assert all(isinstance(model.encoder, Sharded) for model in (trainer.model, trainer.averaged.module))
    return {
        name: [sum(own_part(tensor).numel() for tensor in some), sum(tensor.numel() for tensor in some)]
        for name, some in kinds.items()
    }


@pytest.mark.parametrize("count", [2, 3])
def test_each_rank_has_a_part_of_the_encoder_and_of_all_that_is_kept_of_it(tmp_path, count):
    found = on_ranks(count, held, tmp_path / "run", tiny.save_encoder(tmp_path / "encoder"))
    for name in found[0]:
        own, whole = zip(*(rank[name] for rank in found), strict=True)
        assert sum(own) == whole[0] and len(set(whole)) == 1
        assert max(own) < 1.1 * whole[0] / count


# ------------------------------------------------------------------------------------- rounded to bfloat16


def rounded(folder: Path, encoder: str) -> tuple[list[float], int, list[Any]]:
    """Losses of some steps in bfloat16, the bytes of weights that wait for a gradient, and answers."""
    trainer = prepared(folder, encoder, precision="bfloat16")
    shapes = {weight.shape for weight in trainer.model.encoder.parameters() if weight.ndim == 2}
    shapes |= {shape[::-1] for shape in shapes}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.shape in shapes and tensor.dtype == torch.bfloat16:
            waiting.append(tensor.untyped_storage())
        return tensor

    batches = trainer.micro_batches(trainer.data.train_rows[:12])
    waiting: list[torch.UntypedStorage] = []
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = trainer.model(*batches[0].on(trainer.device, trainer.rng))
    kept = {storage.data_ptr(): storage.nbytes() for storage in waiting}
    assert waiting
    trainer.model.backward(output)
    trainer.model.zero_grad()
    losses = [float(trainer.step(batches)["loss"]) for _ in range(3)]
    save_weights(folder, trainer.model)
    answers = load_run(folder).predict(tiny.texts(20, seed=1))
    return losses, sum(kept.values()), [[(best.label, best.score) for best in row] for row in answers]


@pytest.mark.slow
def test_rounded_weights_are_gathered_for_the_moment_and_give_the_same_losses(tmp_path):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    ((losses, kept, answers),) = on_ranks(1, rounded, tmp_path / "one", encoder)
    for own, own_kept, own_answers in on_ranks(2, rounded, tmp_path / "two", encoder):
        assert own == pytest.approx(losses, rel=1e-4)
        assert own_kept == 0 < kept
        for row, expected in zip(own_answers, answers, strict=True):
            np.testing.assert_allclose([s for _, s in row], [s for _, s in expected], atol=0.02)


# ------------------------------------------------------------------------------------ every kind of encoder


def gradients(names: list[str]) -> dict[str, tuple[int, dict[str, np.ndarray]]]:
    """Of each how many parts are gathered apart, and on the first rank the gradients of all weights."""
    found = {}
    for name in names:
        model = tiny.model(name=name, start="random", dropout=0.0)
        split_over_ranks(model)
        shard_encoder(model, resolve({"shard_encoder": True}), torch.device("cpu"))
        model.double().train()
        documents, training = tiny.batch(tiny.texts(5, seed=3))
        model.backward(model(documents, training))
        shares = shares_of(model)
        weights = dict(model.encoder.backbone.named_parameters())
        if not shares:
            collectives.sum_gradients(weights.values())
        grads = {
            key: collectives.gathered_by_first(own_part(weight.grad), shares[weight])
            if weight in shares
            else weight.grad
            for key, weight in weights.items()
            if weight.grad is not None
        }
        called = getattr(model.encoder, "called", [model.encoder])[0]
        parts = sum(type(part).__name__.startswith("FSDP") for part in called.modules())
        found[name] = parts, {key: grad.numpy() for key, grad in grads.items() if not grad.is_meta}
    return found


def test_every_kind_of_encoder_has_the_gradient_that_it_has_whole():
    """Two of three layers are read; 5 documents, and a rank of four that has one of them."""
    names = list(tiny.CONFIGS)
    (alone,), (first, *_) = on_ranks(1, gradients, names), on_ranks(4, gradients, names)
    for name in names:
        (_, expected), (parts, found) = alone[name], first[name]
        assert parts == tiny.CONFIGS[name].num_hidden_layers + 1
        assert found.keys() == expected.keys() and all(grad.any() for grad in expected.values())
        for key, grad in expected.items():
            np.testing.assert_allclose(found[key], grad, rtol=1e-8, atol=1e-12, err_msg=f"{name} {key}")


# ------------------------------------------------------------------------------------------------ compiled


def compiled(folder: Path, encoder: str, does: bool) -> tuple[list[float], list[int]]:
    """Losses of some steps of a run whose encoder, compiled before it is split, has read for the start.

    And how many pieces of code are compiled by then, and after each step.
    """
    os.environ["XMLKIT_CACHE"] = str(folder / "cache")
    real, counters = torch.nn.Module.compile, torch._dynamo.utils.counters
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Module, "compile", lambda *a, **k: real(*a, **k, backend="aot_eager"))
        trainer = prepared(folder / "run", encoder, start="warm", swa_start=None, compile=does)
        trainer.model.train()
        losses, counted, rows = [], [counters["frames"]["ok"]], trainer.data.train_rows
        for some in (rows[:12], rows[12:24], rows[24:], rows[:12], rows[12:24], rows[24:]):
            losses.append(float(trainer.step(trainer.micro_batches(some))["loss"]))
            counted.append(counters["frames"]["ok"])
    return losses, counted


@pytest.mark.slow
def test_compiled_the_losses_are_the_same(tmp_path):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    (plain, none), _ = on_ranks(2, compiled, tmp_path / "plain", encoder, False)
    assert not any(none)
    for found, counted in on_ranks(2, compiled, tmp_path / "compiled", encoder, True):
        assert found == pytest.approx(plain, rel=1e-4)
        assert 0 < counted[0] < counted[1] and counted[3] == counted[-1]
