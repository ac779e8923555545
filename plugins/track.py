"""Sends a training's figures to TensorBoard, Weights & Biases, MLflow or Trackio, by the names in its log.

    xmlkit train DATA --track tensorboard
    tensorboard --logdir runs

Each line of `log.jsonl` that has figures goes there with its step: losses, rate and speed every `log_every`
steps, `validation/...` of each evaluation. Besides these only the settings are sent, which may name files and
folders, and the corpus's name; no text, no label, no weight. With TensorBoard nothing leaves the machine; the
others go where their own settings, `wandb login`, `MLFLOW_TRACKING_URI` or `TRACKIO_SPACE_ID`, say.

A run that goes on (`--resume`) goes on there, too: `tracked.json` in its folder says by which names. Where a
tracker fails, because its server is away, say, that is said once, and the training goes on without it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, field_validator

from xmlkit import Run, UserError, hookimpl, say

from .trackers import Outcome, Tracked, Tracker, begun, trackers

FILE = "tracked.json"


class Options(BaseModel, extra="forbid"):
    """Settings."""

    to: tuple[str, ...] = Field(
        ("tensorboard",), min_length=1, description="which: tensorboard, wandb, mlflow, trackio, or several"
    )
    project: str = Field("xmlkit", min_length=1, description="under which the run is listed there")

    @field_validator("to", mode="before")
    @classmethod
    def _known(cls, to: Any) -> Any:
        """One name may stand alone, several between commas."""
        names = [name.strip() for name in to.split(",")] if isinstance(to, str) else to
        for name in names if isinstance(names, list | tuple) else ():
            if name not in trackers():
                raise ValueError(f"there is no {name!r}; there are {', '.join(trackers())}")
        return list(dict.fromkeys(names)) if isinstance(names, list | tuple) else names


class Tracking:
    """The trackers of a run; one that fails is told of, and not asked any more."""

    def __init__(self, run: Run):
        self._file = run.folder / FILE
        self._ids = _ids_in(self._file)
        self._trackers: dict[str, Tracker] = {}

    def begin(self, run: Run) -> None:
        """Raises UserError where a library is missing."""
        options = Options(**run.config.options.get("track", {}))
        for name in options.to:
            tracked = Tracked(
                run.folder, options.project, _settings(run), run.steps_done, self._ids.get(name)
            )
            with self._telling(name):
                self._trackers[name] = begun(name, tracked)

    def take(self, step: int, figures: Mapping[str, float]) -> None:
        """Hands them on; from the first ones on the run knows its names."""
        for name, tracker in list(self._trackers.items()):
            with self._telling(name):
                tracker.take(step, figures)
                if self._ids.get(name) != tracker.id:
                    self._ids[name] = tracker.id
                    self._file.write_text(json.dumps(self._ids) + "\n", encoding="utf-8")

    def close(self, outcome: Outcome) -> None:
        """Nothing more comes."""
        for name, tracker in list(self._trackers.items()):
            with self._telling(name):
                tracker.close(outcome)

    @contextmanager
    def _telling(self, name: str) -> Iterator[None]:
        """What the library prints is none of the command's output."""
        try:
            with redirect_stdout(sys.stderr):
                yield
        except UserError:
            raise
        except Exception as error:  # of whichever library, or of what stands between it and its server
            self._trackers.pop(name, None)
            words = str(error).strip().partition("\n")[0] or type(error).__name__
            say(f"track: {name} fails, and the training goes on without it: {words}")


def _ids_in(file: Path) -> dict[str, str]:
    """By tracker; none where the run begins. Raises UserError for a damaged file."""
    try:
        ids = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (ValueError, RecursionError):
        ids = None
    if not isinstance(ids, dict) or not all(isinstance(id, str) for id in ids.values()):
        raise UserError(f"{file} is damaged: put it back, or remove it: the rest is tracked as a new run")
    return ids


def _settings(run: Run) -> dict[str, Any]:
    """The run's, each plugin's options by `PLUGIN.OPTION`, and the name of its corpus."""
    settings: dict[str, Any] = {"corpus": run.corpus}
    for key, value in run.config.as_document().items():
        table = (
            {f"{key}.{option}": given for option, given in value.items()} if isinstance(value, dict) else {}
        )
        settings |= table or {key: value}
    return settings


_tracked: dict[Path, Tracking] = {}  # by a run's folder, while it is trained


@hookimpl
def run_started(run: Run) -> None:
    """Raises UserError where a library is missing, and for a damaged file."""
    if run.is_first:
        _tracked[run.folder] = tracking = Tracking(run)
        tracking.begin(run)


@hookimpl
def logged(run: Run, step: int, figures: dict[str, float]) -> None:
    """Hands them on."""
    if run.is_first:
        _tracked[run.folder].take(step, figures)


@hookimpl
def run_ended(run: Run, outcome: Outcome) -> None:
    """Closes what is open, also after Ctrl-C and an error."""
    if tracking := _tracked.pop(run.folder, None):  # none where nothing was begun
        tracking.close(outcome)
