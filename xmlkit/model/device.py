"""Where a run computes, and in which precision."""

from __future__ import annotations

import torch
from torch import Tensor

from xmlkit.config import Config
from xmlkit.errors import UserError


def choose_device(config: Config) -> torch.device:
    """The setting `device`; auto takes CUDA where there is one."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--set device=cuda: PyTorch sees no CUDA device here; leave it at auto")
    if config.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda")


def use_bfloat16(config: Config, device: torch.device) -> bool:
    """The setting `precision`; auto: where it was measured to be faster (benchmarks/README.md)."""
    if config.precision != "auto":
        return config.precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def full_precision(x: Tensor) -> Tensor:
    """In float32, whatever autocast made of it; float64 stays."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
