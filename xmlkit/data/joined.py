"""Two stores read as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xmlkit.data.ragged import Ragged

Take = Callable[[np.ndarray], np.ndarray]  # what is known of some rows


@dataclass(frozen=True)
class Joined:
    """The rows of one store, and behind them those of another; neither is copied."""

    first: Ragged | Joined
    second: Ragged

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    @property
    def lengths(self) -> np.ndarray:
        """How many values each row has."""
        return np.concatenate([self.first.lengths, self.second.lengths])

    def take(self, rows: np.ndarray) -> Ragged:
        """These rows in this order."""
        of_first, of_second, places = parted(rows, len(self.first))
        first, second = self.first.take(of_first), self.second.take(of_second)
        both = Ragged(
            np.concatenate([first.values, second.values]),
            np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]]),
        )
        return both.take(places)


def parted(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of two stores, the first of which has so many: those of each, and places in both end to end."""
    is_second = rows >= count
    return rows[~is_second], rows[is_second] - count, np.argsort(np.argsort(is_second, kind="stable"))


def joined_means(first: Take | None, second: Take | None, count: int) -> Take | None:
    """What is known of the rows of two stores, the first of which has so many; None where one is not."""
    if first is None or second is None:
        return None

    def means(rows: np.ndarray) -> np.ndarray:
        of_first, of_second, places = parted(rows, count)
        return np.concatenate([first(of_first), second(of_second)])[places]

    return means
