"""How well labels are found that no training document has: by their names, or not at all.

As Chalkidis et al. (ACL 2019; EURLEX57K) have it for their zero-shot labels, after Rios and Kavuluru (EMNLP
2018): truth and ranking are those of the unseen labels alone, and documents without any are left out. How
unseen labels fare among all others (generalised zero-shot; Gupta et al., KDD 2021) is in the usual metrics.

N documents, K ranks, L labels of the model, T true labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xmlkit.data.corpus import Split
from xmlkit.data.ragged import Ragged
from xmlkit.inference.predict import Predictor, RunPredictor
from xmlkit.measures.scoring import Scoring


@dataclass(frozen=True)
class Unseen:
    """The metrics of these labels, in percent, and how many they are of."""

    labels: int  # that the model can give and no training document has: what is ranked
    occurring: int  # of these in the split
    documents: int  # of the split, with one or more of them
    metrics: dict[str, float]

    def as_document(self) -> dict[str, Any]:
        """As it stands in a file."""
        counts = {"labels": self.labels, "occurring": self.occurring, "documents": self.documents}
        return {**counts, **self.metrics}


@dataclass(frozen=True)
class Asked:
    """The documents (N) of a split that have an unseen label, and how they are scored."""

    is_unseen_L: np.ndarray
    texts: list[str]
    truth: Ragged  # unseen labels alone
    scoring: Scoring

    def scored(self, ids_NK: np.ndarray) -> Unseen:
        """A ranking of unseen labels. PSP is left out: they all weigh the same."""
        found = self.scoring.scores(ids_NK, self.truth)
        metrics = {name: value for name, value in found.items() if not name.startswith("PS")}
        occurring = len(np.unique(self.truth.values))
        return Unseen(int(self.is_unseen_L.sum()), occurring, len(self.texts), metrics)


def unseen_documents(model: Predictor, split: Split) -> Asked:
    """There may be none. The part held out in training is of the training documents."""
    scoring, split = model.scoring, split.numbered_as(model.labels)
    is_unseen_L = scoring.counts_L == 0
    rows_N, truth = _restricted(split.labels, is_unseen_L)
    return Asked(is_unseen_L, [split.texts[row] for row in rows_N], truth, scoring)


def evaluate_unseen(model: RunPredictor, split: Split) -> Unseen | None:
    """How a run does; None where no document has such a label."""
    asked = unseen_documents(model, split)
    if not asked.texts:
        return None
    _, ids_NK = model.rank(asked.texts, max(asked.scoring.ks), allowed_L=asked.is_unseen_L)
    return asked.scored(ids_NK)


def _restricted(truth: Ragged, is_among_L: np.ndarray) -> tuple[np.ndarray, Ragged]:
    """The rows of documents with any of these labels, and for each those alone."""
    is_kept_T = truth.values < len(is_among_L)
    is_kept_T[is_kept_T] = is_among_L[truth.values[is_kept_T]]
    lengths_N = np.diff(np.concatenate([[0], is_kept_T.cumsum()])[truth.offsets])
    rows_N = np.flatnonzero(lengths_N)
    offsets = np.concatenate([[0], lengths_N[rows_N].cumsum()])
    return rows_N, Ragged(truth.values[is_kept_T], offsets)
