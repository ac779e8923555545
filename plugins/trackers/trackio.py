"""Trackio: on this machine, or where `TRACKIO_SPACE_ID` or `TRACKIO_SERVER_URL` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from . import Outcome, Tracked, Tracker


class OfRun(Tracker):
    """It finds runs by their names alone."""

    def __init__(self, run: Any, name: str):
        self._run, self.id = run, name

    def take(self, step: int, figures: Mapping[str, float]) -> None:
        """It is sent soon."""
        self._run.log(dict(figures), step=step)

    def close(self, outcome: Outcome) -> None:
        """Waits until all is sent."""
        self._run.finish()


def begin(run: Tracked) -> OfRun:
    """Of the machine's load nothing is taken along."""
    import trackio

    name = run.id or f"{run.name}-{uuid4().hex[:8]}"  # which no other run has
    how = {"resume": "never" if run.id is None else "must", "embed": False}
    quiet = {"auto_log_gpu": False, "auto_log_cpu": False}
    return OfRun(trackio.init(run.project, name, config=run.settings, **how, **quiet), name)
