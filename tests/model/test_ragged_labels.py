"""Ragged labels: some of the documents, against a loop."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xmlkit.data.ragged import Ragged
from xmlkit.model.inputs import ragged_labels

LABELS = 7
DOCUMENTS = st.lists(st.sets(st.integers(0, LABELS - 1)).map(sorted), min_size=1, max_size=9)


@given(DOCUMENTS, st.data(), st.booleans())
def test_some_documents_against_a_loop(documents, data, are_soft):
    """In any order, none, or the same one more than once."""
    rows = data.draw(st.lists(st.integers(0, len(documents) - 1), max_size=12))
    targets = [[(1 + i + label) / 20 for label in found] for i, found in enumerate(documents)]
    given_targets = Ragged.of(targets, torch.zeros(0).numpy().dtype) if are_soft else None
    whole = ragged_labels(Ragged.of(documents), LABELS, given_targets)
    found = whole.take(torch.tensor(rows, dtype=torch.long))
    lengths = [len(documents[row]) for row in rows]
    assert found.values_V.tolist() == [label for row in rows for label in documents[row]]
    assert found.offsets.tolist() == [sum(lengths[:i]) for i in range(len(rows) + 1)]
    assert found.offsets.dtype == found.values_V.dtype == torch.int64
    assert len(found) == len(rows) and found.num_labels == LABELS and found.most >= max([0, *lengths])
    if are_soft:
        assert found.targets_V.tolist() == pytest.approx([t for row in rows for t in targets[row]])
    else:
        assert found.targets_V is None
    every_BL = torch.arange(LABELS).expand(len(rows), -1)
    expected = [[label in documents[row] for label in range(LABELS)] for row in rows]
    assert found.contains(every_BL).tolist() == expected
