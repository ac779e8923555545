"""What members cost a document, and which of them a budget allows: by hand, and against all subsets."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmlkit.blend.costs import Costs, affordable, milliseconds_in
from xmlkit.errors import UserError


def added(*worths):
    """Each member adds something of its own."""
    return lambda kept: sum(worths[one] for one in kept)


def apart(*own):
    return Costs(own, [()] * len(own), {})


# Two that read with one encoder, one of which has a run's parts around it, and one that reads words.
SHARED = Costs(
    own=[1.0, 0.5, 2.0],
    needs=[("tower 0", "encoder"), ("encoder",), ()],
    readings={"tower 0": 0.25, "encoder": 4.0},
    blending=0.5,
)


def test_readings_are_paid_for_once():
    assert SHARED.of([0]) == 0.5 + 1 + 0.25 + 4
    assert SHARED.of([1]) == 0.5 + 0.5 + 4
    assert SHARED.of([0, 1]) == 0.5 + 1 + 0.5 + 0.25 + 4
    assert SHARED.of([0, 1, 2]) == SHARED.of([0, 1]) + 2
    assert SHARED.of([]) == 0.5 and SHARED.alone(0) == 5.25


@pytest.mark.parametrize(
    ("budget", "kept"),
    [(6, {0, 1, 2}), (5.9, {0, 2}), (4, {0, 2}), (3.9, {0}), (3, {0}), (2.9, {2}), (1, {2})],
)
def test_what_is_worth_least_a_millisecond_goes(budget, kept):
    """Of 3, 2 and 1 ms, worth 9, 1 and 2 points: 3, 0.5 and 2 a millisecond; alone the first takes too long
    below 3 ms."""
    assert affordable(apart(3.0, 2.0, 1.0), budget, added(9, 1, 2)) == kept


def test_a_reading_goes_with_all_that_it_is_made_for():
    """6 ms of an encoder for two members of nearly nothing: alone neither saves much."""
    costs = Costs([0.1, 0.1, 2.0], [("encoder",), ("encoder",), ()], {"encoder": 6.0})
    assert affordable(costs, 3, added(2, 2, 3)) == {2}
    assert affordable(costs, 7, added(2, 2, 1)) == {0, 1}


def test_a_member_that_does_harm_is_the_first_to_go():
    assert affordable(apart(1.0, 5.0, 1.0), 6, added(-1, 50, 0.1)) == {1, 2}


def test_what_still_fits_in_the_end_comes_back():
    """2 goes first, 0.1 points a millisecond, and then what is much larger: the place is free again."""
    assert affordable(apart(1.0, 9.0, 1.0), 2.5, added(1, 1.2, 0.1)) == {0, 2}


def test_where_none_is_as_cheap_the_cheapest_is_kept():
    assert affordable(apart(3.0, 2.0, 4.0), 1, added(9, 1, 20)) == {1}


def test_where_the_last_does_not_fit_another_may():
    """The first is worth more a millisecond until it is alone."""
    assert affordable(apart(10.0, 1.0), 5, added(100, 1)) == {1}


def test_worth_is_of_members_together():
    """Two that know the same: either may go, and the other is worth all the more."""
    both = affordable(apart(2.0, 2.0, 1.0), 3, lambda kept: 10 * bool(kept & {0, 1}) + (2 in kept))
    assert both in ({0, 2}, {1, 2})


FIGURES = st.floats(0.01, 10)


@st.composite
def problems(draw):
    count = draw(st.integers(1, 5))
    names = ("a", "b")
    needs = [draw(st.sets(st.sampled_from(names))) for _ in range(count)]
    costs = Costs([draw(FIGURES) for _ in range(count)], needs, {name: draw(FIGURES) for name in names})
    return costs, draw(st.floats(0.1, 40)), [draw(st.floats(-1, 10)) for _ in range(count)]


def subsets(count):
    sizes = range(1, count + 1)
    return [frozenset(some) for size in sizes for some in itertools.combinations(range(count), size)]


@given(problems())
def test_against_all_subsets(problem):
    """What is kept fits where anything does, nothing that adds could be kept beside it, and none is better
    than the best of all; where nothing need be dropped, nothing is."""
    costs, budget, worths = problem
    worth = added(*worths)
    kept = affordable(costs, budget, worth)
    fitting = [some for some in subsets(len(worths)) if costs.of(some) <= budget]
    if not fitting:
        assert costs.of(kept) == min(costs.of([one]) for one in range(len(worths))) and len(kept) == 1
        return
    assert kept in fitting and worth(kept) <= max(map(worth, fitting))
    assert not any(
        some > kept and worth(some) > worth(kept) and len(some) == len(kept) + 1 for some in fitting
    )
    if frozenset(range(len(worths))) in fitting:
        assert kept == frozenset(range(len(worths)))


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=6), st.integers(1, 6))
def test_where_all_cost_the_same_it_is_the_best_of_all_subsets(worths, fit):
    costs, worth = apart(*[1.0] * len(worths)), added(*worths)
    best = max(worth(some) for some in subsets(len(worths)) if len(some) <= fit)
    assert worth(affordable(costs, fit, worth)) == pytest.approx(best)


def test_a_budget_is_in_milliseconds():
    assert [milliseconds_in(text) for text in ("5ms", "0.5ms", "12 ms")] == [5, 0.5, 12]
    for wrong in ("5", "5s", "0ms", "-1ms", "ms", "1e3ms", "fast"):
        with pytest.raises(UserError, match=f"--fast {re.escape(wrong)}: expected milliseconds a document"):
            milliseconds_in(wrong)
