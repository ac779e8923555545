"""Shape suffixes as in xmlkit.measures.assigned."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, precision_recall_fscore_support

from xmlkit.data.corpus import Labels
from xmlkit.data.ragged import Ragged
from xmlkit.measures.assigned import FIGURES, WAYS, Assigned, f1_at
from xmlkit.measures.by_label import HEADER, deciles, rows_by_label
from xmlkit.measures.cut import Cut

# Labels 0 to 3 are known to the model, 5 is not.
IDS_NK = np.array([[0, 3, 1], [1, 2, -1], [2, 1, -1], [3, -1, -1]])
SCORES_NK = np.array([[0.9, 0.8, 0.7], [0.6, 0.2, 0.0], [0.5, 0.4, 0.0], [0.3, 0.0, 0.0]])
TRUTH = Ragged.of([[0, 1], [], [1, 5], [0, 1, 2, 3]])


def of(cut: Cut) -> Assigned:
    return Assigned(IDS_NK, cut.assigned_NK(SCORES_NK, IDS_NK), TRUTH, 4)


def test_by_hand():
    # From 0.4 on: 0 3 1 | 1 | 2 1 | nothing. Hits: 0, 1 | none | 1 | none.
    found = of(Cut(0.4))
    expected = {
        "micro-P": 100 * 3 / 6,
        "micro-R": 100 * 3 / 8,
        "micro-F1": 100 * 6 / 14,
        # Right, wrong, missed. 0: 1 0 1, 1: 2 1 1, 2: 0 1 1, 3: 0 1 1, 4: never true or assigned, 5: 0 0 1.
        "macro-P": 100 * (1 + 2 / 3) / 6,
        "macro-R": 100 * (1 / 2 + 2 / 3) / 6,
        "macro-F1": 100 * (2 / 3 + 4 / 6) / 6,
        "example-P": 100 * (2 / 3 + 0 + 1 / 2 + 0) / 4,
        "example-R": 100 * (1 + 0 + 1 / 2 + 0) / 4,
        "example-F1": 100 * (4 / 5 + 0 + 2 / 4 + 0) / 4,
    }
    assert list(found.measures) == [f"{way}-{name}" for way in WAYS for name in FIGURES]
    assert found.measures == pytest.approx(expected)
    assert found.each == 6 / 4
    # Discounts 1, 0.630930, 0.5; ideal of two true labels 1.630930.
    assert found.ndcg == pytest.approx(100 * (1.5 / 1.630930 + 0 + 0.630930 / 1.630930 + 0) / 4, abs=1e-4)


def test_a_limit_by_hand():
    found = of(Cut(0.0, 1))  # 0 | 1 | 2 | 3, of which 0 and 3 are right
    assert found.measures["micro-F1"] == pytest.approx(100 * 4 / 12)
    assert found.measures["example-F1"] == pytest.approx(100 * (2 / 3 + 0 + 0 + 2 / 5) / 4)


def test_f1_at_k_by_hand():
    assert f1_at(IDS_NK, TRUTH, 1) == pytest.approx(100 * (2 / 3 + 0 + 0 + 2 / 5) / 4)
    # k counts in full where there are fewer predictions: 2 * hits / (3 + 2), 0, / (3 + 2), / (3 + 4).
    assert f1_at(IDS_NK, TRUTH, 3) == pytest.approx(100 * (4 / 5 + 0 + 2 / 5 + 2 / 7) / 4)


def test_label_by_label():
    labels = Labels(["a", "b", "c", "d"], ["A", "B", "C", "D"]).and_more(["e", "f"])
    rows = [dict(zip(HEADER, cells, strict=True)) for cells in rows_by_label(of(Cut(0.4)), labels)]
    assert [row["label"] for row in rows] == list("abcdef") and rows[0]["name"] == "A"
    numbers = [[row[name] for name in HEADER[2:]] for row in rows]
    assert numbers[0] == ["2", "1", "0", "1", "100.00", "50.00", "66.67"]
    assert numbers[1] == ["3", "2", "1", "1", "66.67", "66.67", "66.67"]
    assert numbers[3] == ["1", "0", "1", "1", "0.00", "0.00", "0.00"]
    assert numbers[5] == ["1", "0", "0", "1", "0.00", "0.00", "0.00"]


def test_deciles_by_hand():
    """Four labels make four parts; the unknown one is in none."""
    found = deciles(of(Cut(0.4)), np.array([7, 30, 0, 2]))
    assert [(part.labels, part.fewest, part.most, part.support) for part in found] == [
        (1, 0, 0, 1),
        (1, 2, 2, 1),
        (1, 7, 7, 2),
        (1, 30, 30, 3),
    ]
    assert found[2].micro == pytest.approx((100, 50, 200 / 3)) and found[2].macro_f1 == pytest.approx(200 / 3)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=45))
def test_deciles_part_the_labels_by_their_counts(counts):
    counts_M = np.array(counts)
    ids_NK = np.arange(len(counts))[:, None]
    found = deciles(Assigned(ids_NK, ids_NK % 2 == 0, Ragged.of(ids_NK.tolist()), len(counts)), counts_M)
    assert len(found) == min(10, len(counts)) and sum(part.labels for part in found) == len(counts)
    assert max(part.labels for part in found) - min(part.labels for part in found) <= 1
    assert sum(part.support for part in found) == len(counts)
    for part, following in pairwise(found):
        assert part.fewest <= part.most <= following.fewest
    # Each even label is right, each odd one missed: P is 100 where anything is assigned.
    right = sum(part.micro[1] * part.labels / 100 for part in found)
    assert right == pytest.approx((len(counts) + 1) // 2)


NUM_LABELS, UNKNOWN, DEPTH = 7, 2, 5


@st.composite
def rankings(draw):
    """Scores, ids, truth."""
    known, anything = st.integers(0, NUM_LABELS - 1), st.integers(0, NUM_LABELS + UNKNOWN - 1)
    tops = draw(st.lists(st.lists(known, max_size=DEPTH, unique=True), min_size=1, max_size=8))
    truth = [sorted(draw(st.sets(anything))) for _ in tops]
    # Few different ones, so that some are equal.
    scores = [
        sorted(draw(st.lists(st.integers(0, 8), min_size=len(t), max_size=len(t))), reverse=True)
        for t in tops
    ]
    ids_NK = np.array([top + [-1] * (DEPTH - len(top)) for top in tops])
    scores_NK = np.array([[s / 8 for s in some] + [0.0] * (DEPTH - len(some)) for some in scores], np.float32)
    return scores_NK, ids_NK, Ragged.of(truth)


def dense(scores_NK, ids_NK, truth, cut):
    """Truth and what is assigned, as scikit-learn has them."""
    num = max(NUM_LABELS, truth.values.max(initial=0) + 1)
    true_NL, given_NL = np.zeros((len(truth), num), int), np.zeros((len(truth), num), int)
    for row in range(len(truth)):
        true_NL[row, truth[row]] = 1
        for rank, label in enumerate(ids_NK[row]):
            if label >= 0 and rank < cut.limit and scores_NK[row, rank] >= cut.threshold:
                given_NL[row, label] = 1
    return true_NL, given_NL


@given(rankings(), st.integers(0, 8), st.integers(1, DEPTH))
def test_scikit_learn_says_the_same(ranking, eighths, limit):
    scores_NK, ids_NK, truth = ranking
    cut = Cut(eighths / 8, limit)
    true_NL, given_NL = dense(scores_NK, ids_NK, truth, cut)
    found = Assigned(ids_NK, cut.assigned_NK(scores_NK, ids_NK), truth, NUM_LABELS)
    for way, average in zip(WAYS, ("micro", "macro", "samples"), strict=True):
        expected = precision_recall_fscore_support(true_NL, given_NL, average=average, zero_division=0)
        for name, value in zip(FIGURES, expected):
            assert found.measures[f"{way}-{name}"] == pytest.approx(100 * value, abs=1e-9)
    of_each = precision_recall_fscore_support(true_NL, given_NL, average=None, zero_division=0)
    for figure_L, expected_L in zip(found.of_labels.figures, of_each):
        np.testing.assert_allclose(figure_L, 100 * expected_L, atol=1e-9)
    np.testing.assert_array_equal(found.of_labels.support_G, of_each[3])


@given(rankings())
def test_ndcg_is_scikit_learns_where_every_label_is_assigned(ranking):
    _, _, truth = ranking
    num = NUM_LABELS + UNKNOWN
    rng = np.random.default_rng(len(truth.values))
    ids_NK = np.stack([rng.permutation(num) for _ in range(len(truth))])
    score_NL = np.zeros(ids_NK.shape)
    np.put_along_axis(score_NL, ids_NK, 1 - np.arange(num)[None] / num, 1)
    true_NL = np.zeros(ids_NK.shape)
    for row in range(len(truth)):
        true_NL[row, truth[row]] = 1
    found = Assigned(ids_NK, np.ones(ids_NK.shape, bool), truth, num)
    assert found.ndcg == pytest.approx(100 * ndcg_score(true_NL, score_NL), abs=1e-9)
