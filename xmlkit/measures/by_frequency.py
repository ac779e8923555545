"""Where the figures of a ranking come from: labels that few training documents have, or many.

In `parts` each tenth of the labels keeps its places in the ranking and all others leave theirs empty. Every
metric is a sum over hits, so that its ten parts add up to it, and show what rare labels bring.

N documents, K ranks, M labels of the model, T tenths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from xmlkit.data.ragged import Ragged
from xmlkit.measures.by_label import tenths

Scores = Callable[[np.ndarray, Ragged], Mapping[str, float]]


def parts(ids_NK: np.ndarray, truth: Ragged, counts_M: np.ndarray, scores: Scores) -> list[dict[str, float]]:
    """The metrics that `scores` has for a ranking, in points, as parts of `tenths`, rarest labels first."""
    found = tenths(counts_M)
    tenth_M = np.empty(len(counts_M), np.int64)
    for number, rows in enumerate(found):
        tenth_M[rows] = number
    tenth_NK = np.where(ids_NK >= 0, tenth_M[ids_NK], -1)
    return [dict(scores(np.where(tenth_NK == t, ids_NK, -1), truth)) for t in range(len(found))]
