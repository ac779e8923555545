"""What a client wants to know of a text.

K ranks, L labels of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Wish:
    """The best labels, at most `top_k`, that score `threshold` at least, of those that are allowed."""

    top_k: int
    threshold: float
    allowed_L: np.ndarray | None = None  # bool; None: all

    def is_among(self, other: Wish) -> bool:
        """Whether the same labels are allowed. By a vocabulary that is one array, which need not be read."""
        return self.allowed_L is other.allowed_L or self._among == other._among

    @cached_property
    def _among(self) -> bytes | None:
        return None if self.allowed_L is None else self.allowed_L.tobytes()

    def taken(self, scores_K: np.ndarray, ids_K: np.ndarray) -> list[tuple[int, float]]:
        """Label rows and scores out of a ranking that is at least as deep."""
        kept_K = (ids_K >= 0) & (scores_K >= np.float64(self.threshold))
        return list(zip(ids_K[kept_K].tolist(), scores_K[kept_K].tolist()))[: self.top_k]
