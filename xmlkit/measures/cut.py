"""What of a ranking is assigned: the labels that score at least a threshold, and no more than a limit.

A threshold and a limit that all labels share, as Annif has them and its `optimize` looks for them
(https://github.com/NatLibFi/Annif), but over all thresholds that make a difference. Where F is a mean of

    F_g = 2 tp_g / (assigned_g + true_g)

over groups g of pairs of a document and a label (all pairs: micro-F1; those of a label: macro-F1; those of a
document: example-F1), each further pair that is assigned changes the F of its group alone: one pass through
the pairs by falling score has them all.

N documents, K ranks, V pairs of a document and a label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmlkit.data.ragged import Ragged
from xmlkit.metrics import hits

DEEPEST = 50  # labels of a document that are looked at, where no limit is named
FITTED_FOR = ("micro-F1", "macro-F1", "example-F1")
SAME = 1e-12


@dataclass(frozen=True)
class Cut:
    """Where rankings end."""

    threshold: float = 0.0
    limit: int = DEEPEST

    def assigned_NK(self, scores_NK: np.ndarray, ids_NK: np.ndarray) -> np.ndarray:
        """Bool: is this label assigned? `ids_NK` has -1 where a document has fewer."""
        within_K = np.arange(ids_NK.shape[1]) < self.limit
        return (ids_NK >= 0) & (scores_NK >= np.float64(self.threshold)) & within_K


def best_cut(scores_NK: np.ndarray, ids_NK: np.ndarray, truth: Ragged, num_labels: int, measure: str) -> Cut:
    """The cut of these rankings, best first, with the best F of a kind in `FITTED_FOR`.

    Of equally good ones that with the smallest limit, then the highest threshold, which lies midway between
    the last score that is assigned and the next one; 0 where all up to the limit are. `num_labels` are those
    of the model; true labels may have rows from there on.
    """
    at_V = np.nonzero(ids_NK >= 0)
    at_V = tuple(axis[np.argsort(-scores_NK[at_V], kind="stable")] for axis in at_V)
    score_V, rank_V = scores_NK[at_V].astype(np.float64), at_V[1]
    group_V, true_G = _groups(at_V[0], ids_NK[at_V], truth, num_labels, measure)
    by_group_V = np.argsort(group_V, kind="stable")  # and by falling score in each
    hit_V = hits(ids_NK, truth)[at_V]
    best, cut = -1.0, Cut()
    for limit in range(1, ids_NK.shape[1] + 1):
        kept_V = rank_V < limit
        place_V = np.cumsum(kept_V) - 1  # among those that are kept
        order = by_group_V[kept_V[by_group_V]]
        gain_V = np.zeros(kept_V.sum())
        gain_V[place_V[order]] = _gains(group_V[order], hit_V[order], true_G)
        scores = score_V[kept_V]
        is_last_V = np.append(scores[1:] < scores[:-1], True)  # equal scores are assigned together
        sums_V = np.where(is_last_V, np.cumsum(gain_V), -1.0)
        at = int(np.argmax(sums_V)) if len(sums_V) else 0
        if len(sums_V) and sums_V[at] > best + SAME * len(true_G):
            best, cut = float(sums_V[at]), Cut(_between(scores, at), limit)
    return cut


def _groups(
    document_V: np.ndarray, label_V: np.ndarray, truth: Ragged, num_labels: int, measure: str
) -> tuple[np.ndarray, np.ndarray]:
    """The group of each pair, and how many true labels each group has."""
    if measure == "example-F1":
        return document_V, truth.lengths
    if measure == "macro-F1":
        return label_V, np.bincount(truth.values, minlength=num_labels)
    assert measure == "micro-F1", measure
    return np.zeros_like(document_V), np.array([len(truth.values)])


def _gains(group_V: np.ndarray, hit_V: np.ndarray, true_G: np.ndarray) -> np.ndarray:
    """What each pair adds to the F of its group; pairs are in the order of groups, then of assignment."""
    begins_V = np.append(True, group_V[1:] != group_V[:-1])[: len(group_V)]
    begin_V = np.maximum.accumulate(np.where(begins_V, np.arange(len(group_V)), 0))
    hits_V = np.cumsum(hit_V)
    hits_V = hits_V - (hits_V - hit_V)[begin_V]
    assigned_V = np.arange(len(group_V)) - begin_V + 1
    f_V = 2 * hits_V / (assigned_V + true_G[group_V])
    before_V = np.where(begins_V, 0.0, np.append(0.0, f_V[:-1])[: len(f_V)])
    return f_V - before_V


def _between(scores: np.ndarray, at: int) -> float:
    """A threshold that lets falling scores pass up to this place."""
    if at + 1 == len(scores):
        return 0.0
    middle = float((scores[at] + scores[at + 1]) / 2)
    return middle if middle > scores[at + 1] else float(scores[at])
