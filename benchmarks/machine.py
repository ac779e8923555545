"""What a figure must say about where it was taken, and what measuring needs everywhere."""

from __future__ import annotations

import datetime
import multiprocessing
import os
import platform
import resource
import subprocess
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
import transformers

import xmlkit
from xmlkit.model.device import processor


def machine() -> dict[str, Any]:
    """Device, versions, commit and date."""
    cpu = processor()
    return {
        "date": datetime.date.today().isoformat(),
        "commit": _commit(),
        "xmlkit": xmlkit.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cpu": cpu.get("cpu_name", platform.processor()),
        "threads": torch.get_num_threads(),
        "amx_bf16": cpu.get("amx_bf16", False),
        "avx512_bf16": cpu.get("avx512_bf16", False),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def shown(arguments: list[str]) -> str:
    """Of a command, without where things lie here."""
    return " ".join(Path(one).name if "/" in one else one for one in arguments)


def wait(device: torch.device) -> None:
    """Until the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_gib() -> float:
    """The largest resident size of this process so far."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


def in_a_process_of_its_own(work: Callable[..., Any], *given: Any) -> Any:
    """What it returns, from a fresh process whose memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


def _commit() -> str | None:
    try:
        command = ["git", "describe", "--always", "--dirty"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # a copy without its history
        return None
