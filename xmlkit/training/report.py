"""What a person and a program see of a training run: a progress line, and `log.jsonl`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from xmlkit.console import console, in_words, say
from xmlkit.distributed import ranks
from xmlkit.files import errors_named, replaced

FEWEST_STEPS = 10
WORTH_A_LINE = 60.0  # seconds
Outcome = Literal["finished", "stopped early", "interrupted"]


class Report:
    """The progress display, on the error stream, and the same figures as JSON Lines.

    Of several ranks the first has both. `logged` is told the figures of each line that has been written, with
    its step.
    """

    def __init__(
        self,
        log: Path,
        num_steps: int,
        done: int = 0,
        seconds: float = 0.0,
        logged: Callable[[int, dict[str, float]], None] = lambda step, figures: None,
    ):
        log = log if ranks.is_first() else Path(os.devnull)
        kept = _lines_up_to(done, log)
        if ranks.is_first():
            with replaced(log) as unfinished:
                unfinished.write_text("".join(kept), encoding="utf-8")
        self._log, self._logged = log.open("a", encoding="utf-8"), logged
        self._progress = Progress(
            MofNCompleteColumn(),
            BarColumn(bar_width=8),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._task = self._progress.add_task("train", total=num_steps, completed=done, figures="")
        self._scores = ""
        self._num_steps = num_steps
        self._documents, self._seconds = 0, seconds
        self._begun: tuple[int, float] | None = done, seconds  # until it was told how long it will take

    def __enter__(self) -> Report:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        with suppress(OSError) if kind else nullcontext():  # the disk is full: that was said already
            self._log.close()

    def advance(self, documents: int) -> None:
        """A step of so many documents is done."""
        self._documents += documents
        self._progress.advance(self._task)

    def figures(self, step: int, epoch: float, seconds: float, rate: float, losses: dict[str, float]) -> None:
        """The state of the training: the seconds of all steps, the speed since the last call."""
        speed = self._documents / (seconds - self._seconds)
        self._documents, self._seconds = 0, seconds
        times = {"seconds": round(seconds, 3), "documents_per_second": round(speed, 1)}
        self._tell(step, {"epoch": round(epoch, 4), "lr": rate, **times, **losses})
        self._tell_how_long(step, seconds)
        text = f"loss {losses['loss']:.2f}  {speed:.0f} docs/s  lr {rate:.1e}{self._scores}"
        self._progress.update(self._task, figures=text)

    def _tell_how_long(self, step: int, seconds: float) -> None:
        """Once, by the steps so far."""
        if self._begun is None or step < self._begun[0] + FEWEST_STEPS:
            return
        (done, before), self._begun = self._begun, None
        left = (self._num_steps - step) * (seconds - before) / (step - done)
        if left > WORTH_A_LINE:
            say(f"steps: {in_words(seconds + left)} in all by the first {step - done}, without evaluations")

    def scores(
        self, step: int, metrics: dict[str, float], shortlists: dict[str, float], when: str = ""
    ) -> None:
        """An evaluation; `when` comes before the names of its figures, where it is none of the training."""
        figures = {f"validation/{name}": value for name, value in metrics.items()} | shortlists
        figures = {f"{when}/{name}" if when else name: value for name, value in figures.items()}
        self._tell(step, {name: round(value, 4) for name, value in figures.items()})
        precision = {name.removeprefix("P@"): v for name, v in metrics.items() if name.startswith("P@")}
        values = "/".join(f"{value:.1f}" for value in precision.values())
        self._scores = f"  P@{'/'.join(precision)} {values}"
        recall = "".join(f"  {name} {value:.1f}" for name, value in shortlists.items())
        say(f"step {step:,}{f', {when}' if when else ''}: validation{self._scores}{recall}")

    def ended(self, step: int, outcome: Outcome) -> None:
        """The training is over, whatever is still to be scored."""
        self._write(step=step, outcome=outcome)

    def _tell(self, step: int, figures: Mapping[str, float]) -> None:
        known = {name: value for name, value in figures.items() if not math.isnan(value)}
        self._write(step=step, **{name: known.get(name) for name in figures})  # null: NaN is no JSON
        self._logged(step, known)

    def _write(self, **line: Any) -> None:
        with errors_named(Path(self._log.name)):
            self._log.write(json.dumps(line) + "\n")
            self._log.flush()


def outcome_of(log: Path) -> Outcome | None:
    """How a training ended; None where it has not, or was broken off."""
    lines = _lines(log)
    return lines[-1][1].get("outcome") if lines else None


def seconds_of(log: Path) -> float:
    """Of all steps of a training that has ended."""
    return next((figures["seconds"] for _, figures in reversed(_lines(log)) if "seconds" in figures), 0.0)


def figures_in(log: Path) -> list[dict[str, Any]]:
    """What each line says, up to now."""
    return [figures for _, figures in _lines(log)]


def steps_of(log: Path) -> int:
    """The last one that was told of."""
    return max((figures["step"] for _, figures in _lines(log)), default=0)


def _lines_up_to(step: int, log: Path) -> list[str]:
    """The log up to a checkpoint: what a resumed run will do again it will write again."""
    return [line for line, figures in _lines(log) if step and figures["step"] <= step]


def _lines(log: Path) -> list[tuple[str, dict[str, Any]]]:
    """Lines and what they say, but for such as a crash cut off."""
    found = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines(True) if log.exists() else []:
        with suppress(ValueError, TypeError, KeyError, RecursionError):
            figures = json.loads(line)
            found += [(line, figures)] if line.endswith("\n") and _is_ours(figures) else []
    return found


def _is_ours(figures: dict[str, Any]) -> bool:
    step, seconds = figures["step"], figures.get("seconds", 0.0)
    return type(step) is int and step >= 0 and isinstance(seconds, int | float)
