"""The whole state of a training run in one file, so that it can go on as if nothing had happened.

Tensors: `model/...`, `averaged/...`, `optimizer/I/PARAMETER/MOMENT`, `random/...`; numbers in the file's
note. Bit-identity holds on the CPU, and on CUDA with `deterministic`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xmlkit.distributed import collectives, ranks
from xmlkit.distributed.part import like, own_part
from xmlkit.distributed.share import Share
from xmlkit.errors import UserError
from xmlkit.model.folder import read_tensors, write_tensors

CHECKPOINT = "checkpoint.safetensors"


def save_checkpoint(folder: Path, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
    """Replaces the folder's checkpoint; at any moment there is a whole one."""
    write_tensors(folder, CHECKPOINT, tensors, numbers)


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and numbers. Raises UserError where there is no checkpoint or it is damaged."""
    if not (folder / CHECKPOINT).is_file():
        raise UserError(
            f"{folder} has no checkpoint to go on from: its training is over, it never began, "
            f"or {CHECKPOINT} was removed"
        )
    return read_tensors(folder, CHECKPOINT)


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with this, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def optimizer_tensors(optimizer: torch.optim.Optimizer, shares: Mapping[Tensor, Share]) -> dict[str, Tensor]:
    """An optimiser's moments and step counts as `PARAMETER/MOMENT`.

    Of weights that are split over ranks all must ask; a rank that has stepped no row so far has zeros.
    """
    state = optimizer.state_dict()["state"]
    found = {f"{index}/{name}": value for index, slots in state.items() for name, value in slots.items()}
    weights = _parameters(optimizer)
    kinds = ranks.union({key: (value.dtype, value.shape) for key, value in found.items()})
    for key, (kind, shape) in sorted(kinds.items()):
        share = _share_of_moment(weights[int(key.split("/")[0])], shape, shares)
        if share is not None:
            own = own_part(found.get(key, torch.zeros(len(share), *shape[1:], dtype=kind)))
            found[key] = collectives.gathered_by_first(own, share)
    return found


def _share_of_moment(weight: Tensor, shape: torch.Size, shares: Mapping[Tensor, Share]) -> Share | None:
    """That of the weight; a single number is nobody's own."""
    return shares.get(weight) if shape else None


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], shares: Mapping[Tensor, Share]
) -> None:
    """The reverse, into an optimiser over the same parameters; each tensor keeps its own precision."""
    parameters = _parameters(optimizer)
    for key, tensor in tensors.items():
        index, name = key.split("/")
        parameter = parameters[int(index)]
        share = _share_of_moment(parameter, tensor.shape, shares)
        own = (tensor if share is None else tensor[share.run].clone()).to(parameter.device)
        optimizer.state[parameter][name] = own if share is None else like(parameter, own)


def restore_schedule(schedule: torch.optim.lr_scheduler.LRScheduler, saved: Mapping[str, Any]) -> None:
    """The same of learning rates; of sharded weights there are more groups, each of a rate that there was."""
    last, own = dict(zip(saved["base_lrs"], saved["_last_lr"], strict=True)), schedule.base_lrs
    schedule.load_state_dict({**saved, "base_lrs": own, "_last_lr": [last[rate] for rate in own]})
