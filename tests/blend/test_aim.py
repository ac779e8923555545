"""What blends are compared by: how it is named, its mean, and the interval of a difference."""

from __future__ import annotations

import numpy as np
import pytest

from xmlkit.blend.aim import Aim, Mean, aim_for, difference
from xmlkit.config import Config
from xmlkit.errors import UserError
from xmlkit.metrics import Terms


def terms(part_N, whole_N=None):
    return Terms(part_N, np.ones(len(part_N)) if whole_N is None else whole_N)


@pytest.mark.parametrize(
    ("given", "ks", "metrics", "words"),
    [
        (None, (1, 3, 5), ("nDCG@5", "PSP@5"), "mean of nDCG@5 and PSP@5"),
        (None, (1, 20, 3), ("nDCG@20", "PSP@20"), "mean of nDCG@20 and PSP@20"),
        ("P@1", (1, 3, 5), ("P@1",), "P@1"),
        ("P@1, PSP@3,R@5", (1, 3, 5), ("P@1", "PSP@3", "R@5"), "mean of P@1, PSP@3 and R@5"),
        ("P@1,P@1", (1, 3, 5), ("P@1",), "P@1"),
    ],
)
def test_metrics_and_their_name(given, ks, metrics, words):
    aim = aim_for(Config(ks=ks), given)
    assert aim.metrics == metrics and str(aim) == words


@pytest.mark.parametrize(("given", "wrong"), [("P@7", "P@7"), ("P@1,coverage@1", "coverage@1"), ("P@1,", "")])
def test_what_is_not_computed_is_named(given, wrong):
    with pytest.raises(
        UserError, match=f"^--for {given}: no metric '{wrong}'; expected one of P@1, P@3, P@5, nDCG@1"
    ):
        aim_for(Config(), given)


def test_a_mean_is_of_the_metrics_that_count():
    of = {
        "P@1": terms(np.array([1, 0])),
        "PSP@1": terms(np.array([3, 0]), np.array([4, 8])),
        "R@1": terms(np.ones(2)),
    }
    assert Aim(("P@1", "PSP@1")).of(of).percent == (50 + 25) / 2
    assert Aim(("P@1",)).of(of).percent == 50


def test_from_itself_a_model_differs_by_nothing():
    rng = np.random.default_rng(0)
    both = Mean((terms(rng.random(60)), terms(rng.random(60), rng.random(60))))
    assert difference(both, both) == (0, 0, 0)


def test_the_interval_is_that_of_paired_differences():
    """One is always 10 points better; then by 0 or 20, whose mean has a standard error."""
    base_N = np.random.default_rng(0).random(400) / 2
    base = Mean((terms(base_N),))
    assert difference(Mean((terms(base_N + 0.1),)), base) == pytest.approx((10, 10, 10))
    gains_N = 0.2 * (np.arange(400) % 2)
    better = Mean((terms(base_N + gains_N),))
    points, low, high = difference(better, base)
    assert points == pytest.approx(10) == (low + high) / 2
    assert (high - low) / 2 == pytest.approx(1.966 * 100 * gains_N.std() / 400**0.5, rel=0.06)
    assert difference(base, better) == pytest.approx((-points, -high, -low))


def test_the_interval_of_a_mean_knows_that_metrics_go_together():
    """Of two equal ones it is that of either; where one takes what the other gives nothing is left."""
    rng = np.random.default_rng(0)
    base_N, gains_N = rng.random(400) / 2, 0.2 * (np.arange(400) % 2)
    base, better, worse = terms(base_N), terms(base_N + gains_N), terms(base_N - gains_N)
    alone = difference(Mean((better,)), Mean((base,)))
    assert difference(Mean((better, better)), Mean((base, base))) == pytest.approx(alone)
    assert difference(Mean((better, worse)), Mean((base, base))) == pytest.approx((0, 0, 0), abs=1e-9)


def test_the_interval_of_a_mean_of_a_ratio_is_that_of_an_independent_bootstrap():
    rng = np.random.default_rng(1)
    whole_N = rng.random(300) + 0.5
    ones = [terms(rng.random(300)), terms(rng.random(300) * whole_N, whole_N)]
    others = [terms(rng.random(300)), terms(rng.random(300) * whole_N, whole_N)]
    points, low, high = difference(Mean(tuple(ones)), Mean(tuple(others)))

    def mean(found, rows):
        return sum(100 * one.part_N[rows].sum() / one.whole_N[rows].sum() for one in found) / len(found)

    drawn = rng.integers(300, size=(4000, 300))
    gaps = [mean(ones, rows) - mean(others, rows) for rows in drawn]
    assert points == pytest.approx(mean(ones, slice(None)) - mean(others, slice(None)))
    assert high - low == pytest.approx(2 * 1.968 * np.std(gaps), rel=0.06)
