"""Co-occurring labels against counting by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmlkit.data.ragged import Ragged
from xmlkit.labels.cooccurrence import cooccurring_labels, labels_given


def slow(rows, groups, top):
    """Of each group: the labels on documents with any of its labels, most frequent first."""
    found = []
    for members, own in groups:
        counts = Counter(label for row in rows if set(row) & members for label in row if label != own)
        best = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]
        found.append(best)
    return found


@given(st.data())
def test_counts_are_those_of_the_slow_reference(data):
    num_labels, top = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 4))
    rows = data.draw(st.lists(st.sets(st.integers(0, num_labels - 1)).map(sorted), min_size=1, max_size=8))
    grouped = data.draw(st.booleans())
    labels = Ragged.of(rows)
    group_of_L = np.sort(np.arange(num_labels) * 3 // num_labels) if grouped else None
    if grouped:
        groups = [(set(np.flatnonzero(group_of_L == g).tolist()), None) for g in range(group_of_L.max() + 1)]
    else:
        groups = [({label}, label) for label in range(num_labels)]
    ids, shares = cooccurring_labels(labels.values, labels.offsets, num_labels, top, group_of_L)
    assert ids.shape == shares.shape == (len(groups), top)
    for best, row_ids, row_shares in zip(slow(rows, groups, top), ids, shares, strict=True):
        total = sum(count for _, count in best)
        assert row_ids[: len(best)].tolist() == [label for label, _ in best]
        assert row_shares[: len(best)].tolist() == pytest.approx([count / total for _, count in best])
        assert not row_shares[len(best) :].any()


@given(st.data())
def test_shares_given_a_label_are_those_of_the_slow_reference(data):
    num_labels, least = data.draw(st.integers(1, 6)), data.draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    rows = data.draw(st.lists(st.sets(st.integers(0, num_labels - 1)).map(sorted), min_size=1, max_size=12))
    ids, shares = labels_given(Ragged.of(rows), num_labels, least)
    for label in range(num_labels):
        having = [row for row in rows if label in row]
        expected = {
            other: sum(other in row for row in having) / max(len(having), 1) for other in range(num_labels)
        }
        expected[label] = 1.0
        kept = [other for other, share in expected.items() if share > 0 and share >= least]
        assert ids[label].tolist() == kept
        assert shares[label].tolist() == pytest.approx([expected[other] for other in kept])
    assert shares.values.dtype == np.float32
