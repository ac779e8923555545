"""Ranks that lose each other."""

from __future__ import annotations

import os
import time

import pytest
from ranks_here import on_ranks

from xmlkit.distributed import ranks


def waits_for(other: str) -> str:
    """What a rank says whose partner dies, or is silent."""
    if ranks.number() == 1:
        if other == "dead":
            os._exit(1)
        time.sleep(8)
        return ""
    with pytest.raises(ranks.RankLost) as told, ranks.named():
        ranks.meet()
    return str(told.value)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ("dead", "its connection is closed"),
        pytest.param("hangs", "rank_timeout is over", marks=pytest.mark.slow),
    ],
)
def test_a_rank_that_is_lost_is_named(other, why):
    said, *_ = on_ranks(2, waits_for, other, limit=2.0)
    assert said == f"rank 1 does not answer ({why}), says rank 0; go on with train --resume RUN"


def in_turn(hosts: int) -> tuple[float, float]:
    if hosts > 1:
        os.environ["LOCAL_RANK"] = str(ranks.number() % (ranks.count() // hosts))
    with ranks.first_then_rest():
        begun = time.monotonic()
        time.sleep(0.2)
        ended = time.monotonic()
    assert ranks.of_first(ranks.number()) == 0
    assert ranks.greatest(ranks.number(), -ranks.number()) == [ranks.count() - 1, 0]
    every = range(ranks.count())
    assert ranks.union({str(ranks.number()): ranks.number()}) == {str(number): number for number in every}
    return begun, ended


def test_the_first_prepares_before_the_rest():
    (_, first_ended), *rest = on_ranks(3, in_turn, 1)
    assert all(begun >= first_ended for begun, _ in rest)


@pytest.mark.slow
def test_the_first_of_a_host_prepares_before_its_others():
    (_, ended), (begun, _), (there_begun, there_ended), (last_begun, _) = on_ranks(4, in_turn, 2)
    assert begun >= ended and there_begun >= ended and last_begun >= there_ended
