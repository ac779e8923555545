"""Two folders of results: what is better or worse in the second, beyond the noise."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.suite.part import Figure, Part
from benchmarks.suite.running import read_index

NOISE = 0.05  # of a figure: by less no machine is the same on two days


@dataclass(frozen=True)
class Difference:
    """A figure in both folders."""

    name: str
    before: float  # medians
    after: float
    verdict: Literal["better", "worse", "no difference shown"]


def compared(parts: Sequence[Part], before: Path, after: Path) -> list[Difference]:
    """All figures that both have. Raises ValueError for a folder without results."""
    one, other = (_figures(parts, folder) for folder in (before, after))
    return [_difference(name, one[name], other[name]) for name in one if name in other]


def _figures(parts: Sequence[Part], folder: Path) -> dict[str, list[Figure]]:
    """By name, one for each repetition."""
    index = read_index(folder)
    if index is None:
        raise ValueError(f"{folder} holds no results of the suite")
    of_name = {part.name: part for part in parts}
    found: dict[str, list[Figure]] = defaultdict(list)
    for run, told in index["parts"].items():
        file = folder / f"{run}.json"
        if told["part"] in of_name and file.is_file():
            what = run.rpartition("-")[0]  # without the number
            for name, figure in of_name[told["part"]].figures(json.loads(file.read_text())).items():
                found[f"{what}: {name}"].append(figure)
    return found


def _difference(name: str, before: Sequence[Figure], after: Sequence[Figure]) -> Difference:
    """Told where the ranges do not meet, widened by NOISE in all."""
    one, other = (statistics.median(figure.value for figure in some) for some in (before, after))
    (low, high), (other_low, other_high) = _range(before), _range(after)
    verdict: Literal["better", "worse", "no difference shown"] = "no difference shown"
    if other_low > high or other_high < low:
        verdict = "better" if (other > one) == (before[0].better == "more") else "worse"
    return Difference(name, one, other, verdict)


def _range(figures: Sequence[Figure]) -> tuple[float, float]:
    values = [figure.value for figure in figures]
    room = max(NOISE * abs(statistics.median(values)), figures[0].room) / 2
    return min(values) - room, max(values) + room
