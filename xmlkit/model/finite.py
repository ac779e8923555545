"""Which of some tensors is infinite or no number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first that holds what is infinite or no number; the device is waited for once."""
    floating = {name: tensor for name, tensor in tensors.items() if _has_numbers(tensor)}
    ends = [end.double() for tensor in floating.values() for end in tensor.detach().aminmax()]  # NaN is both
    if not ends:
        return None
    is_finite = torch.stack(_on_one_device(ends)).isfinite().view(-1, 2).all(1).tolist()
    return next((name for name, good in zip(floating, is_finite, strict=True) if not good), None)


def _has_numbers(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.numel() > 0 and not tensor.is_meta


def _on_one_device(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Step counts of optimisers lie on the host."""
    tensors = list(tensors)
    device = next((tensor.device for tensor in tensors if tensor.device.type != "cpu"), tensors[0].device)
    return [tensor.to(device) for tensor in tensors]
