"""How good a ranking of labels is: the metrics of the extreme classification literature.

Shape suffixes: N documents, K ranks (best first), L labels of the model,
T true labels of all documents, end to end in document order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xmlkit.data.ragged import Ragged
from xmlkit.errors import UserError
from xmlkit.labels.propensity import inverse_propensities

METRICS = ("P", "nDCG", "RP", "R", "PSP", "PSnDCG", "coverage")


def usual_k(ks: Sequence[int]) -> int:
    """The k that is looked at where one alone is: 5, or where that is not among them the largest."""
    return 5 if 5 in ks else max(ks)


def score_ranking(
    top_NK: np.ndarray,
    truth: Ragged,
    counts_L: np.ndarray,
    num_documents: int,
    ks: Sequence[int] = (1, 3, 5),
    a: float = 0.55,
    b: float = 1.5,
) -> dict[str, float]:
    """Scores the first k predictions of every document, for each k.

    With y the true labels of a document and 1/p the weight of `inverse_propensities`:

    - P@k: hits / k.
    - nDCG@k: sum of 1/log2(rank + 1) over the hits, divided by that sum over ranks 1 to min(k, |y|).
    - RP@k: hits / min(k, |y|) (Chalkidis et al., ACL 2019).
    - R@k: hits / |y|.
    - PSP@k: sum of 1/p over the hits of all documents, divided by the largest sum that any ranking
      reaches (Jain, Prabhu, Varma, KDD 2016, normalised as in PyXCLib).
    - PSnDCG@k: the same ratio, where every 1/p is multiplied by 1/log2(rank + 1) and divided by the
      sum of those discounts over ranks 1 to min(k, |y|) (same sources).
    - coverage@k: share of the labels true in at least one document that are a hit in at least one
      (Schultheis et al., NeurIPS 2023, taken over the labels that occur).

    P, nDCG, RP and R are means over all documents. A document without a true label counts 0, as in
    PyXCLib, and a ratio is 0 if no document has a true label.

    Args:
        top_NK: (N, K) int64 predicted label rows, distinct within a document, best first; -1 where a
            document has fewer than K.
        truth: N rows of true labels, ascending and unique. Rows L and up are labels that the model
            does not know: never hit, but part of every denominator, with a training count of 0.
        counts_L: (L,) training documents of each label.
        num_documents: Number of training documents.
        ks: Ranks to cut at, each from 1 to K.
        a: Exponent of the propensity formula.
        b: Count added to every label in the propensity formula.

    Returns:
        Percentages, 0 to 100, under "P@1", "P@3", ...: every k of a metric, then the next metric, in
        the order of `METRICS`.

    Raises:
        UserError: There is no document.
    """
    terms = ranking_terms(top_NK, truth, counts_L, num_documents, ks, a, b)
    scores = {name: found.percent for name, found in terms.items()}
    hits_NK, occurring = hits(top_NK, truth), np.unique(truth.values)
    for k in ks:
        found = np.unique(top_NK[:, :k][hits_NK[:, :k]])
        scores[f"coverage@{k}"] = 100 * _ratio(len(found), len(occurring))
    return scores


@dataclass(frozen=True)
class Terms:
    """A metric as the sum of one number a document over the sum of another."""

    part_N: np.ndarray
    whole_N: np.ndarray

    @property
    def percent(self) -> float:
        """The metric; 0 where the wholes sum to 0."""
        return 100 * _ratio(float(self.part_N.sum()), float(self.whole_N.sum()))


def ranking_terms(
    top_NK: np.ndarray,
    truth: Ragged,
    counts_L: np.ndarray,
    num_documents: int,
    ks: Sequence[int] = (1, 3, 5),
    a: float = 0.55,
    b: float = 1.5,
) -> dict[str, Terms]:
    """What each document adds to the metrics of `score_ranking`, from the same input under the same names.

    Coverage is left out, which is no sum over documents.
    """
    assert all(1 <= k <= top_NK.shape[1] for k in ks), f"ks must lie in 1..{top_NK.shape[1]}: {ks}"
    assert len(top_NK) == len(truth), "predictions and truth differ in documents"
    assert top_NK.max(initial=-1) < len(counts_L), "a predicted row is not a label of the model"
    if len(truth) == 0:
        raise UserError(
            "no documents to score: the test set is empty, give a file with at least one document"
        )

    true_T = truth.values.astype(np.int64)
    document_T = np.repeat(np.arange(len(truth)), truth.lengths)
    num_unknown = max(int(true_T.max(initial=-1)) + 1 - len(counts_L), 0)
    weights_L = inverse_propensities(np.pad(counts_L, (0, num_unknown)), num_documents, a, b)

    hits_NK = hits(top_NK, truth)
    gains_NK = np.zeros(top_NK.shape)
    gains_NK[hits_NK] = weights_L[top_NK[hits_NK]]
    # The best ranking by weight: each document's true labels, heaviest first.
    best_T = weights_L[true_T]
    best_T = best_T[np.lexsort((-best_T, document_T))]
    rank_T = np.arange(len(true_T)) - truth.offsets[document_T]

    discounts_K = 1 / np.log2(np.arange(top_NK.shape[1]) + 2)
    ideals_K = np.cumsum(discounts_K)
    # At least 1: a document without a true label has no hit, so its ratios become 0 / 1.
    num_true_N = np.maximum(truth.lengths, 1)
    ones_N = np.ones(len(truth))

    def best_N(values_T: np.ndarray, k: int) -> np.ndarray:
        return np.bincount(document_T[rank_T < k], values_T[rank_T < k], len(truth))

    found: dict[str, dict[int, Terms]] = {metric: {} for metric in METRICS if metric != "coverage"}
    for k in ks:
        gains_Nk, discounts_k = gains_NK[:, :k], discounts_K[:k]
        num_hits_N = hits_NK[:, :k].sum(axis=1)
        reachable_N = np.minimum(num_true_N, k)
        ideal_N = ideals_K[reachable_N - 1]

        found["P"][k] = Terms(num_hits_N / k, ones_N)
        found["nDCG"][k] = Terms(hits_NK[:, :k] @ discounts_k / ideal_N, ones_N)
        found["RP"][k] = Terms(num_hits_N / reachable_N, ones_N)
        found["R"][k] = Terms(num_hits_N / num_true_N, ones_N)
        found["PSP"][k] = Terms(gains_Nk.sum(axis=1), best_N(best_T, k))
        best_dcg_N = best_N(best_T * discounts_K[np.minimum(rank_T, k - 1)], k) / ideal_N
        found["PSnDCG"][k] = Terms(gains_Nk @ discounts_k / ideal_N, best_dcg_N)
    return {f"{metric}@{k}": terms for metric, of_k in found.items() for k, terms in of_k.items()}


def hits(top_NK: np.ndarray, truth: Ragged) -> np.ndarray:
    """Returns (N, K) bool: is the prediction a true label of its document?"""
    true_T, document_T = truth.values.astype(np.int64), np.repeat(np.arange(len(truth)), truth.lengths)
    num_labels = 1 + max(true_T.max(initial=0), top_NK.max(initial=0))
    # One number stands for a document and a label, so that a single search serves all documents.
    predicted_NK = np.arange(len(top_NK))[:, None] * num_labels + top_NK
    # -1 would pass for the last label of the document before.
    return np.isin(predicted_NK, document_T * num_labels + true_T) & (top_NK >= 0)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
