"""Which parameter learns at which rate, and how the rates go."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch

from xmlkit.config import resolve
from xmlkit.hooks import Run
from xmlkit.training.optim import optimizers, schedule
from xmlkit.training.row_optimizers import RowRMSprop


def test_rates_and_decay_by_parameter(example_plugins):
    model = tiny.model(plugins=["layer-gain"])
    config = resolve({"lr": 1e-5, "head_lr": 1e-3, "weight_decay": 0.02})
    dense, of_rows = optimizers([model], config)
    found = {}
    for group in dense.param_groups + of_rows.param_groups:
        for parameter in group["params"]:
            found[parameter] = (group["lr"], group["weight_decay"])
    expected = {
        "encoder.backbone.encoder.layer.0.output.dense.weight": (1e-5, 0.02),
        "encoder.backbone.encoder.layer.0.output.dense.bias": (1e-5, 0.0),
        "encoder.backbone.encoder.layer.0.output.LayerNorm.weight": (1e-5, 0.0),
        "head.rows.weight": (1e-3, 0.02),
        "head.biases.weight": (1e-3, 0.0),
        "representation.gain_N": (0.05, 0.0),  # the part's own rate
    }
    named = dict(model.named_parameters())
    assert {name: found[named[name]] for name in expected} == expected
    assert len(found) == len(named)


def test_a_wrappers_rate_is_not_that_of_what_it_wraps(example_plugins):
    model = tiny.model(plugins=["layer-gain", "text-length"])
    model.representation.learning_rate = 0.5
    groups = optimizers([model], resolve({}))[0].param_groups
    (rate,) = [g["lr"] for g in groups for p in g["params"] if p is model.representation.inner.gain_N]
    assert rate == 0.05


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linear", [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        ("constant", [0.5, 1.0, 1, 1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_warm_up_and_decay(name, expected):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    config = resolve({"schedule": name, "warmup": 0.2})
    run = Run(Path(), config, torch.nn.Identity(), 10)
    rates = schedule(optimizer, config, run)
    seen = []
    for step in range(10):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        run.rate_factor = 0.5 if step >= 5 else 1.0  # as an event after step 6 sets it
        rates.step()
    halved = [rate * (0.5 if step > 5 else 1) for step, rate in enumerate(expected)]
    assert seen == pytest.approx(halved)


def test_rows_have_an_optimiser_of_their_own_and_projections_the_encoders_rate():
    model = tiny.model(starts=[0, 9], label_width=8)
    dense, sparse = optimizers([model], resolve({"lr": 1e-5, "head_lr": 1e-3, "weight_decay": 0.02}))
    assert isinstance(sparse, RowRMSprop)
    rates = {
        id(p): (g["lr"], g["weight_decay"])
        for o in (dense, sparse)
        for g in o.param_groups
        for p in g["params"]
    }
    head = model.head
    assert rates[id(head.rows.weight)] == (1e-3, 0.02)
    assert rates[id(head.biases.weight)] == (1e-3, 0.0)
    assert rates[id(head.project.weight)] == (1e-5, 0.02)
    assert rates[id(model.shortlister.rows.weight)] == (1e-3, 0.02)
    head.learning_rate = 0.5
    dense, sparse = optimizers([model], resolve({}))
    rates = {id(p): g["lr"] for o in (dense, sparse) for g in o.param_groups for p in g["params"]}
    assert rates[id(head.rows.weight)] == rates[id(head.project.weight)] == 0.5
    head.rows.learning_rate = 0.25
    (group,) = [g for g in optimizers([model], resolve({}))[1].param_groups if g["lr"] == 0.25]
    assert group["params"] == [head.rows.weight]
