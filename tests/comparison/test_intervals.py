"""Intervals, against formulas of standard errors, sums written out, a bootstrap, and their promise of 95%."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from xmlkit.intervals import cells, interval


def ends(base_SN, ours_SN):
    """Of two models whose metric is a mean over documents."""
    ones_SN = np.ones_like(base_SN)
    return interval(cells(ours_SN, ones_SN) - cells(base_SN, ones_SN))


def test_cells_have_the_metric_as_their_mean():
    rng = np.random.default_rng(3)
    part_SN, whole_SN = rng.random((2, 7)), rng.random((2, 7))
    assert cells(part_SN, whole_SN).mean() == pytest.approx(100 * part_SN.sum() / whole_SN.sum())
    np.testing.assert_allclose(cells(part_SN, np.ones((2, 7))), 100 * part_SN)


def test_a_cell_is_what_a_document_more_of_its_kind_moves():
    rng = np.random.default_rng(4)
    part_SN, whole_SN = rng.random((1, 5)), rng.random((1, 5)) + 0.5
    found_SN, before = cells(part_SN, whole_SN), 100 * part_SN.sum() / whole_SN.sum()
    for document in range(5):
        counts_N = np.ones(5)
        counts_N[document] += 1e-6
        after = 100 * (part_SN[0] @ counts_N) / (whole_SN[0] @ counts_N)
        assert (after - before) / 1e-6 * 5 == pytest.approx(
            found_SN[0, document] - before, rel=1e-3, abs=1e-3
        )


def test_documents_without_any_weight_count_0():
    assert not cells(np.zeros((2, 3)), np.zeros((2, 3))).any()


def test_one_seed_gives_the_standard_error_of_a_paired_mean():
    rng = np.random.default_rng(1)
    base_SN, ours_SN = rng.random((1, 400)), rng.random((1, 400))
    gaps_N = 100 * (ours_SN - base_SN)[0]
    half = stats.t.ppf(0.975, 399) * gaps_N.std(ddof=1) / 400**0.5
    expected = (gaps_N.mean() - half, gaps_N.mean() + half)
    assert ends(base_SN, ours_SN) == pytest.approx(expected)


def test_one_seed_of_a_ratio_agrees_with_a_bootstrap():
    rng = np.random.default_rng(2)
    whole_N = rng.random(400) + 0.2
    base_N, ours_N = rng.random(400) * whole_N, rng.random(400) * whole_N
    drawn_RN = rng.multinomial(400, np.full(400, 1 / 400), 4000)
    gaps_R = 100 * (drawn_RN @ (ours_N - base_N)) / (drawn_RN @ whole_N)
    low, high = interval(cells(ours_N[None], whole_N[None]) - cells(base_N[None], whole_N[None]))
    assert (high - low) / 2 == pytest.approx(1.966 * gaps_R.std(), rel=0.05)


def test_seeds_alone_give_the_t_interval_of_three_values():
    """All documents alike: mean 10, deviation 10, two degrees of freedom."""
    base_SN = np.full((3, 50), 0.5)
    ours_SN = base_SN + np.array([[0.0], [0.1], [0.2]])
    half = 4.3027 * 10 / 3**0.5
    assert ends(base_SN, ours_SN) == pytest.approx((10 - half, 10 + half), rel=1e-4)


def test_mean_squares_by_hand():
    """Means of two seeds 3, 6, of three documents 2.5, 4.5, 6.5; cells beyond both 0, 1, -1 and 0, -1, 1.

    Mean squares: of seeds 3 x (1.5^2 + 1.5^2) / 1, of documents 2 x (2^2 + 0 + 2^2) / 2, of cells 4 / 2.
    """
    ahead_SN = np.array([[1.0, 4.0, 4.0], [4.0, 5.0, 9.0]])
    seeds, documents, both = 13.5, 8.0, 8 + 13.5 - 2
    freedom = both**2 / (documents**2 / 2 + seeds**2 / 1)
    half = stats.t.ppf(0.975, freedom) * (both / 6) ** 0.5
    assert interval(ahead_SN) == pytest.approx((4.5 - half, 4.5 + half))


def test_where_seeds_differ_less_than_cells_their_part_is_none():
    """Mean squares: of documents 2 x (1 + 1) / 1, of seeds 0, of cells 4 x 0.5^2."""
    ahead_SN = np.array([[0.5, 1.5], [-0.5, 2.5]])
    half = stats.t.ppf(0.975, 1) * (4 / 4) ** 0.5
    assert interval(ahead_SN) == pytest.approx((1 - half, 1 + half))


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("ratio", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("documents", [0.0, 1.0])
@pytest.mark.parametrize("of_cells", [0.0, 1.0])
def test_an_interval_of_no_effect_holds_zero_about_95_times_in_100(seeds, ratio, documents, of_cells):
    """`ratio`: how much seeds differ, in standard errors of documents that differ by 1."""
    rng = np.random.default_rng(seeds)
    missed = 0
    for _ in range(400):
        noise_SN = rng.normal(0, documents, 40) + rng.normal(0, of_cells, (seeds, 40))
        low, high = interval(noise_SN + rng.normal(0, ratio / 40**0.5, (seeds, 1)))
        missed += not low <= 0 <= high
    assert missed <= 40  # 20 are expected; two degrees of freedom and the seeds' share are estimates


@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_are_no_wider_than_they_must_be_where_cells_differ(seeds):
    """Documents and cells differ alike: the error is that of the documents and a share of the cells."""
    rng = np.random.default_rng(seeds)
    widths = []
    for _ in range(200):
        low, high = interval(rng.normal(0, 1, 300) + rng.normal(0, 1, (seeds, 300)))
        widths.append(high - low)
    assert np.mean(widths) == pytest.approx(2 * 1.96 * (1 / 300 + 1 / (300 * seeds)) ** 0.5, rel=0.15)


def test_equal_models_differ_by_nothing():
    part_SN = np.random.default_rng(0).random((2, 9))
    assert ends(part_SN, part_SN) == (0.0, 0.0)


def test_a_single_document_tells_nothing_of_others():
    assert interval(np.array([[7.0]])) == (7.0, 7.0)
