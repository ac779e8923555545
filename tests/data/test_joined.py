from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xmlkit.data.joined import Joined
from xmlkit.data.ragged import Ragged

ROWS = st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=6)


@given(ROWS, ROWS, st.data())
def test_rows_are_those_of_both_lists_together(first, second, data):
    rows, joined = first + second, Joined(Ragged.of(first), Ragged.of(second))
    assert len(joined) == len(rows) and joined.lengths.tolist() == [len(row) for row in rows]
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=12)) if rows else []
    taken = joined.take(np.array(chosen, np.int64))
    assert [taken[i].tolist() for i in range(len(taken))] == [rows[row] for row in chosen]
    assert len(taken.values) == taken.offsets[-1]
