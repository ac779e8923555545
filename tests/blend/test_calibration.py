"""Chances from logits: by hand, by a slow reference, and how far off they are said to be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmlkit.blend import calibration
from xmlkit.blend.calibration import BINS, Bin, Calibration, bins, calibration_error

POINTS = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=1, max_size=25)


def fitted(z, true):
    return Calibration.fitted(np.array(z, float), np.array(true, bool))


def pooled(points):
    """z to its chance: the greatest, over beginnings, of the least mean, over ends, of what lies between."""
    zs = sorted({z for z, _ in points})

    def mean(low, high):
        return np.mean([is_true for z, is_true in points if low <= z <= high])

    return {z: max(min(mean(a, b) for b in zs if b >= z) for a in zs if a <= z) for z in zs}


def steps_of(points):
    """The steps of such a regression: mean logit, how many there are, how many are right."""
    by_chance = {}
    chances = pooled(points)
    for z, is_true in points:
        by_chance.setdefault(round(chances[z], 12), []).append((z, is_true))
    return [
        (np.mean([z for z, _ in step]), len(step), sum(is_true for _, is_true in step))
        for _, step in sorted(by_chance.items())
    ]


# ------------------------------------------------------------------------------------------ chances


def test_adjacent_violators_are_pooled_into_their_middle():
    """1 is right and 2 is not: both are a half at 1.5. The first two are wrong, and the last two right."""
    chances = fitted([0, 0, 1, 2, 4, 4], [0, 0, 1, 0, 1, 1])
    np.testing.assert_allclose(
        chances(np.array([-3, 0, 0.75, 1.5, 2.75, 4, 9])),
        [1 / 4, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 3 / 4],
    )


def test_three_points_that_fall_have_one_mean():
    np.testing.assert_allclose(fitted([1, 2, 3], [1, 0, 0])(np.array([1, 2.5, 3.0])), [1 / 3] * 3)


def test_equal_logits_have_one_chance():
    np.testing.assert_allclose(fitted([0, 0, 0, 1], [1, 0, 0, 1])(np.array([0.0, 1.0])), [1 / 3, 2 / 3])


def test_outside_it_is_the_nearest_that_was_seen():
    chances = fitted([1, 1, 2, 2, 2], [1, 0, 1, 1, 0])
    np.testing.assert_allclose(chances(np.array([-np.inf, -50, 50, np.inf])), [1 / 2, 1 / 2, 2 / 3, 2 / 3])


@pytest.mark.parametrize("right", [0, 1])
def test_where_all_are_wrong_or_all_are_right_it_is_not_sure(right):
    expected = (right * 3 + 1) / 5
    np.testing.assert_allclose(fitted([0, 1, 2], [right] * 3)(np.array([0.0, 9.0])), [expected] * 2)


def test_an_end_lies_beyond_what_is_next_to_it():
    """A single one that is wrong would be worth a third; of the hundred after it one is right."""
    chances = fitted([0, *[1] * 100], [0, 1, *[0] * 99])
    np.testing.assert_allclose(chances(np.array([0.0, 1.0])), [1 / 200, 1 / 100])
    chances = fitted([1, *[0] * 100], [1, 0, *[1] * 99])
    np.testing.assert_allclose(chances(np.array([0.0, 1.0])), [99 / 100, 199 / 200])


def test_the_shape_is_that_of_the_logits():
    assert fitted([0, 1], [0, 1])(np.zeros((2, 3))).shape == (2, 3)


@given(POINTS)
def test_chances_are_those_of_a_slow_reference(points):
    chances, steps = fitted(*zip(*points)), steps_of(points)
    expected = [right / count for _, count, right in steps]
    if expected[0] == 0:
        expected[0] = min(1 / (steps[0][1] + 2), (expected[1] if len(steps) > 1 else 1) / 2)
    if expected[-1] == 1:
        expected[-1] = max(1 - 1 / (steps[-1][1] + 2), (1 + (expected[-2] if len(steps) > 1 else 0)) / 2)
    np.testing.assert_allclose(chances(np.array([z for z, _, _ in steps])), expected, atol=1e-9)


@given(POINTS, st.lists(st.floats(-9, 9), min_size=2))
def test_chances_never_fall_and_lie_between_0_and_1(points, z):
    found = fitted(*zip(*points))(np.sort(z))
    assert (np.diff(found) >= -1e-12).all() and found.min() > 0 and found.max() < 1


def test_what_ranks_higher_scores_higher():
    """Between the means of the first and the last step."""
    rng = np.random.default_rng(0)
    z_V = rng.normal(size=2000)
    chances = Calibration.fitted(z_V, rng.random(2000) < 1 / (1 + np.exp(-z_V)))
    inside = np.linspace(chances.z_X[0], chances.z_X[-1], 500)
    assert (np.diff(chances(inside)) > 0).all() and inside[0] < -1.5 and inside[-1] > 1.5


def test_on_average_the_chance_is_nearly_how_many_were_right():
    rng = np.random.default_rng(1)
    z_V = rng.normal(size=2000)
    true_V = rng.random(2000) < 1 / (1 + np.exp(-z_V))
    assert Calibration.fitted(z_V, true_V)(z_V).mean() == pytest.approx(true_V.mean(), abs=0.005)


# ------------------------------------------------------------------------------------------ how far off


def in_15_bins(added=0.0):
    """20 scores in each bin: those of bin k are k/20, and k of them are right."""
    score_V = np.repeat(np.arange(15) / 20, 20)
    right_V = np.concatenate([np.arange(20) < k for k in range(15)])
    order = np.random.default_rng(0).permutation(300)
    return score_V[order] + added, right_V[order]


def test_scores_that_mean_what_they_say_are_0_off():
    assert calibration_error(*in_15_bins()) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("added", [-0.04, 0.04])
def test_scores_that_are_off_by_so_much_everywhere(added):
    assert calibration_error(*in_15_bins(added)) == pytest.approx(4)


def test_too_low_here_and_too_high_there_do_not_make_up_for_each_other():
    score_V, right_V = in_15_bins()
    assert calibration_error(score_V + np.where(score_V < 0.35, -0.04, 0.04), right_V) == pytest.approx(4)


def test_in_one_bin_by_hand(monkeypatch):
    """Scores sum to 1.6, and one is right: 0.6 of 4."""
    monkeypatch.setattr(calibration, "BINS", 1)
    score_V, right_V = np.array([0.9, 0.1, 0.4, 0.2]), np.array([True, False, False, False])
    assert calibration_error(score_V, right_V) == pytest.approx(100 * 0.6 / 4)


def test_in_two_bins_by_hand(monkeypatch):
    """0.9 and 0.4 are one bin, off by 0.3, and 0.2 and 0.1 the other, off by 0.7."""
    monkeypatch.setattr(calibration, "BINS", 2)
    score_V, right_V = np.array([0.9, 0.1, 0.4, 0.2]), np.array([True, True, False, False])
    assert calibration_error(score_V, right_V) == pytest.approx(100 * (0.3 + 0.7) / 4)


def test_of_few_scores_each_is_a_bin():
    score_V, right_V = np.array([0.9, 0.1, 0.4]), np.array([True, False, True])
    assert calibration_error(score_V, right_V) == pytest.approx(100 * (0.1 + 0.1 + 0.6) / 3)


@pytest.mark.parametrize("count", [1, 7, 40])
def test_to_be_sure_and_always_wrong_is_100_off(count):
    assert calibration_error(np.ones(count), np.zeros(count, bool)) == 100
    assert calibration_error(np.ones(count), np.ones(count, bool)) == 0


def test_of_nothing_it_is_0():
    assert calibration_error(np.zeros(0), np.zeros(0, bool)) == 0


def test_calibrated_scores_are_less_off_than_the_logits_own():
    """Logits that are three times too sure; judged on others than were fitted to."""
    rng = np.random.default_rng(0)
    z_V = rng.normal(size=4000)
    true_V = rng.random(4000) < 1 / (1 + np.exp(-z_V))
    chances = Calibration.fitted(3 * z_V[:2000], true_V[:2000])
    before = calibration_error(1 / (1 + np.exp(-3 * z_V[2000:])), true_V[2000:])
    assert calibration_error(chances(3 * z_V[2000:]), true_V[2000:]) < before / 3


def test_bins_by_hand():
    """Of 30 scores there are two in each; fewer scores make fewer bins, and equal ones are one."""
    score_V = np.arange(30) / 30
    found = list(bins(score_V[::-1], (np.arange(30) % 2 == 0)[::-1]))
    assert len(found) == BINS and all(one.count == 2 and one.right == 1 for one in found)
    assert [one.scored for one in found] == pytest.approx([(4 * n + 1) / 30 for n in range(BINS)])
    few = list(bins(np.array([0.5, 0.5]), np.array([True, False])))
    assert few == [Bin(1, 0.5, 0.5)] * 2 and few[0].off == 0
    assert list(bins(np.zeros(0), np.zeros(0, bool))) == []


def test_of_nothing_there_is_no_chance():
    assert Calibration.fitted(np.zeros(0), np.zeros(0, bool))(np.array([-3.0, 3.0])).tolist() == [0, 0]
