"""Two stores read as one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmlkit.data.ragged import Ragged


@dataclass(frozen=True)
class Joined:
    """The rows of one Ragged, and behind them those of another; neither is copied."""

    first: Ragged
    second: Ragged

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    @property
    def lengths(self) -> np.ndarray:
        """How many values each row has."""
        return np.concatenate([self.first.lengths, self.second.lengths])

    def take(self, rows: np.ndarray) -> Ragged:
        """These rows in this order."""
        is_second = rows >= len(self.first)
        first = self.first.take(rows[~is_second])
        second = self.second.take(rows[is_second] - len(self.first))
        both = Ragged(
            np.concatenate([first.values, second.values]),
            np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]]),
        )
        return both.take(np.argsort(np.argsort(is_second, kind="stable")))
