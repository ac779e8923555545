"""What a folder of the benchmark suite tells: how good models are, what they took, and what labels cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmlkit.errors import UserError

INDEX = "suite.json"
SHOWN = ("P@1", "P@3", "P@5", "nDCG@5", "PSP@1", "PSP@3", "PSP@5")
DRAWN = ("P@5", "PSP@5")
COSTS = ("documents_per_second", "peak_gib", "megabytes", "lines_written")


@dataclass(frozen=True)
class Measured:
    """One model on the test split of one corpus."""

    name: str
    is_ours: bool
    corpus: str
    seconds: float  # to train; of ours those of the whole command
    figures: Mapping[str, float]  # in percent
    costs: Mapping[str, float]  # by name, where they were taken


@dataclass(frozen=True)
class Step:
    """One training step of so many labels."""

    name: str
    labels: int
    ratio: float  # to the same step of the encoder alone


@dataclass(frozen=True)
class OfSuite:
    """The models of one folder, the quickest first, and steps, by their labels."""

    folder: Path
    measured: list[Measured]
    steps: list[Step]
    how: dict[str, str]  # the command, the day, the machine and what else it did, by the name of the run
    left_out: dict[str, str]  # or failed: why, likewise

    @property
    def title(self) -> str:
        """Its folder's name."""
        return self.folder.resolve().name

    @property
    def by_corpus(self) -> dict[str, list[Measured]]:
        """A list for each corpus."""
        names = dict.fromkeys(one.corpus for one in self.measured)
        return {name: [one for one in self.measured if one.corpus == name] for name in names}


def is_suite(folder: Path) -> bool:
    """Whether the suite has written into it."""
    return (folder / INDEX).is_file()


def read_suite(folder: Path) -> OfSuite:
    """Raises UserError where a file is damaged, or where neither a model nor a step was measured."""
    told = _read(folder / INDEX).get("parts")
    if not isinstance(told, dict) or not all(isinstance(one, dict) for one in told.values()):
        raise UserError(f"{folder / INDEX} is damaged: it lists no parts; measure once more")
    files = {run: folder / f"{run}.json" for run in told}
    found = {run: _read(file) for run, file in files.items() if file.is_file()}
    models = [_measured(told[run].get("part", run), one) for run, one in found.items()]
    measured = sorted((one for one in models if one), key=lambda one: one.seconds)
    steps = sorted((one for result in found.values() for one in _steps(result)), key=lambda one: one.labels)
    if not measured and not steps:
        raise UserError(
            f"{folder} holds no figures of models or steps; run the suite with --only quality,peers"
        )
    how = {run: said for run, result in found.items() if (said := _how(told[run], result))}
    reasons = {run: str(one["left_out"]) for run, one in told.items() if "left_out" in one}
    reasons |= {run: f"failed: {one.get('why', '')}" for run, one in told.items() if one.get("status")}
    return OfSuite(folder, measured, steps, how, reasons)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{file} is damaged: it holds no JSON object; measure once more")
    return found


def _how(told: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    machine = told.get("machine")
    here = machine if isinstance(machine, dict) else {}
    said = (told.get("command"), here.get("date"), here.get("cuda") or here.get("cpu"), found.get("note"))
    return ", ".join(str(one) for one in said if one)


def _steps(found: Mapping[str, Any]) -> Iterator[Step]:
    """None of a result that is not of steps."""
    lines = found.get("results")
    for line in lines if isinstance(lines, list) else []:
        ratio = line.get("ratio") if isinstance(line, dict) else None
        if isinstance(ratio, list) and ratio and all(map(_is_number, (ratio[0], line.get("labels")))):
            name = f"{line.get('shape', '')}, {line.get('documents', '')} documents a step"
            yield Step(name, int(line["labels"]), float(ratio[0]))


def _measured(name: Any, found: dict[str, Any]) -> Measured | None:
    """None of a result that is no trained model's."""
    numbers = {what: float(value) for what, value in found.items() if _is_number(value)}
    if not all(what in numbers for what in ("seconds", *DRAWN)) or numbers["seconds"] <= 0:
        return None
    return Measured(
        str(name),
        "peer" not in found,
        str(found.get("corpus", "")),
        numbers["seconds"],
        {metric: numbers[metric] for metric in SHOWN if metric in numbers},
        {cost: numbers[cost] for cost in COSTS if cost in numbers},
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
