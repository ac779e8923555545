"""Where a run computes, and in which precision."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xmlkit.errors import UserError


def choose_device(wanted: str) -> torch.device:
    """`cpu`, `cuda` or `auto`, which takes CUDA where there is one."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("--set device=cuda: PyTorch sees no CUDA device here; leave it at auto")
    return torch.device("cpu" if wanted == "cpu" or not torch.cuda.is_available() else "cuda")


def use_bfloat16(precision: str, device: torch.device) -> bool:
    """`float32`, `bfloat16` or `auto`: where it was measured to be faster (benchmarks/README.md)."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(processor().get(name) for name in ("amx_bf16", "avx512_bf16"))


def processor() -> dict[str, Any]:
    """The CPU's name and what it can do, as PyTorch tells; PyTorch of 2025 does not know."""
    capabilities: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return capabilities()


def check_compiler() -> None:
    """Raises UserError where torch.compile will find no compiler."""
    if not any(map(shutil.which, (os.environ.get("CXX") or "c++", "g++", "clang++"))):
        raise UserError("--set compile=true: no C++ compiler is installed; install g++, or leave it")


def full_precision(x: Tensor) -> Tensor:
    """In float32, whatever autocast made of it; float64 stays."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
