"""Two folders of results: what is better or worse in the second, beyond the noise."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.suite.part import Figure, Part
from benchmarks.suite.running import read_index


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


def undone(before: Path, after: Path) -> dict[str, str]:
    """What was done in the first folder and not in the second, and what became of it there."""
    one, other = (_index(folder)["parts"] for folder in (before, after))
    names = [name for name, told in one.items() if told.get("status") == 0]
    found = {name: other.get(name, {"left_out": "not asked for"}) for name in names}
    return {
        name: "failed" if told.get("status") else told["left_out"]
        for name, told in found.items()
        if told.get("status") != 0
    }


def unlike(before: Path, after: Path) -> list[str]:
    """What was measured with other settings, or on another machine."""
    one, other = (_index(folder)["parts"] for folder in (before, after))
    found = []
    for name, told in one.items():
        theirs = other.get(name, {})
        if "status" in told and "status" in theirs:
            if told.get("given") != theirs.get("given"):
                found.append(f"{name}: other settings")
            if _machine(told) != _machine(theirs):
                found.append(f"{name}: another machine")
    return found


def _machine(told: dict[str, Any]) -> list[Any]:
    return [told.get("machine", {}).get(key) for key in ("cpu", "threads", "cuda")]


def _index(folder: Path) -> dict[str, Any]:
    index = read_index(folder)
    if index is None:
        raise ValueError(f"{folder} holds no results of the suite")
    return index


def _figures(parts: Sequence[Part], folder: Path) -> dict[str, list[Figure]]:
    """By name, one for each repetition."""
    index = _index(folder)
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
    """Told where the ranges do not meet, widened by the figure's noise in all."""
    one, other = (statistics.median(figure.value for figure in some) for some in (before, after))
    (low, high), (other_low, other_high) = _range(before), _range(after)
    verdict: Literal["better", "worse", "no difference shown"] = "no difference shown"
    if other_low > high or other_high < low:
        verdict = "better" if (other > one) == (before[0].better == "more") else "worse"
    return Difference(name, one, other, verdict)


def _range(figures: Sequence[Figure]) -> tuple[float, float]:
    values = [figure.value for figure in figures]
    room = max(figures[0].noise * abs(statistics.median(values)), figures[0].room) / 2
    return min(values) - room, max(values) + room
