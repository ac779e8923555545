"""What a figure must say about where it was taken."""

from __future__ import annotations

import datetime
import platform
import subprocess
from typing import Any

import torch
import transformers

import xmlkit


def machine() -> dict[str, Any]:
    """Device, versions, commit and date."""
    cpu = getattr(torch.cpu, "get_capabilities", dict)()
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
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _commit() -> str | None:
    try:
        command = ["git", "describe", "--always", "--dirty"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # a copy without its history
        return None
