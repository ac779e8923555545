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


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's moments and step counts as `PARAMETER/MOMENT`."""
    state = optimizer.state_dict()["state"]
    return {f"{index}/{name}": value for index, slots in state.items() for name, value in slots.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The reverse, into an optimiser over the same parameters; each tensor keeps its own precision."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for key, tensor in tensors.items():
        index, name = key.split("/")
        parameter = parameters[int(index)]
        optimizer.state[parameter][name] = tensor.to(parameter.device)
