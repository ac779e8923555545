"""The parts that tenths of the labels have in metrics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmlkit.data.ragged import Ragged
from xmlkit.measures.by_frequency import parts
from xmlkit.metrics import score_ranking


def test_by_hand():
    """Three labels are three parts, rarest first: label 1, 0, 2."""
    ids_NK = np.array([[2, 1], [2, 0], [0, -1]])
    truth = Ragged.of([[1, 2], [0], [2]])
    counts_L = np.array([5, 1, 9])
    found = parts(ids_NK, truth, counts_L, lambda ids, true: score_ranking(ids, true, counts_L, 15, (1, 2)))
    assert [part["P@1"] for part in found] == pytest.approx([0, 0, 100 / 3])
    assert [part["P@2"] for part in found] == pytest.approx([100 / 6, 100 / 6, 100 / 6])
    assert [part["coverage@2"] for part in found] == pytest.approx([100 / 3] * 3)


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 8))
def test_they_add_up(seed, num_labels, documents):
    rng = np.random.default_rng(seed)
    counts_L = rng.integers(0, 9, num_labels)
    k = min(5, num_labels)
    ids_NK = np.stack([rng.permutation(num_labels)[:k] for _ in range(documents)])
    truth = Ragged.of(
        [sorted(rng.permutation(num_labels + 2)[: rng.integers(0, 4)]) for _ in range(documents)]
    )

    def scores(ids, true):
        return score_ranking(ids, true, counts_L, 20, (1, k))

    found = parts(ids_NK, truth, counts_L, scores)
    assert len(found) == min(10, num_labels)
    for name, whole in scores(ids_NK, truth).items():
        assert sum(part[name] for part in found) == pytest.approx(whole)
