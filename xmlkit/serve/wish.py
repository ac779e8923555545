"""What a client wants to know of a text.

N texts, K ranks, L labels of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Wish:
    """The best labels, at most `top_k`, with a score of at least `threshold`, without what is barred."""

    top_k: int
    threshold: float
    barred_L: np.ndarray | None = None  # bool: labels that may not be suggested

    @cached_property
    def _barred(self) -> int:
        return 0 if self.barred_L is None else int(self.barred_L.sum())

    def depth(self, num_labels: int) -> int:
        """Ranks of which `top_k` are left, whatever is barred."""
        return min(num_labels, self.top_k + self._barred)

    def taken(self, scores_K: np.ndarray, ids_K: np.ndarray) -> list[tuple[int, float]]:
        """Label rows and scores out of a ranking that is at least as deep."""
        kept_K = (ids_K >= 0) & (scores_K >= self.threshold)
        if self.barred_L is not None:
            kept_K &= ~self.barred_L[ids_K]  # of id -1: the last label's, which counts for nothing
        return list(zip(ids_K[kept_K].tolist(), scores_K[kept_K].tolist()))[: self.top_k]
