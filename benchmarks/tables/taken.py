"""When and where a figure was taken, as its file tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def date(told: Mapping[str, Any]) -> str:
    """When it was taken, as far as it is told."""
    return told.get("machine", {}).get("date") or told.get("scored", "")


def machine(told: Mapping[str, Any]) -> str:
    """The device, what a CPU has for bfloat16, and threads."""
    here = told.get("machine", {})
    if here.get("cuda"):
        return str(here["cuda"])
    fast = " with AMX" if here.get("amx_bf16") else " with AVX512-BF16" if here.get("avx512_bf16") else ""
    threads = here.get("threads")
    said = [f"{here['cpu']}{fast}"] if "cpu" in here else []
    return ", ".join(
        [*said, *([] if threads is None else ["one thread" if threads == 1 else f"{threads} threads"])]
    )
