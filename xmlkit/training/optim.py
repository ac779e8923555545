"""Optimisers over groups of parameters, and the schedule of their learning rates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import torch
from torch import nn
from torch.nn import Parameter

from xmlkit.config import Config
from xmlkit.distributed import collectives, ranks
from xmlkit.distributed.part import is_sharded, own_part
from xmlkit.doors import Part
from xmlkit.hooks import Run
from xmlkit.model.device import full_precision
from xmlkit.model.encoder import Encoder
from xmlkit.model.projection import Projection
from xmlkit.training.row_optimizers import RowAdamW, RowRMSprop
from xmlkit.training.rows import row_gradient, row_parameters, set_row_gradient


def optimizers(
    modules: Iterable[nn.Module], config: Config, factors: Mapping[nn.Module, float] | None = None
) -> list[torch.optim.Optimizer]:
    """AdamW over all parameters of these modules (Loshchilov and Hutter, 2019); rows have one of their own.

    `lr` for the encoder and projections, `head_lr` for the rest, unless a part has a rate of its own, times
    the factors of the modules that a parameter lies in; decay for matrices alone, not for biases and norms.
    """
    dense: dict[tuple[float, float], list[Parameter]] = {}
    sparse: dict[tuple[float, float], list[Parameter]] = {}
    seen: set[Parameter] = set()
    for module in modules:
        rows = set(row_parameters(module))
        for parameter, rate, decay in _walk(
            module, config.rows_lr, config.weight_decay, config, factors or {}
        ):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                groups = sparse if parameter in rows else dense
                groups.setdefault((rate, decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    found: list[torch.optim.Optimizer] = []
    if dense:
        found.append(torch.optim.AdamW(_groups(dense), eps=config.eps, fused=True))
    if sparse:
        kind = RowAdamW if config.row_state == "full" else RowRMSprop
        found.append(kind(_groups(sparse), eps=config.eps))
    return found


def clip_gradients(parameters: Iterable[Parameter], most: float) -> None:
    """Scales their gradients so that the common norm is at most this; rows must be united."""
    parameters = list(parameters)
    grads = [p.grad for p in parameters if p.grad is not None]
    dense = [grad for grad in grads if not is_sharded(grad)]
    own = [own_part(grad) for grad in grads if is_sharded(grad)]
    of_rows = [(p, found) for p in parameters if (found := row_gradient(p)) is not None]
    squares = [found.squared_norms_U().sum() for _, found in of_rows]
    squares += [nn.utils.get_total_norm(own).square()] if own else []
    if ranks.are_several():  # which have other rows and parts, all of them the same dense gradients
        none = torch.zeros((), device=parameters[0].device, dtype=full_precision(parameters[0]).dtype)
        squares = [collectives.summed_in_place(torch.stack([none, *squares]).sum())]
    norms = [square.sqrt() for square in squares]
    norm = nn.utils.get_total_norm([*dense, *norms])
    factor = (most / (norm + 1e-6)).clamp(max=1.0)
    if dense or own:  # without an encoder and a projection there are rows alone
        torch._foreach_mul_([*dense, *own], factor)
    for p, found in of_rows:
        set_row_gradient(p, replace(found, scale=factor))


def _groups(found: dict[tuple[float, float], list[Parameter]]) -> list[dict[str, Any]]:
    """In one order, sharded or not; but AdamW steps no list of both."""
    return [
        {"params": list(some), "lr": rate, "weight_decay": decay}
        for (rate, decay), weights in found.items()
        for _, some in groupby(weights, is_sharded)
    ]


def schedule(optimizer: torch.optim.Optimizer, config: Config, run: Run) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear warm-up over `warmup` of the steps, then constant or linear to zero; times the run's factor."""
    num_steps = run.num_steps
    warm = round(config.warmup * num_steps)

    def factor(step: int) -> float:
        if step < warm:
            return run.rate_factor * (step + 1) / warm
        if config.schedule == "constant":
            return run.rate_factor
        return run.rate_factor * (num_steps - step) / max(num_steps - warm, 1)

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def set_rates(schedules: Sequence[torch.optim.lr_scheduler.LambdaLR]) -> None:
    """Those of the coming step once more: an event may have changed the run's factor since they were set."""
    for rate in schedules:
        for group, base, factor in zip(
            rate.optimizer.param_groups, rate.base_lrs, rate.lr_lambdas, strict=True
        ):
            group["lr"] = base * factor(rate.last_epoch)


def _walk(
    module: nn.Module,
    rate: float,
    decay: float,
    config: Config,
    factors: Mapping[nn.Module, float],
    factor: float = 1.0,
) -> Iterator[tuple[Parameter, float, float]]:
    if isinstance(module, Encoder) or (isinstance(module, Projection) and rate == config.rows_lr):
        rate = config.lr
    elif isinstance(module, Part):  # a wrapper's own rate is not that of what it wraps
        rate, decay = config.rows_lr, config.weight_decay
    own_rate, own_decay = (getattr(module, name, None) for name in ("learning_rate", "weight_decay"))
    rate = rate if own_rate is None else own_rate
    decay = decay if own_decay is None else own_decay
    factor *= factors.get(module, 1.0)
    for parameter in module.parameters(recurse=False):
        yield parameter, factor * rate, decay
    for child in module.children():
        yield from _walk(child, rate, decay, config, factors, factor)
