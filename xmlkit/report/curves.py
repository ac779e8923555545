"""What a run's log tells, as curves over the epochs: losses, evaluations, what plugins report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from xmlkit.training.trainer import CHOSEN_BY

TIMES = ("step", "epoch", "seconds")
ALONE = ("lr", "documents_per_second")  # all else without a slash is a loss
SHOWN = ("validation/P", "validation/PSP")
LARGEST = 1e300  # beyond it lie infinity, and whole numbers that are no float
AFTER = "trained/"  # what was scored once more when plugins had done their work after the last step


class Point(NamedTuple):
    """A figure of a step."""

    step: int
    epoch: float
    value: float


Curve = list[Point]


@dataclass(frozen=True)
class Evaluation:
    """All that one said, by name."""

    step: int
    epoch: float
    figures: dict[str, float]
    after: bool = False  # the training


class Curves:
    """The figures of a log."""

    def __init__(self, lines: Sequence[dict[str, Any]]):
        self._steps_an_epoch = _steps_an_epoch(lines)
        self.pictures: dict[str, dict[str, Curve]] = {}  # by what belongs into one picture
        self.evaluations: list[Evaluation] = []
        for line in lines:
            figures = {name: value for name, value in line.items() if name not in TIMES and _is_number(value)}
            step, epoch = int(line["step"]), self._epoch(line)
            after = any(name.startswith(AFTER) for name in figures)
            plain = {name.removeprefix(AFTER): value for name, value in figures.items()}
            if any(name.startswith("validation/") for name in plain):
                self.evaluations.append(Evaluation(step, epoch, plain, after))
            if not after:
                for name, value in figures.items():
                    picture, curve = _place(name)
                    self.pictures.setdefault(picture, {}).setdefault(curve, []).append(
                        Point(step, epoch, value)
                    )

    @property
    def chosen(self) -> Evaluation | None:
        """Whose weights were kept: the best by P@5, then nDCG@5, of equals the last."""
        names = [f"validation/{name}" for name in CHOSEN_BY]
        known = [
            one for one in self.evaluations if not one.after and all(name in one.figures for name in names)
        ]
        return max(reversed(known), key=lambda one: [one.figures[name] for name in names], default=None)

    @property
    def columns(self) -> list[str]:
        """What a table of evaluations shows: P, PSP, and what is no metric."""
        names = dict.fromkeys(name for one in self.evaluations for name in one.figures)
        return [name for name in names if name.split("@")[0] in SHOWN or not name.startswith("validation/")]

    def of(self, picture: str) -> dict[str, Curve]:
        """The curves of a picture, where any of them has two points or more; else none."""
        found = self.pictures.get(picture, {})
        return found if any(len(curve) > 1 for curve in found.values()) else {}

    def _epoch(self, line: dict[str, Any]) -> float:
        if _is_number(line.get("epoch")):
            return float(line["epoch"])
        return int(line["step"]) / self._steps_an_epoch if self._steps_an_epoch else 0.0


def _steps_an_epoch(lines: Sequence[dict[str, Any]]) -> float:
    """By the last line that says both; 0 where none does."""
    known = [line for line in lines if _is_number(line.get("epoch")) and line["epoch"] > 0]
    return int(known[-1]["step"]) / known[-1]["epoch"] if known else 0.0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _place(name: str) -> tuple[str, str]:
    """The picture that a figure belongs into, and the name of its curve there."""
    kind, slash, rest = name.rpartition("/")
    if not slash:
        return (name if name in ALONE else "loss"), name
    if "@" in rest:
        return f"{kind}/{rest.partition('@')[0]}", rest
    return (kind if "/" in kind or kind.endswith("shortlist") else name), rest
