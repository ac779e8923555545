"""Label rows: their gradients, and an AdamW whose cost follows the rows of the step, not all labels.

U rows of the step, E label width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from xmlkit.hooks import RowTable, unique_ids

ROWS_AT_ONCE = 512  # keeps the temporaries in the processor's cache


def row_parameters(module: nn.Module) -> list[Parameter]:
    """The weights of all tables of rows in it."""
    return [part.weight for part in module.modules() if isinstance(part, RowTable)]


def unite_rows(parameters: Iterable[Parameter]) -> None:
    """Makes each gradient hold each of its rows once, summed over micro-batches and repeated reads.

    Without waiting for the device the number of rows stays unknown: there the gradient is filled up with
    zeros for its first row again.
    """
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is None:
            continue
        assert gradient.is_sparse, "a RowTable's weight was used densely; read it by calling the table"
        ids, values = gradient._indices()[0], gradient._values()
        if _on_host(ids) and len(torch.unique(ids)) == len(ids):
            continue
        ids_U, slots = unique_ids(ids)
        sums_UE = torch.zeros_like(values[: len(ids_U)]).index_add_(0, slots, values)
        parameter.grad = torch.sparse_coo_tensor(
            ids_U[None], sums_UE, gradient.shape, check_invariants=False, is_coalesced=True
        )


class RowAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter, 2019) of the rows in the gradient alone.

    A row's moments, decay and number of steps, and so its bias correction, change only in steps that read
    it. Expects gradients as `unite_rows` leaves them.
    """

    def __init__(
        self, groups: list[dict[str, Any]], eps: float = 1e-8, betas: tuple[float, float] = (0.9, 0.999)
    ):
        super().__init__(groups, {"lr": 1e-3, "weight_decay": 0.0, "eps": eps, "betas": betas})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Steps the rows in the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
                    state["steps"] = torch.zeros(len(parameter), device=parameter.device)
                ids_U, gradient_UE = parameter.grad._indices()[0], parameter.grad._values()
                if _on_host(ids_U):
                    parts = zip(ids_U.split(ROWS_AT_ONCE), gradient_UE.split(ROWS_AT_ONCE), strict=True)
                else:
                    parts = [(ids_U, _filled_up(ids_U, gradient_UE))]
                for ids, gradient in parts:
                    _step_rows(parameter, state, ids, gradient, group)


def _on_host(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def _filled_up(ids_U: Tensor, gradient_UE: Tensor) -> Tensor:
    """The gradient with that of the first row wherever its id is repeated: all then write one value."""
    places_U = torch.arange(len(ids_U), device=ids_U.device)
    return gradient_UE[torch.where(ids_U == ids_U[0], 0, places_U)]


def _step_rows(
    weight: Tensor, state: dict[str, Tensor], ids_U: Tensor, gradient_UE: Tensor, group: dict[str, Any]
) -> None:
    beta1, beta2 = group["betas"]
    steps_U = state["steps"][ids_U] + 1
    mean_UE = state["mean"][ids_U].lerp_(gradient_UE, 1 - beta1)
    square_UE = state["square"][ids_U].mul_(beta2).addcmul_(gradient_UE, gradient_UE, value=1 - beta2)
    for name, rows in (("steps", steps_U), ("mean", mean_UE), ("square", square_UE)):
        state[name].index_copy_(0, ids_U, rows)
    # 1 - beta^t, without losing its digits where beta^t is close to 1.
    debias1_U, debias2_U = (torch.expm1(steps_U * math.log(beta)).neg_() for beta in (beta1, beta2))
    rate_U1, scale_U1 = (group["lr"] / debias1_U)[:, None], debias2_U.rsqrt_()[:, None]
    denominator_UE = square_UE.sqrt_().mul_(scale_U1).add_(group["eps"])
    rows_UE = weight[ids_U].mul_(1 - group["lr"] * group["weight_decay"])
    weight.index_copy_(0, ids_U, rows_UE.addcdiv_(mean_UE.mul_(rate_U1), denominator_UE, value=-1))
