"""The bootstrap, against draws written out, formulas of standard errors, and its promise of 95%."""

from __future__ import annotations

import numpy as np
import pytest

from xmlkit.bootstrap import AT_ONCE, RESAMPLES, interval, resampled


def difference(base_SN, ours_SN):
    """The resamples' differences of two models whose metric is a mean over documents."""
    both_MSN = np.stack([base_SN, ours_SN])
    base_R, ours_R = resampled(both_MSN, np.ones_like(both_MSN))
    return ours_R - base_R


def ends(base_SN, ours_SN):
    difference_S = 100 * (ours_SN - base_SN).mean(1)
    return interval(difference_S, difference(base_SN, ours_SN), base_SN.shape[1])


def test_each_resample_is_the_metric_of_the_documents_that_were_drawn():
    """One seed, whose weight is always 1: the drawn documents laid side by side."""
    rng = np.random.default_rng(3)
    part_MSN, whole_MSN = rng.random((2, 1, 7)), rng.random((2, 1, 7))
    found_MR = resampled(part_MSN, whole_MSN)
    assert found_MR.shape == (2, RESAMPLES)
    rng = np.random.default_rng(0)
    rng.multinomial(1, [1.0], AT_ONCE)
    for r, counts_N in enumerate(rng.multinomial(7, np.full(7, 1 / 7), AT_ONCE)):
        drawn = np.repeat(np.arange(7), counts_N)
        assert len(drawn) == 7
        for m in range(2):
            expected = 100 * part_MSN[m, 0, drawn].sum() / whole_MSN[m, 0, drawn].sum()
            assert found_MR[m, r] == pytest.approx(expected)


def test_one_seed_gives_the_standard_error_of_a_paired_mean():
    rng = np.random.default_rng(1)
    base_SN, ours_SN = rng.random((1, 400)), rng.random((1, 400))
    expected = 100 * (ours_SN - base_SN).std() / 400**0.5
    assert difference(base_SN, ours_SN).std() == pytest.approx(expected, rel=0.06)  # 1.6% is a deviation
    low, high = ends(base_SN, ours_SN)
    assert high - low == pytest.approx(2 * 1.966 * expected, rel=0.06)
    assert (low + high) / 2 == pytest.approx(100 * (ours_SN - base_SN).mean())


def test_seeds_alone_give_the_t_interval_of_three_values():
    """All documents alike: mean 10, deviation 10, two degrees of freedom."""
    base_SN = np.full((3, 50), 0.5)
    ours_SN = base_SN + np.array([[0.0], [0.1], [0.2]])
    low, high = ends(base_SN, ours_SN)
    assert (low, high) == pytest.approx((10 - 4.303 * 10 / 3**0.5, 10 + 4.303 * 10 / 3**0.5), rel=0.1)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("ratio", [0.3, 1.0, 4.0])
def test_an_interval_of_no_effect_holds_zero_about_95_times_in_100(seeds, ratio):
    """`ratio`: how much seeds differ, in standard errors of the documents."""
    rng = np.random.default_rng(seeds)
    missed = 0
    for _ in range(200):
        noise_SN = rng.normal(0, 1, 40) + rng.normal(0, ratio / 40**0.5, (seeds, 1))
        low, high = ends(np.zeros((seeds, 40)), noise_SN)
        missed += not low <= 0 <= high
    assert missed <= 22  # 10 are expected; two degrees of freedom and the seeds' share are estimates


def test_equal_models_differ_by_nothing():
    part_SN = np.random.default_rng(0).random((2, 9))
    assert ends(part_SN, part_SN) == (0.0, 0.0)


def test_documents_without_any_weight_count_0():
    assert set(resampled(np.zeros((1, 2, 3)), np.zeros((1, 2, 3))).flat) == {0.0}
