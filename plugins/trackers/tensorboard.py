"""TensorBoard: event files in the folder `tensorboard` of the run. Nothing leaves the machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from . import Outcome, Tracked, Tracker

FOLDER = "tensorboard"


class OfRun(Tracker):
    """Written from the first figure on, so that a run that comes to nothing leaves nothing behind."""

    id = FOLDER

    def __init__(self, run: Tracked, kind: Any):
        self._run, self._kind = run, kind
        self._writer: Any = None

    def take(self, step: int, figures: Mapping[str, float]) -> None:
        """On the disk at once: what is looked at is never far behind."""
        if self._writer is None:
            self._writer = self._opened()
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, outcome: Outcome) -> None:
        """Whatever the outcome."""
        if self._writer is not None:
            self._writer.close()

    def _opened(self) -> Any:
        done, folder = self._run.steps_done, self._run.folder / FOLDER
        # What was told of steps that are done again is told again, and counts no more.
        writer = self._kind(folder, purge_step=done + 1 if self._run.id is not None else None)
        if self._run.id is None:
            settings = json.dumps(self._run.settings, indent=2, ensure_ascii=False)
            writer.add_text("settings", f"```\n{settings}\n```")
        return writer


def begin(run: Tracked) -> OfRun:
    """Imports torch's writer."""
    from torch.utils.tensorboard import SummaryWriter

    return OfRun(run, SummaryWriter)
