"""What `annif eval` prints of the same suggestions (https://github.com/NatLibFi/Annif, its `annif/eval.py`).

The names are alike and some definitions are not: P@k divides by the suggestions that there are, where they
are fewer than k; nDCG is 1 of a document without subjects, and its mean is taken in float32; subjects that
the vocabulary lacks are no subjects; a suggestion of score 0 is none. Precision, recall and F1 are
scikit-learn's, as there; shares, not percent.

N documents, K ranks, L labels of the model.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.sparse import csr_array

from xmlkit.data.ragged import Ragged
from xmlkit.measures.cut import Cut
from xmlkit.metrics import hits

LIMIT = 10  # labels of a document that `annif eval` looks at, where no limit is named
AVERAGES = {"samples": "doc avg", "macro": "subj avg", "weighted": "weighted subj avg", "micro": "microavg"}


def annif_figures(
    scores_NK: np.ndarray, ids_NK: np.ndarray, truth: Ragged, num_labels: int, cut: Cut
) -> dict[str, float | int]:
    """Its figures of the assigned part of rankings, best first, under its names and in its order."""
    # Half a second, which no other figure needs.
    from sklearn.metrics import f1_score, precision_score, recall_score

    truth = _known(truth, num_labels)
    given_NK = cut.assigned_NK(scores_NK, ids_NK) & (scores_NK > 0)
    true_NL = csr_array(
        (np.ones(len(truth.values), bool), truth.values, truth.offsets), (len(truth), num_labels)
    )

    def first(k: int | None) -> csr_array:
        kept_NK = given_NK[:, :k]
        ids_V, offsets = ids_NK[:, :k][kept_NK], np.append(0, kept_NK.sum(1).cumsum())
        return csr_array((np.ones(len(ids_V), bool), ids_V, offsets), (len(truth), num_labels))

    right_NK = hits(ids_NK, truth) & given_NK
    right, given_NL = int(right_NK.sum()), first(None)
    found: dict[str, float | int] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of means over labels that are never true
        for average, name in AVERAGES.items():
            found[f"Precision ({name})"] = float(precision_score(true_NL, given_NL, average=average))
            found[f"Recall ({name})"] = float(recall_score(true_NL, given_NL, average=average))
            found[f"F1 score ({name})"] = float(f1_score(true_NL, given_NL, average=average))
        found["F1@5"] = float(f1_score(true_NL, first(5), average="samples"))
        for name, k in {"NDCG": None, "NDCG@5": 5, "NDCG@10": 10}.items():
            found[name] = _ndcg(right_NK[:, :k], truth, k)
        for k in (1, 3, 5):
            found[f"Precision@{k}"] = float(precision_score(true_NL, first(k), average="samples"))
    found["True positives"] = right
    found["False positives"] = int(given_NK.sum()) - right
    found["False negatives"] = len(truth.values) - right
    found["Documents evaluated"] = len(truth)
    return found


def _known(truth: Ragged, num_labels: int) -> Ragged:
    kept = truth.values < num_labels
    return Ragged(truth.values[kept], np.append(0, np.cumsum(kept))[truth.offsets])


def _ndcg(right_NK: np.ndarray, truth: Ragged, k: int | None) -> float:
    most = max(right_NK.shape[1], int(truth.lengths.max(initial=0)))
    discounts = 1 / np.log2(np.arange(most) + 2)
    ideal_N = np.append(0.0, np.cumsum(discounts))[truth.lengths if k is None else truth.lengths.clip(max=k)]
    scores_N = np.ones(len(truth), np.float32)
    np.divide(
        right_NK @ discounts[: right_NK.shape[1]],
        ideal_N,
        out=scores_N,
        where=ideal_N > 0,
        casting="same_kind",
    )
    return float(scores_N.mean())
