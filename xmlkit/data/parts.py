"""Files that are one split in several parts, as dataset hubs have them: `train-00000-of-00002.parquet`."""

from __future__ import annotations

import re
from pathlib import Path

from xmlkit.errors import UserError


def find_parts(folder: Path, split: str, suffix: str) -> tuple[Path, ...] | None:
    """The parts of a split in their order; None where there are none. Raises UserError where one lacks."""
    every: list[tuple[int, int, Path]] = []
    for path in sorted(folder.glob(f"{split}-*{suffix}")):
        if numbers := re.fullmatch(rf"{split}-(\d+)-of-(\d+)(-\w+)?{re.escape(suffix)}", path.name):
            every.append((int(numbers[1]), int(numbers[2]), path))
    if not every:
        return None
    every.sort()
    counts = {count for _, count, _ in every}
    if len(counts) > 1 or [number for number, *_ in every] != list(range(max(counts))):
        names = ", ".join(path.name for *_, path in every)
        raise UserError(f"{folder}: not all parts of {split}, or those of two: {names}")
    return tuple(path for *_, path in every)
