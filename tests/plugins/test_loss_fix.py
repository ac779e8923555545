"""Ways to combine two losses, against gradients and optimisers written out."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import tiny
import torch
from installing import install
from torch import nn
from xmlkit_plugins.loss_fix import Options, Watched

import xmlkit
from xmlkit.data.batches import training_steps
from xmlkit.model.inputs import ragged_labels
from xmlkit.passing import Training
from xmlkit.tables import RowTable
from xmlkit.training.row_optimizers import RowRMSprop
from xmlkit.training.rows import row_parameters, unite_rows
from xmlkit.training.train import prepare

TEXTS = ["w1 w2 w3", "w9", "", "w5 w4 w40 w41 w7"]
CLUSTERED = {"starts": range(0, 90, 3), "shortlist": 4, "start": "random", "dropout": 0.0}


def model(mode=None, **options):
    plugins = {"plugins": ["loss-fix"], "options": {"loss-fix": {"mode": mode, **options}}} if mode else {}
    return tiny.model(90, **plugins, **CLUSTERED).double()


def batch():
    return tiny.batch(TEXTS, 90, seed=2)


def gradients(of):
    return {name: p.grad.to_dense().clone() for name, p in of.named_parameters() if p.grad is not None}


def gradients_of(weights):
    """By plain differentiation of a weighed sum of the losses, without the boundary."""
    plain, (documents, training) = model(), batch()
    vectors = plain.vectors(documents)
    short = plain.shortlister(vectors, documents, training)
    z_BC = plain.head.scores_BC(short.rank_BD, short.ids_BC)
    cost_BC = nn.functional.softplus(torch.where(short.truth_BC, -z_BC, z_BC)) * short.mask_BC
    losses = {**short.losses, "ranker": cost_BC.sum(1).mean()}
    sum(weights[name] * loss for name, loss in losses.items()).backward()
    return gradients(plain), {name: loss.item() for name, loss in losses.items()}


@pytest.mark.parametrize(
    ("mode", "options", "weights"),
    [
        ("upstream", {}, (1, 1)),
        ("split", {}, (1, 1)),
        ("fixed", {"generator": 0.25, "ranker": 3.0}, (0.25, 3.0)),
        ("uncertainty", {}, (1, 1)),  # both logarithms begin at zero
        ("gradnorm", {}, (1, 1)),
    ],
)
def test_the_gradient_of_every_parameter_is_that_of_the_weighed_sum(mode, options, weights):
    """Float64, to 1e-12: the seed's `upstream` is the plain sum."""
    ours = model(mode, **options)
    documents, training = batch()
    ours.backward(ours(documents, training))
    ours.combiner.before_step()
    expected, _ = gradients_of(dict(zip(("generator", "ranker"), weights, strict=True)))
    found = gradients(ours)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-12, atol=1e-12)
    assert {name.removeprefix("combiner.") for name in found.keys() - expected.keys()} == {
        "uncertainty": {"log_variance_I"},
        "gradnorm": {"raw_I"},
    }.get(mode, set())


def test_norms_and_cosine_are_those_at_the_document_vectors_however_the_batch_is_cut():
    plain, (documents, training) = model(), batch()
    vectors = plain.vectors(documents)
    x = vectors.rank_BD.detach().requires_grad_()
    short = plain.shortlister(type(vectors)(x, x), documents, training)
    z_BC = plain.head.scores_BC(short.rank_BD, short.ids_BC)
    cost_BC = nn.functional.softplus(torch.where(short.truth_BC, -z_BC, z_BC)) * short.mask_BC
    (generator,) = torch.autograd.grad(short.losses["generator"], x, retain_graph=True)
    (ranker,) = torch.autograd.grad(cost_BC.sum(1).mean(), x)
    expected = {
        "loss-fix/norm/generator": generator.norm().item(),
        "loss-fix/norm/ranker": ranker.norm().item(),
        "loss-fix/cosine": nn.functional.cosine_similarity(
            generator.flatten(), ranker.flatten(), dim=0
        ).item(),
    }
    for parts in ([4], [1, 3]):
        ours, start = model("upstream"), 0
        for size in parts:
            rows = tiny.label_rows(4, 90, 2).take(np.arange(start, start + size))
            some, _ = tiny.batch(TEXTS[start : start + size], 90)
            labels = ragged_labels(rows, 90)
            ours.backward(ours(some, Training(labels, None, None)), size / 4)
            start += size
        found = {name: float(value) for name, value in ours.report().items()}
        assert found == pytest.approx(expected, rel=1e-5)
        assert ours.report() == {}  # a step's figures are told once


def test_where_the_vectors_are_parted_there_is_no_cosine():
    part = Watched(tiny.model().combiner, ("generator", "ranker"), Options())
    left, right = torch.tensor([[3.0, 4.0, 0.0]]), torch.tensor([[0.0, 0.0, 2.0]])
    assert part.upstream_BD({"generator": left, "ranker": right}).tolist() == [[3.0, 4.0, 2.0]]
    report = part.report()
    assert math.isnan(report["loss-fix/cosine"])
    assert (float(report["loss-fix/norm/generator"]), float(report["loss-fix/norm/ranker"])) == (5.0, 2.0)


def test_uncertainty_by_hand():
    """exp(-s) L + s / 2, so ds = 1/2 - exp(-s) L."""
    part = model("uncertainty").combiner
    with torch.no_grad():
        part.log_variance_I.copy_(torch.tensor([0.5, -1.0]))
    losses = {
        "generator": torch.tensor(2.0, dtype=torch.double),
        "ranker": torch.tensor(3.0, dtype=torch.double),
    }
    out = part(losses)
    assert out["generator"].item() == pytest.approx(2 * math.exp(-0.5) + 0.25)
    assert out["ranker"].item() == pytest.approx(3 * math.exp(1.0) - 0.5)
    sum(out.values()).backward()
    assert part.log_variance_I.grad.tolist() == pytest.approx(
        [0.5 - 2 * math.exp(-0.5), 0.5 - 3 * math.exp(1)]
    )


def test_gradnorm_by_hand():
    """Weights 1 and 1, gradients 3 and 1 long; the first loss fell to a half, the second stayed.

    r = (2/3, 4/3), mean(G) = 2, alpha = 1: the goals are 4/3 and 8/3, so w1 goes down and w2 up.
    dw: |3 w1 - 4/3| + |1 w2 - 8/3| has slopes +3 and -1; w = 2 softmax(raw), so dw1/draw1 = 1/2 = -dw1/draw2.
    """
    part = model("gradnorm", alpha=1.0).combiner
    one = torch.tensor(1.0, dtype=torch.double)
    grads = {"generator": torch.tensor([[3.0, 0.0]]), "ranker": torch.tensor([[0.0, 1.0]])}
    for generator in (4, 2):  # the first step, whose losses are the measure, and the one that counts
        part.raw_I.grad = None
        out = part({"generator": generator * one, "ranker": 5 * one})
        assert [float(v) for v in out.values()] == [generator, 5.0]
        part.upstream_BD(grads)
        part.before_step()
        weights = [float(part.report()[f"loss-fix/weight/{name}"]) for name in grads]
    assert part.raw_I.grad.tolist() == pytest.approx([0.5 * 3 - 0.5 * -1, -0.5 * 3 + 0.5 * -1])
    assert sum(weights) == pytest.approx(2)


def test_gradnorm_does_not_see_how_the_batch_is_cut():
    found = []
    for parts in ([4], [1, 3], [1, 1, 1, 1]):
        ours, start = model("gradnorm"), 0
        for size in parts:
            rows = tiny.label_rows(4, 90, 2).take(np.arange(start, start + size))
            some, _ = tiny.batch(TEXTS[start : start + size], 90)
            ours.backward(ours(some, Training(ragged_labels(rows, 90), None, None)), size / 4)
            start += size
        ours.combiner.before_step()
        found.append([*ours.combiner.raw_I.grad.tolist(), *ours.combiner.first_I.tolist()])
    assert found[0][0] != 0
    assert found[1] == pytest.approx(found[0]) and found[2] == pytest.approx(found[0])


def test_split_is_two_optimisers_step_by_step(tmp_path):
    """Three batches with plain torch: the whole model's AdamW, and before it one of all but the head."""
    encoder = tiny.save_encoder(tmp_path / "encoder")
    settings = {"encoder": encoder, "max_len": 16, "clustered": True, "cluster_size": 3, "shortlist": 2}
    settings |= {"batch_size": 16, "dropout": 0.0, "clip": None, "warmup": 0, "schedule": "constant"}
    settings |= {"start": "random", "lr": 1e-3, "head_lr": 1e-3, "precision": "float32", "device": "cpu"}
    corpus = tiny.learnable_corpus()
    trainer = prepare(corpus, {**settings, "plugins": ["loss-fix"]}, tmp_path / "ours")
    other = prepare(corpus, settings, tmp_path / "theirs")
    plain, data = other.model, other.data

    def adamw(modules):
        rows = [p for m in modules for t in m.modules() if isinstance(t, RowTable) for p in t.parameters()]
        dense = [p for m in modules for p in m.parameters() if not any(p is row for row in rows)]
        groups = [
            {"params": [p for p in dense if p.ndim > 1], "weight_decay": 0.01},
            {"params": [p for p in dense if p.ndim < 2], "weight_decay": 0.0},
        ]
        found = [torch.optim.AdamW(groups, lr=1e-3)]
        return [*found, RowRMSprop([{"params": rows, "lr": 1e-3, "weight_decay": 0.01}])] if rows else found

    second = adamw([plain.encoder, plain.representation, plain.shortlister])
    first = adamw([plain])
    trainer.model.train()
    plain.train()
    for rows in training_steps(data.reader.lengths[data.train_rows], 16, 0, 0)[:3]:
        rows = data.train_rows[rows]
        trainer.step(trainer.micro_batches(rows))
        labels = ragged_labels(data.labels.take(rows), 10)
        output = plain(data.reader.documents(rows), Training(labels, None, None))
        sum(output.losses.values()).backward()
        output.whole_BD.backward(output.leaf_BD.grad)
        unite_rows(row_parameters(plain))
        for optimizer in (*second, *first):
            optimizer.step()
        plain.zero_grad()
    for name, tensor in plain.weights().items():
        torch.testing.assert_close(trainer.model.weights()[name], tensor, rtol=1e-3, atol=1e-5)


def test_doubled_doubles_the_rates_of_what_split_steps_twice_and_no_others(tmp_path):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    settings = {"encoder": encoder, "max_len": 16, "clustered": True, "cluster_size": 3, "shortlist": 2}
    settings |= {"pooling": "first", "label_width": 16, "warmup": 0, "device": "cpu"}

    def rates(mode, name):
        plugins = {"plugins": ["loss-fix"], "loss-fix": {"mode": mode}} if mode else {}
        trainer = prepare(tiny.learnable_corpus(), {**settings, **plugins}, tmp_path / name)
        names = {parameter: name for name, parameter in trainer.model.named_parameters()}
        found = {name: [] for name in names.values()}
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    found[names[parameter]].append(group["lr"])
        return found

    base, doubled, split = (rates(mode, f"run-{mode}") for mode in (None, "doubled", "split"))
    twice = {name for name, found in split.items() if len(found) == 2}
    assert twice and twice != base.keys()
    assert doubled == {name: [(2 if name in twice else 1) * rate] for name, (rate,) in base.items()}


def test_split_is_doubled_but_for_decay_and_rounding(tmp_path):
    """Both optimisers see the same gradients from the first step on, so that their moments are equal."""
    encoder = tiny.save_encoder(tmp_path / "encoder")
    settings = {"encoder": encoder, "max_len": 16, "clustered": True, "cluster_size": 3, "shortlist": 2}
    settings |= {"pooling": "first", "label_width": 16, "device": "cpu", "precision": "float32"}
    settings |= {"weight_decay": 0.0, "plugins": ["loss-fix"]}
    moved = []
    for mode in ("split", "doubled"):
        trainer = prepare(
            tiny.learnable_corpus(), {**settings, "loss-fix": {"mode": mode}}, tmp_path / f"run-{mode}"
        )
        before = {name: tensor.clone() for name, tensor in trainer.model.weights().items()}
        for _ in range(6):
            trainer.step(trainer.micro_batches(trainer.data.train_rows[:32]))
        moved.append({name: tensor - before[name] for name, tensor in trainer.model.weights().items()})
    for name, change in moved[0].items():
        torch.testing.assert_close(change, moved[1][name], rtol=0.02, atol=1e-6)


def test_what_it_says_where_it_changes_nothing(capsys):
    tiny.model(plugins=["loss-fix"])
    assert "loss-fix: nothing to do, since without a shortlist" in capsys.readouterr().err
    model("upstream")
    assert "trains as without the plugin" in capsys.readouterr().err
    model("split")
    assert capsys.readouterr().err == ""


ADDS_A_LOSS = """
from dataclasses import replace
from xmlkit import Shortlister, hookimpl
class Own(Shortlister):
    @property
    def loss_names(self): return (*self.inner.loss_names, "extra")
    def forward(self, vectors, documents, training):
        short = self.inner(vectors, documents, training)
        if training is None: return short
        return replace(short, losses={**short.losses, "extra": vectors.rank_BD.square().mean()})
@hookimpl(wrapper=True)
def shortlist(): return Own((yield))
"""
DOUBLES_ALL = """
from xmlkit import LossCombiner, hookimpl
class Own(LossCombiner):
    def forward(self, losses): return {name: 2 * loss for name, loss in self.inner(losses).items()}
@hookimpl(wrapper=True)
def loss(): return Own((yield))
"""


@pytest.mark.parametrize("mode", ["split", "fixed", "uncertainty", "gradnorm"])
@pytest.mark.parametrize("order", [["adds", "loss-fix", "twice"], ["twice", "loss-fix", "adds"]])
def test_a_third_loss_is_kept_in_any_order(plugin_folder, mode, order):
    """At the first step all weights are 1, and the loss is twice the sum of the three."""
    install(plugin_folder, "adds", ADDS_A_LOSS)
    install(plugin_folder, "twice", DOUBLES_ALL)
    ours = tiny.model(24, plugins=order, starts=list(range(0, 24, 4)), options={"loss-fix": {"mode": mode}})
    documents, training = tiny.batch(["w1 w2", "w3", "w4 w5"], 24)
    output = ours(documents, training)
    assert list(output.losses) == ["generator", "extra", "ranker"]
    total = ours.backward(output)
    ours.combiner.before_step()
    torch.testing.assert_close(total, 2 * sum(output.losses.values()))
    assert {f"loss-fix/norm/{name}" for name in output.losses} <= ours.report().keys()


def test_gradnorm_where_nothing_below_the_boundary_learns(tmp_path):
    """Norms are those of the leaf, which has a gradient all the same."""
    settings = {
        "freeze": True,
        "pooling": "mean",
        "start": "random",
        "max_steps": 3,
        "log_every": 1,
        "dropout": 0.0,
    }
    settings |= {
        "clustered": True,
        "cluster_size": 3,
        "shortlist": 2,
        "max_len": 16,
        "batch_size": 16,
        "device": "cpu",
    }
    settings |= {"encoder": tiny.save_encoder(tmp_path / "encoder"), "plugins": ["loss-fix"]}
    trained = xmlkit.train(
        tiny.learnable_corpus(), {**settings, "loss-fix": {"mode": "gradnorm"}}, tmp_path / "run"
    )
    assert trained.outcome == "finished"
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss-fix/norm/ranker" in line]
    assert len(steps) == 3 and all(line["loss-fix/norm/generator"] > 0 for line in steps)
    assert steps[-1]["loss-fix/weight/ranker"] != 1
