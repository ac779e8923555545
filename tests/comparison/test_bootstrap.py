"""The bootstrap, against draws written out and against the formula of the standard error."""

from __future__ import annotations

import numpy as np
import pytest

from xmlkit.comparison.bootstrap import RESAMPLES, interval, percentages, resamples


def test_each_resample_is_the_metric_of_the_documents_and_seeds_that_were_drawn():
    rng = np.random.default_rng(3)
    part_SN, whole_SN = rng.random((3, 7)), rng.random((3, 7))
    found = percentages(part_SN, whole_SN)
    assert len(found) == RESAMPLES
    drawn = [(seeds, documents) for both in resamples(3, 7) for seeds, documents in zip(*both, strict=True)]
    for value, (seeds, documents) in list(zip(found, drawn, strict=True))[::97]:
        assert seeds.sum() == 3 and documents.sum() == 7
        part = whole = 0.0
        for s in np.repeat(np.arange(3), seeds):
            for n in np.repeat(np.arange(7), documents):
                part, whole = part + part_SN[s, n], whole + whole_SN[s, n]
        assert value == pytest.approx(100 * part / whole)


def test_one_seed_gives_the_standard_error_of_a_paired_mean():
    rng = np.random.default_rng(1)
    base_SN, ours_SN = rng.random((1, 400)), rng.random((1, 400))
    ones = np.ones((1, 400))
    drawn = percentages(ours_SN, ones) - percentages(base_SN, ones)
    expected = 100 * (ours_SN - base_SN).std() / 400**0.5
    assert drawn.std() == pytest.approx(expected, rel=0.06)  # 2,000 draws: 1.6% is a standard deviation
    low, high = interval(drawn)
    assert high - low == pytest.approx(2 * 1.96 * expected, rel=0.08)


def test_seeds_that_differ_widen_the_interval():
    """The same documents, but seeds that shift them all: variance (S - 1) / S of the seeds' mean's."""
    shift_S1 = np.array([[0.0], [0.1], [0.2]])
    drawn = percentages(np.full((3, 50), 0.5) + shift_S1, np.ones((3, 50)))
    assert drawn.std() == pytest.approx(100 * shift_S1.std() / 3**0.5, rel=0.06)


def test_equal_models_differ_by_nothing():
    part_SN = np.random.default_rng(0).random((2, 9))
    drawn = percentages(part_SN, np.ones((2, 9))) - percentages(part_SN, np.ones((2, 9)))
    assert interval(drawn) == (0.0, 0.0)


def test_documents_without_any_weight_count_0():
    assert set(percentages(np.zeros((2, 3)), np.zeros((2, 3)))) == {0.0}
