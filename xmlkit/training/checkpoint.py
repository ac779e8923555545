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

    Of rows that are split over ranks all must ask; a rank that has stepped none so far has zeros.
    """
    state = optimizer.state_dict()["state"]
    found = {f"{index}/{name}": value for index, slots in state.items() for name, value in slots.items()}
    weights = _parameters(optimizer)
    for key, (kind, widths) in sorted(
        ranks.union({key: _shape(value) for key, value in found.items()}).items()
    ):
        weight = weights[int(key.split("/")[0])]
        if (share := shares.get(weight)) is not None:
            own = found.get(key, torch.zeros(len(share), *widths, dtype=kind))
            found[key] = collectives.gathered_by_first(own, share)
    return found


def _shape(tensor: Tensor) -> tuple[torch.dtype, torch.Size]:
    """Of each of its rows."""
    return tensor.dtype, tensor.shape[1:]


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
        own = tensor[shares[parameter].run].clone() if parameter in shares else tensor
        optimizer.state[parameter][name] = own.to(parameter.device)
