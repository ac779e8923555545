"""Optimisers of tables of rows, whose cost follows the rows of the step, not all labels.

A row's state, decay and number of steps, and so its bias correction, change only in steps that read it.

U rows of a run, E row width, L labels.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter

from xmlkit.model.device import full_precision
from xmlkit.training.rows import RowGradient

State = dict[str, Tensor]


class RowOptimizer(torch.optim.Optimizer):
    """Steps the rows of each weight's `row_gradient` (see `unite_rows`), in full precision."""

    def __init__(
        self, groups: list[dict[str, Any]], eps: float = 1e-8, betas: tuple[float, float] = (0.9, 0.999)
    ):
        super().__init__(groups, {"lr": 1e-3, "weight_decay": 0.0, "eps": eps, "betas": betas})

    def new_state(self, weight: Parameter) -> State:
        """What is kept of each row besides the number of its steps."""
        raise NotImplementedError

    def move(self, rows_UE: Tensor, state: State, gradient: RowGradient, group: dict[str, Any]) -> None:
        """One step of rows that have decayed already; `state` is theirs. Both are changed in place."""
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Steps the rows that were read."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.row_gradient is not None:
                    self._step(weight, weight.row_gradient, group)

    def _step(self, weight: Parameter, whole: RowGradient, group: dict[str, Any]) -> None:
        tables = self.state[weight]
        if not tables:
            tables["steps"] = torch.zeros(len(weight), device=weight.device)
            tables.update(self.new_state(weight))
        noise: StochasticRounding | None = None
        for gradient in whole.runs(weight):
            rows, filling_U = gradient.rows_U, gradient.is_filling_U
            found, state = _taken(weight, rows), {name: _taken(table, rows) for name, table in tables.items()}
            rows_UE = full_precision(found)
            if filling_U is not None:
                before, rows_UE = {n: part.clone() for n, part in state.items()}, rows_UE.clone()
            state["steps"] += 1
            self.move(rows_UE.mul_(1 - group["lr"] * group["weight_decay"]), state, gradient, group)
            if weight.dtype == torch.bfloat16:
                noise = noise or StochasticRounding(rows_UE)
                rows_UE = noise(rows_UE)
                if filling_U is not None:  # one value, of one noise
                    rows_UE = torch.where(filling_U[:, None], rows_UE[:1], rows_UE)
            if filling_U is not None:  # a run that is nothing but filling stays as it was
                nothing = filling_U[0]
                rows_UE = torch.where(nothing, found, rows_UE)
                state = {name: torch.where(nothing, before[name], part) for name, part in state.items()}
            if isinstance(rows, Tensor):
                weight.index_copy_(0, rows, rows_UE)
                for name, part in state.items():
                    tables[name].index_copy_(0, rows, part)
            elif rows_UE is not found:
                found.copy_(rows_UE)


class RowAdamW(RowOptimizer):
    """AdamW (Loshchilov and Hutter, 2019): two moments of each element."""

    def new_state(self, weight: Parameter) -> State:
        """Both moments, (L, E)."""
        return {name: full_precision(torch.zeros_like(weight)) for name in ("mean", "square")}

    def move(self, rows_UE: Tensor, state: State, gradient: RowGradient, group: dict[str, Any]) -> None:
        """rows -= lr mean' / (sqrt(square') + eps), where ' corrects the bias."""
        beta1, beta2 = group["betas"]
        gradient_UE = gradient.add_to(torch.zeros_like(rows_UE), 1.0)
        state["mean"].lerp_(gradient_UE, 1 - beta1)
        state["square"].mul_(beta2).addcmul_(gradient_UE, gradient_UE, value=1 - beta2)
        bias_U1 = _debias(beta1, state["steps"])
        scale_U1 = bias_U1 * _debias(beta2, state["steps"]).rsqrt_()
        denominator_UE = torch.sqrt(state["square"], out=gradient_UE)
        denominator_UE.mul_(scale_U1).add_(bias_U1 * group["eps"])
        rows_UE.addcdiv_(state["mean"], denominator_UE, value=-group["lr"])


class RowRMSprop(RowOptimizer):
    """One second moment a row and no first one: 4 bytes of state a row beside AdamW's 8 an element.

    RMSprop (Tieleman and Hinton, 2012) with Adam's bias correction, its mean square taken over the row, as in
    the row-wise Adagrad of recommendation models (Mudigere et al., 2022).
    """

    def new_state(self, weight: Parameter) -> State:
        """The running mean square of each row's gradient, (L,)."""
        return {"square": full_precision(weight.new_zeros(len(weight)))}

    def move(self, rows_UE: Tensor, state: State, gradient: RowGradient, group: dict[str, Any]) -> None:
        """rows -= lr gradient / (sqrt(square') + eps), where ' corrects the bias."""
        beta2 = group["betas"][1]
        state["square"].lerp_(gradient.squared_norms_U() / rows_UE.shape[1], 1 - beta2)
        root_U1 = (state["square"][:, None] / _debias(beta2, state["steps"])).sqrt_()
        gradient.add_to(rows_UE, -group["lr"] / root_U1.add_(group["eps"]))


def _debias(beta: float, steps_U: Tensor) -> Tensor:
    """(U, 1): 1 - beta^t, without losing its digits where beta^t is close to 1."""
    return torch.expm1(steps_U * math.log(beta)).neg_()[:, None]


def _taken(table: Tensor, rows_U: Tensor | slice) -> Tensor:
    """A copy of these rows, or a view of a run of them.

    On the CPU, looking rows up as embeddings is twice as fast as selecting them.
    """
    if isinstance(rows_U, slice):
        return table[rows_U]
    return F.embedding(rows_U, table) if table.ndim == 2 else table.index_select(0, rows_U)


class StochasticRounding:
    """From float32 to bfloat16, up or down at random, so that the mean is exact.

    A step is often smaller than half of bfloat16's distance to the next number: rounded to the nearest, it
    would be lost each time. The noise is drawn once a step and serves all runs of rows: what counts is that
    it is independent from step to step.
    """

    def __init__(self, like: Tensor):
        self.noise_UE = torch.randint(0, 2**16, like.shape, dtype=torch.int32, device=like.device)

    def __call__(self, rows_UE: Tensor) -> Tensor:
        """The rows, which are overwritten; bfloat16 is the upper half of a number's bits."""
        rows_UE.view(torch.int32).add_(self.noise_UE[: len(rows_UE)]).bitwise_and_(-(2**16))
        return rows_UE.to(torch.bfloat16)
