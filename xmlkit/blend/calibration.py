"""Scores that mean chances: what share of labels with such a logit was right on held-out documents.

By centred isotonic regression (Oron and Flournoy, Statistics in Biopharmaceutical Research, 2017): each step
of an isotonic regression (Zadrozny and Elkan, KDD 2002) is one point at its mean logit, with straight lines
between: from the first to the last, what ranks higher scores higher. A first step of which all n are wrong is
worth 1 / (n + 2), and a last one of which all are right as much less than 1, but no more than half of what is
next to it, or to 1: nothing is impossible or certain. How far off scores are is the expected calibration
error (Naeini, Cooper and Hauskrecht, AAAI 2015),

    sum over bins of |right - scored|, over the number of scores

with as many scores in each bin, whose right and scored are sums over it.

V pairs, X places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

BINS = 15


@dataclass(frozen=True)
class Calibration:
    """A line through the plane of logits and chances that never falls."""

    z_X: np.ndarray
    chance_X: np.ndarray

    @classmethod
    def fitted(cls, z_V: np.ndarray, true_V: np.ndarray) -> Calibration:
        """To logits of a model that has not seen these documents, and what is true; of nothing no chance."""
        if not len(z_V):
            return cls(np.zeros(1), np.zeros(1))
        # A second and 70 MB, which predictions need not wait for.
        from sklearn.isotonic import IsotonicRegression

        share_V = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(z_V, true_V)
        chance_X, at_V, count_X = np.unique(share_V, return_inverse=True, return_counts=True)
        z_X = np.bincount(at_V, z_V) / count_X
        if chance_X[0] == 0:
            chance_X[0] = min(1 / (count_X[0] + 2), np.append(chance_X, 1)[1] / 2)
        if chance_X[-1] == 1:
            chance_X[-1] = max(1 - 1 / (count_X[-1] + 2), (1 + np.insert(chance_X, 0, 0)[-2]) / 2)
        return cls(z_X, chance_X)

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """The chances; beyond the first and the last step's means, those of these steps."""
        chances: np.ndarray = np.interp(z, self.z_X, self.chance_X)
        return chances


@dataclass(frozen=True)
class Bin:
    """As many scores as in any other."""

    count: int
    scored: float  # their sum
    right: float  # how many of their labels are

    @property
    def off(self) -> float:
        """How many more are right than was said, or fewer."""
        return abs(self.right - self.scored)


def bins(score_V: np.ndarray, right_V: np.ndarray) -> Iterator[Bin]:
    """From the lowest scores to the highest; none is empty."""
    score_U, at_V, count_U = np.unique(score_V, return_inverse=True, return_counts=True)
    share_V = (np.bincount(at_V, right_V, len(score_U)) / count_U)[at_V]  # equal scores are one, in any order
    for some in np.array_split(np.argsort(score_V), BINS):
        if len(some):
            yield Bin(len(some), float(score_V[some].sum()), float(share_V[some].sum()))


def calibration_error(score_V: np.ndarray, right_V: np.ndarray) -> float:
    """The expected calibration error in percent; 0 of nothing."""
    return 100 * sum(one.off for one in bins(score_V, right_V)) / max(len(score_V), 1)
