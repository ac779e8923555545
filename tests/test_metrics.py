"""Shape suffixes as in xmlkit.metrics: N documents, K ranks, L labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmlkit.data.ragged import Ragged
from xmlkit.errors import UserError
from xmlkit.labels.propensity import inverse_propensities
from xmlkit.metrics import METRICS, score_ranking


def test_propensities_by_hand():
    # a = b = 1: C = 2 (ln 20 - 1) = 3.991465, 1/p = 1 + C / (count + 1)
    weights_L = inverse_propensities(np.array([0, 1, 3]), 20, a=1, b=1)
    np.testing.assert_allclose(weights_L, [4.991465, 2.995732, 1.997866], atol=1e-6)
    # Defaults: C = (ln 1000 - 1) 2.5^0.55 = 5.907755 * 1.655263 = 9.778889;
    # 1.5^-0.55 = 0.800110, 101.5^-0.55 = 0.078785
    weights_L = inverse_propensities(np.array([0, 100]), 1000)
    np.testing.assert_allclose(weights_L, [8.824189, 1.770430], atol=1e-5)


@given(st.integers(1, 10**7), st.floats(0.1, 2), st.floats(0.1, 5))
def test_propensities_are_probabilities_that_grow_with_the_count(num_documents, a, b):
    weights_L = inverse_propensities(np.arange(50), num_documents, a, b)
    assert (weights_L >= 1).all()
    assert (np.diff(weights_L) <= 0).all()
    if num_documents >= 3:
        assert weights_L[0] > weights_L[-1]


def test_metrics_by_hand():
    # Labels 0..3 are known to the model, 5 is not.
    truth = Ragged.of([[0, 1], [], [1, 5], [0, 1, 2, 3]])
    top_NK = np.array(
        [
            [0, 3, 1],  # hit, miss, hit; fewer true labels than k = 3
            [1, 2, -1],  # no true label
            [2, 1, -1],  # miss, hit; the unknown label can't be hit
            [3, -1, -1],  # hit; two predictions are missing
        ]
    )
    scores = score_ranking(top_NK, truth, np.array([1, 3, 0, 7]), 20, ks=(1, 3), a=1, b=1)
    # Weights 1/p = 1 + 3.991465 / (count + 1):
    # w0 = 2.995732, w1 = 1.997866, w2 = 4.991465, w3 = 1.498933, w5 = 4.991465
    # Discounts 1, 0.630930, 0.5; their sums 1, 1.630930, 2.130930
    expected = {
        "P@1": 50.0,  # (1 + 0 + 0 + 1) / 4
        "P@3": 33.333333,  # (2/3 + 0 + 1/3 + 1/3) / 4
        "nDCG@1": 50.0,  # (1 + 0 + 0 + 1) / 4
        # (1.5 / 1.630930 + 0 + 0.630930 / 1.630930 + 1 / 2.130930) / 4
        #  = (0.919721 + 0 + 0.386853 + 0.469279) / 4
        "nDCG@3": 44.396308,
        "RP@1": 50.0,  # (1/1 + 0 + 0/1 + 1/1) / 4
        "RP@3": 45.833333,  # (2/2 + 0 + 1/2 + 1/3) / 4
        "R@1": 18.75,  # (1/2 + 0 + 0/2 + 1/4) / 4
        "R@3": 43.75,  # (2/2 + 0 + 1/2 + 1/4) / 4
        # (w0 + w3) / (w0 + w5 + w2) = 4.494665 / 12.978662
        "PSP@1": 34.631194,
        # (w0 + w1 + w1 + w3) / ((w0 + w1) + (w5 + w1) + (w2 + w0 + w1)) = 8.490397 / 21.967992
        "PSP@3": 38.648947,
        "PSnDCG@1": 34.631194,  # one rank: as PSP@1
        # hits: (w0 + w1 / 2) / 1.630930 + 0.630930 w1 / 1.630930 + w3 / 2.130930
        #  = 2.449318 + 0.772880 + 0.703417 = 3.925615
        # best: (w0 + 0.630930 w1) / 1.630930 + (w5 + 0.630930 w1) / 1.630930
        #       + (w2 + 0.630930 w0 + w1 / 2) / 2.130930
        #  = 2.609705 + 3.833383 + 3.698148 = 10.141236
        "PSnDCG@3": 38.709438,
        "coverage@1": 40.0,  # labels 0 and 3 of the five that occur
        "coverage@3": 60.0,  # labels 0, 1 and 3
    }
    assert list(scores) == list(expected)
    assert scores == pytest.approx(expected, abs=1e-5)


def test_keys_of_the_default_ranks():
    scores = score_ranking(np.full((1, 5), -1), Ragged.of([[0]]), np.array([1]), 10)
    assert list(scores) == [f"{metric}@{k}" for metric in METRICS for k in (1, 3, 5)]
    assert set(scores.values()) == {0.0}


def test_without_any_true_label_all_is_zero():
    scores = score_ranking(np.array([[0, 1]]), Ragged.of([[]]), np.array([3, 4]), 10, ks=(1, 2))
    assert set(scores.values()) == {0.0}


def test_a_missing_prediction_is_not_the_last_label_of_the_document_before():
    # The first document has the last label there is; the second predicts nothing.
    scores = score_ranking(np.array([[0], [-1]]), Ragged.of([[1], [0]]), np.array([3, 4]), 10, ks=(1,))
    assert set(scores.values()) == {0.0}


def test_no_documents_is_the_users_error():
    with pytest.raises(UserError, match="no documents to score") as error:
        score_ranking(np.zeros((0, 5), np.int64), Ragged.of([]), np.array([1]), 10)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("k", [0, 3])
def test_ranks_outside_the_predictions_are_a_bug(k):
    with pytest.raises(AssertionError, match=r"1\.\.2"):
        score_ranking(np.array([[0, -1]]), Ragged.of([[0]]), np.array([1]), 10, ks=(k,))


K = 6
NUM_LABELS = 8
NUM_UNKNOWN = 3


@st.composite
def rankings(draw):
    """Predictions, truth, training counts and the number of training documents, as plain lists."""
    known = st.integers(0, NUM_LABELS - 1)
    anything = st.integers(0, NUM_LABELS + NUM_UNKNOWN - 1)
    documents = draw(
        st.lists(
            st.tuples(
                st.lists(known, max_size=K, unique=True),
                st.lists(anything, unique=True).map(sorted),
            ),
            min_size=1,
            max_size=8,
        )
    )
    counts = draw(st.lists(st.integers(0, 1000), min_size=NUM_LABELS, max_size=NUM_LABELS))
    num_documents = draw(st.integers(3, 10**6))
    return [top for top, _ in documents], [true for _, true in documents], counts, num_documents


def padded(tops: list[list[int]], width: int) -> np.ndarray:
    return np.array([top + [-1] * (width - len(top)) for top in tops], np.int64)


def slow_scores(tops, truths, counts, num_documents, k, a, b) -> dict[str, float]:
    """The formulas, one document and one label at a time."""

    def weight(label):
        count = counts[label] if label < len(counts) else 0
        c = (math.log(num_documents) - 1) * (b + 1) ** a
        return 1 + c * math.exp(-a * math.log(count + b))

    totals = dict.fromkeys(["P", "nDCG", "RP", "R"], 0.0)
    psp = psp_best = psdcg = psdcg_best = 0.0
    seen, covered = set(), set()
    for top, true in zip(tops, truths, strict=True):
        seen.update(true)
        if not true:
            continue
        ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(true)) + 1))
        for rank, label in enumerate(top[:k], start=1):
            if label in true:
                covered.add(label)
                totals["P"] += 1 / k
                totals["nDCG"] += 1 / math.log2(rank + 1) / ideal
                totals["RP"] += 1 / min(k, len(true))
                totals["R"] += 1 / len(true)
                psp += weight(label)
                psdcg += weight(label) / math.log2(rank + 1) / ideal
        for rank, best in enumerate(sorted(map(weight, true), reverse=True)[:k], start=1):
            psp_best += best
            psdcg_best += best / math.log2(rank + 1) / ideal
    scores = {metric: total / len(tops) for metric, total in totals.items()}
    scores["PSP"] = psp / psp_best if seen else 0.0
    scores["PSnDCG"] = psdcg / psdcg_best if seen else 0.0
    scores["coverage"] = len(covered) / len(seen) if seen else 0.0
    return {f"{metric}@{k}": 100 * score for metric, score in scores.items()}


@given(rankings(), st.floats(0.1, 1), st.floats(0.1, 3))
def test_agrees_with_the_slow_reference(ranking, a, b):
    tops, truths, counts, num_documents = ranking
    scores = score_ranking(
        padded(tops, K), Ragged.of(truths), np.array(counts), num_documents, range(1, K + 1), a, b
    )
    slow = {}
    for k in range(1, K + 1):
        slow |= slow_scores(tops, truths, counts, num_documents, k, a, b)
    assert scores == pytest.approx(slow, rel=0, abs=1e-9)
    assert all(0 <= score <= 100 + 1e-9 for score in scores.values())


@given(rankings())
def test_a_perfect_ranking_scores_100(ranking):
    _, truths, counts, num_documents = ranking
    k = 3
    truths = [sorted({label % NUM_LABELS for label in true} | {0, 1, 2}) for true in truths]
    # The rarest first: they weigh the most.
    tops = [sorted(true, key=lambda label: counts[label]) for true in truths]
    scores = score_ranking(
        padded(tops, NUM_LABELS), Ragged.of(truths), np.array(counts), num_documents, ks=(k,)
    )
    for metric in ("P", "nDCG", "RP", "PSP", "PSnDCG"):
        assert scores[f"{metric}@{k}"] == pytest.approx(100, abs=1e-9)
