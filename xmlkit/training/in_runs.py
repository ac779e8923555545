"""Stepping the rows of labels a run of labels at a time: the second pass of xmlkit/model/in_runs.py."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn import Parameter

from xmlkit.model.in_runs import LossInRuns
from xmlkit.training.row_optimizers import RowOptimizer
from xmlkit.training.rows import row_gradient, set_row_gradient, unite_rows


def step_in_runs(
    loss: LossInRuns, rows: Iterable[Parameter], optimizers: Iterable[torch.optim.Optimizer]
) -> None:
    """Steps the tables that labels are scored with, run by run.

    The gradients that `rows`, all tables, have so far are another loss's, and stay for the step after this.
    """
    kept = {weight: row_gradient(weight) for weight in rows}
    for weight in kept:
        set_row_gradient(weight, None)
    tables, steppers = loss.tables, [o for o in optimizers if isinstance(o, RowOptimizer)]
    for cost in loss.second_pass():
        cost.backward(inputs=tables)
        unite_rows(tables)
        for optimizer in steppers:
            optimizer.step()
    for weight, gradient in kept.items():
        set_row_gradient(weight, gradient)
