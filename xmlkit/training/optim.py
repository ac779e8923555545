"""Optimisers over groups of parameters, and the schedule of their learning rates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import nn
from torch.nn import Parameter

from xmlkit.config import Config
from xmlkit.hooks import Part
from xmlkit.model.encoder import Encoder


def adamw(modules: Iterable[nn.Module], config: Config) -> torch.optim.AdamW:
    """AdamW over all parameters of these modules (Loshchilov and Hutter, 2019).

    `lr` for the encoder and `head_lr` for the rest, unless a part has a rate of its own; decay for
    matrices alone, so not for biases and norms.
    """
    groups: dict[tuple[float, float], list[Parameter]] = {}
    seen: set[Parameter] = set()
    for module in modules:
        for parameter, rate, decay in _walk(module, config.head_lr, config):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                groups.setdefault((rate, decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": found, "lr": rate, "weight_decay": decay} for (rate, decay), found in groups.items()],
        eps=config.eps,
        fused=True,
    )


def schedule(
    optimizer: torch.optim.Optimizer, config: Config, num_steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear warm-up over `warmup` of the steps, then constant or linear down to zero."""
    warm = round(config.warmup * num_steps)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 1.0 if config.schedule == "constant" else (num_steps - step) / max(num_steps - warm, 1)

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _walk(
    module: nn.Module, rate: float, config: Config, decay: float | None = None
) -> Iterator[tuple[Parameter, float, float]]:
    decay = config.weight_decay if decay is None else decay
    if isinstance(module, Encoder):
        rate = config.lr
    elif isinstance(module, Part):  # a wrapper's own rate is not that of what it wraps
        rate = module.learning_rate if module.learning_rate is not None else config.head_lr
        decay = module.weight_decay if module.weight_decay is not None else config.weight_decay
    for parameter in module.parameters(recurse=False):
        yield parameter, rate, decay
    for child in module.children():
        yield from _walk(child, rate, config, decay)
