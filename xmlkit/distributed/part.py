"""A tensor of which each rank has a run of rows, as FSDP splits an encoder's weights (PyTorch's DTensor)."""

from __future__ import annotations

import sys
from typing import Any

from torch import Tensor

from xmlkit.distributed.share import Chunk, Share


def is_sharded(tensor: Tensor) -> bool:
    """Whether it is one. They come with FSDP, whose import takes its time: before it there is none."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def share_of(tensor: Any) -> Share | None:
    """What this rank has of its rows; None where it is whole."""
    if not is_sharded(tensor):
        return None
    return Chunk(len(tensor), tensor.device_mesh.get_local_rank(), tensor.device_mesh.size())


def own_part(tensor: Any) -> Tensor:
    """These rows, in the same memory; all of what is whole."""
    found: Tensor = tensor.to_local() if is_sharded(tensor) else tensor
    return found


def like(weight: Any, own: Tensor) -> Tensor:
    """What has these rows on this rank, and is split and shaped as the weight is."""
    if not is_sharded(weight):
        return own
    from torch.distributed.tensor import DTensor

    placed = (weight.device_mesh, weight.placements)
    return DTensor.from_local(own, *placed, shape=weight.shape, stride=weight.stride())
