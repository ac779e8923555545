"""Nothing that is not finite is scored, saved or called finished."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xmlkit.config import Config
from xmlkit.errors import UserError
from xmlkit.model.finite import not_finite
from xmlkit.training.claim import has_begun

SHOWN = 3  # documents of the step


class NotFinite(UserError):
    """A loss or a weight was infinite or no number."""

    def __init__(self, line: str, fact: str):
        super().__init__(line)
        self.fact = fact


class FiniteWatch:
    """Notes each step's losses without waiting for the device; `check` waits, and says what came first."""

    def __init__(self, config: Config, folder: Path, num_documents: int):
        self.config, self.folder, self.num_documents = config, folder, num_documents
        self._first: dict[str, Tensor] = {}  # the first step at which a loss was not finite; 0-d, 0: none
        self._rows: dict[int, np.ndarray] = {}  # of each step that nobody has looked at yet
        self._last = 0

    def note(self, step: int, rows: np.ndarray, losses: Mapping[str, Tensor]) -> None:
        """A step is done, in which these rows of the training file gave these losses."""
        self._rows[step], self._last = rows, step
        for name, loss in losses.items():
            first = self._first.setdefault(name, torch.zeros((), dtype=torch.int64, device=loss.device))
            self._first[name] = torch.where(loss.isfinite() | (first > 0), first, step)

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """Raises NotFinite where a loss since the last call, or one of these weights, is not finite."""
        found = {name: int(first) for name, first in self._first.items() if int(first)}
        if found:
            step = min(found.values())
            names = ", ".join(name for name, first in found.items() if first == step and name != "loss")
            self._refuse(f"the loss is not finite at step {step}{f' ({names})' if names else ''}", step)
        if (name := not_finite(tensors)) is not None:
            self._refuse(f"the weights {name!r} are not finite after step {self._last}", self._last)
        self._rows = {step: rows for step, rows in self._rows.items() if step == self._last}

    def _refuse(self, fact: str, step: int) -> None:
        config = self.config
        others = f", or leave out a plugin ({', '.join(config.plugins)})" if config.plugins else ""
        before = f"; {self.folder} is as it was saved before" if has_begun(self.folder) else ""
        raise NotFinite(
            f"{fact}{self._documents(step)}: lower lr ({config.lr:g}) or head_lr ({config.head_lr:g}), set "
            f"precision=float32{others}{before}",
            fact,
        )

    def _documents(self, step: int) -> str:
        """In words, as the training file counts them, from 1."""
        rows = [row + 1 for row in self._rows.get(step, np.zeros(0, np.int64)).tolist()]
        rows = [row for row in rows if row <= self.num_documents]  # behind them are names and bare texts
        if not rows:
            return ""
        more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        return f", of the documents {', '.join(map(str, rows[:SHOWN]))}{more}"
