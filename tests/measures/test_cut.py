"""Shape suffixes as in xmlkit.measures.cut."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_assigned import DEPTH, NUM_LABELS, rankings

from xmlkit.data.ragged import Ragged
from xmlkit.measures.assigned import Assigned
from xmlkit.measures.cut import FITTED_FOR, Cut, best_cut

WIDE = np.array([[0, 1, 2], [0, 2, 1], [3, 1, 0]])


def test_by_hand():
    scores_NK = np.array([[0.9, 0.5, 0.1], [0.6, 0.3, 0.2], [0.7, 0.4, 0.2]])
    truth = Ragged.of([[0, 1], [2], [3]])
    # By score: 0.9 right, 0.7 right, 0.6 wrong, 0.5 right, 0.4 wrong, 0.3 right, 0.2 wrong, ...
    # Micro-F1 after each: 2/5, 4/6, 4/7, 6/8, 6/9, 8/10, ... The first two of each are best: 8 / (6 + 4).
    assert best_cut(scores_NK, WIDE, truth, 4, "micro-F1") == Cut(0.0, 2)
    # With a wrong label at 0.8 in place of the last, the best is to assign from 0.3 on.
    scores_NK = np.array([[0.9, 0.5, 0.4], [0.6, 0.3, 0.2], [0.7, 0.1, 0.05]])
    truth = Ragged.of([[0, 1, 2], [2], [3]])
    # By score: r r w r r r w w w: F1 after the sixth is 10 / (6 + 5).
    assert best_cut(scores_NK, WIDE, truth, 4, "micro-F1") == Cut(0.25, 3)


def test_equal_scores_are_assigned_together():
    scores_NK = np.array([[0.5, 0.5, 0.1]])
    assert best_cut(scores_NK, WIDE[:1], Ragged.of([[1]]), 4, "micro-F1") == Cut(0.0, 2)


def test_the_threshold_lies_above_the_next_score_however_near():
    high = np.float32(0.3)
    low = np.nextafter(high, np.float32(0))
    scores_NK = np.array([[high, low, 0.1]], np.float32)
    cut = best_cut(scores_NK, WIDE[:1], Ragged.of([[0]]), 4, "micro-F1")
    assert cut.limit == 1  # the smallest that does it
    scores_NK, ids_NK = np.array([[high, 0.2], [low, 0.1]], np.float32), np.array([[0, 1], [2, 3]])
    cut = best_cut(scores_NK, ids_NK, Ragged.of([[0], []]), 4, "micro-F1")
    assert cut.assigned_NK(scores_NK, ids_NK).tolist() == [[True, False], [False, False]]


@pytest.mark.parametrize("measure", FITTED_FOR)
@given(rankings())
def test_no_other_cut_is_better(measure, ranking):
    scores_NK, ids_NK, truth = ranking

    def percent(cut):
        found = Assigned(ids_NK, cut.assigned_NK(scores_NK, ids_NK), truth, NUM_LABELS)
        return found.measures[measure]

    cut = best_cut(scores_NK, ids_NK, truth, NUM_LABELS, measure)
    thresholds = [(eighths - 0.5) / 8 for eighths in range(10)]
    best = max(percent(Cut(*other)) for other in product(thresholds, range(1, DEPTH + 1)))
    assert percent(cut) == pytest.approx(best, abs=1e-9)
    assert 0 <= cut.threshold <= 1 and 1 <= cut.limit <= 100
    if (ids_NK >= 0).any():
        smaller = (
            max((percent(Cut(t, cut.limit - 1)) for t in thresholds), default=0) if cut.limit > 1 else -1
        )
        assert smaller < best or best == 0


@given(st.integers(1, 4))
def test_it_does_not_matter_how_often_documents_are_there(times):
    rng = np.random.default_rng(3)
    scores_NK = -np.sort(-rng.random((30, 4)))
    ids_NK = np.stack([rng.permutation(9)[:4] for _ in range(30)])
    truth = [sorted(rng.permutation(9)[:3].tolist()) for _ in range(30)]
    for measure in FITTED_FOR:
        once = best_cut(scores_NK, ids_NK, Ragged.of(truth), 9, measure)
        again = np.tile(scores_NK, (times, 1)), np.tile(ids_NK, (times, 1))
        assert best_cut(*again, Ragged.of(truth * times), 9, measure) == once


def test_a_score_is_compared_as_it_is():
    """0.9 in single precision is below 0.9: `predict` does not assign it, nor may what is scored."""
    scores_NK = np.array([[0.9]], np.float32)
    assert float(scores_NK[0, 0]) < 0.9
    assert not Cut(0.9, 1).assigned_NK(scores_NK, np.zeros((1, 1), int)).any()
    assert Cut(float(scores_NK[0, 0]), 1).assigned_NK(scores_NK, np.zeros((1, 1), int)).all()
