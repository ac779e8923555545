"""Rows of unequal length, stored end to end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ragged:
    """Row i is `values[offsets[i]:offsets[i + 1]]`; the values may lie in a memory-mapped file."""

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]], dtype: type = np.int64) -> Ragged:
        """Packs lists of integers."""
        rows = list(rows)
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        numbers = (value for row in rows for value in row)
        values: np.ndarray = np.fromiter(numbers, dtype, count=int(offsets[-1]))
        return cls(values, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        """The values of one row."""
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """How many values each row has."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray, most: int | None = None) -> Ragged:
        """These rows in this order, each cut to its first `most` values."""
        lengths = self.offsets[np.asarray(rows) + 1] - self.offsets[rows]
        if most is not None:
            lengths = np.minimum(lengths, most)
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        starts = np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Ragged(self.values[starts + np.arange(offsets[-1])], offsets)
