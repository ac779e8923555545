"""Runs of a whole, and which of some rows are in them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xmlkit.distributed.share import Chunk, ForeignRows, Share, asks_for_own, own_rows


@given(st.integers(0, 50), st.integers(1, 9))
def test_runs_make_the_whole_and_differ_by_one_at_most(total, count):
    shares = [Share(total, number, count) for number in range(count)]
    assert [row for share in shares for row in range(total)[share.run]] == list(range(total))
    sizes = [len(share) for share in shares]
    assert shares[0].sizes == sizes and max(sizes) - min(sizes) <= 1


@given(st.integers(1, 50), st.integers(1, 9))
def test_chunks_are_those_of_torch(total, count):
    """Which has none where nothing is left for the last ranks."""
    chunks = [Chunk(total, number, count) for number in range(count)]
    expected = [chunk.tolist() for chunk in torch.arange(total).chunk(count)]
    expected += [[]] * (count - len(expected))
    assert [torch.arange(total)[chunk.run].tolist() for chunk in chunks] == expected
    assert chunks[0].sizes == [len(chunk) for chunk in chunks] == [len(rows) for rows in expected]


@given(st.integers(1, 30), st.integers(1, 5), st.data())
def test_rows_inside_are_found_at_their_places(total, count, data):
    share = Share(total, data.draw(st.integers(0, count - 1)), count)
    whole, own = torch.arange(total), torch.arange(total)[share.run]
    begin, end = sorted(data.draw(st.tuples(st.integers(0, total), st.integers(0, total))))
    ids = torch.tensor(data.draw(st.lists(st.integers(0, total - 1), max_size=8)), dtype=torch.long)
    for rows in (slice(begin, end), slice(None), ids):
        places, local = share.inside(rows)
        asked = whole[rows]
        assert asked[places].tolist() == own[local].tolist() == asked[share.owns(asked)].tolist()


def test_own_rows_are_of_tables_of_one_size():
    assert not asks_for_own(5)
    with own_rows(Share(5, 0, 2)):
        assert asks_for_own(5)
        with pytest.raises(ForeignRows):
            asks_for_own(4)
    with own_rows(None):
        assert not asks_for_own(4)
