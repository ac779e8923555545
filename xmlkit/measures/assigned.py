"""How good the labels are that documents are assigned: precision, recall and F1, averaged in three ways.

With tp labels assigned rightly, fp wrongly and fn missed, in percent,

    P = tp / (tp + fp)      R = tp / (tp + fn)      F1 = 2 tp / (2 tp + fp + fn)

and 0 where that is 0 / 0, as in scikit-learn. micro: over all pairs of a document and a label. macro: the
mean over labels, F1 that of the labels' F1 (Opitz and Burst, "Macro F1 and Macro F1", 2019); all labels
count, those that are never true, too, as in scikit-learn, LibMultiLabel, napkinXC and Annif, and behind them
true labels that the model does not know. example: the mean over documents (Tsoumakas, Katakis, Vlahavas,
"Mining multi-label data", 2010, 2.3), of which one without true labels has 0.

N documents, K ranks, L labels (of the model, then those that it does not know), G documents or labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmlkit.data.ragged import Ragged
from xmlkit.metrics import hits

FIGURES = ("P", "R", "F1")
WAYS = ("micro", "macro", "example")


@dataclass(frozen=True)
class Counts:
    """Assigned rightly, wrongly, and missed; of each label or document, or of all in one."""

    right_G: np.ndarray
    wrong_G: np.ndarray
    missed_G: np.ndarray

    @property
    def figures(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """P, R and F1, in percent."""
        right, wrong, missed = self.right_G, self.wrong_G, self.missed_G
        return (
            _percent(right, right + wrong),
            _percent(right, right + missed),
            _percent(2 * right, 2 * right + wrong + missed),
        )

    @property
    def support_G(self) -> np.ndarray:
        """How often it is true."""
        return self.right_G + self.missed_G

    def take(self, rows: np.ndarray) -> Counts:
        """Those of some labels or documents."""
        return Counts(self.right_G[rows], self.wrong_G[rows], self.missed_G[rows])

    def sum(self) -> Counts:
        """As one."""
        return Counts(*(np.array([counts.sum()]) for counts in (self.right_G, self.wrong_G, self.missed_G)))


class Assigned:
    """What documents are assigned, beside what is true."""

    def __init__(self, ids_NK: np.ndarray, assigned_NK: np.ndarray, truth: Ragged, num_labels: int):
        """Ids are distinct rows of labels, best first; assigned are the first of each document's.

        Rows from `num_labels` on in the truth are labels that the model does not know.
        """
        right_NK = hits(ids_NK, truth) & assigned_NK
        self.right_NK, self.truth = right_NK, truth
        right_N, given_N = right_NK.sum(1), assigned_NK.sum(1)
        self.of_documents = Counts(right_N, given_N - right_N, truth.lengths - right_N)
        true_L = np.bincount(truth.values, minlength=num_labels)
        right_L = np.bincount(ids_NK[right_NK], minlength=len(true_L))
        given_L = np.bincount(ids_NK[assigned_NK], minlength=len(true_L))
        self.of_labels = Counts(right_L, given_L - right_L, true_L - right_L)

    @property
    def measures(self) -> dict[str, float]:
        """Under "micro-P", "micro-R", "micro-F1", "macro-P", ... in percent."""
        ways = (self.of_labels.sum(), self.of_labels, self.of_documents)
        return {
            f"{way}-{name}": float(figure_G.mean())
            for way, counts in zip(WAYS, ways, strict=True)
            for name, figure_G in zip(FIGURES, counts.figures, strict=True)
        }

    @property
    def each(self) -> float:
        """Labels that a document is assigned, on average."""
        return float((self.of_documents.right_G + self.of_documents.wrong_G).mean())

    @property
    def ndcg(self) -> float:
        """nDCG of all that is assigned, in percent: as nDCG@k, where k is as many as each document has.

        The sum of 1/log2(rank + 1) over the hits, divided by that sum over ranks 1 to |y|, the document's
        true labels; 0 without any.
        """
        num_true_N = self.truth.lengths
        most = max(self.right_NK.shape[1], int(num_true_N.max(initial=0)))
        discounts = 1 / np.log2(np.arange(most) + 2)
        dcg_N = self.right_NK @ discounts[: self.right_NK.shape[1]]
        ideal_N = np.append(0.0, np.cumsum(discounts))[num_true_N]
        return float(_percent(dcg_N, ideal_N).mean())


def f1_at(ids_NK: np.ndarray, truth: Ragged, k: int) -> float:
    """F1@k in percent: the mean over documents of the harmonic mean of P@k and R@k, 2 hits / (k + |y|)."""
    hits_N = hits(ids_NK[:, :k], truth).sum(1)
    return float(100 * (2 * hits_N / (k + truth.lengths)).mean())


def _percent(part_G: np.ndarray, whole_G: np.ndarray) -> np.ndarray:
    found_G: np.ndarray = np.divide(100 * part_G, whole_G, out=np.zeros(len(part_G)), where=whole_G > 0)
    return found_G
