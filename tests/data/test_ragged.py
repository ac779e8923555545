from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xmlkit.data.ragged import Ragged

ROWS = st.lists(st.lists(st.integers(-5, 2**40), max_size=6), min_size=1, max_size=12)


@given(ROWS)
def test_of_stores_each_row(rows: list[list[int]]) -> None:
    packed = Ragged.of(rows)
    assert [packed[row].tolist() for row in range(len(packed))] == rows
    assert packed.lengths.tolist() == [len(row) for row in rows]


@given(ROWS, st.data(), st.none() | st.integers(0, 7))
def test_take_equals_a_list_of_slices(rows: list[list[int]], data: st.DataObject, most: int | None) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=15))
    taken = Ragged.of(rows).take(np.array(chosen, np.int64), most)
    assert [taken[row].tolist() for row in range(len(taken))] == [rows[row][:most] for row in chosen]
    assert len(taken.values) == taken.offsets[-1]
