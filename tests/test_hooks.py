"""What passes through the doors, against slow references."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from xmlkit.data.ragged import Ragged
from xmlkit.model.inputs import ragged_labels
from xmlkit.passing import LayerStates, Shortlist, Training, Vectors
from xmlkit.tables import unique_ids_without_waiting

L = 12
label_lists = st.lists(st.lists(st.integers(0, L - 1), unique=True).map(sorted), min_size=1, max_size=5)


@given(label_lists, st.data())
def test_contains_is_membership(rows, data):
    labels = ragged_labels(Ragged.of(rows), L)
    ids = data.draw(
        st.lists(
            st.lists(st.integers(0, L - 1), min_size=4, max_size=4), min_size=len(rows), max_size=len(rows)
        )
    )
    expected = [[label in row for label in asked] for row, asked in zip(rows, ids, strict=True)]
    assert labels.contains(torch.tensor(ids).reshape(len(rows), 4)).tolist() == expected


@given(label_lists, st.integers(0, 2**31))
def test_extended_is_a_union_with_its_truth(rows, seed):
    """Candidates as sets: what was there, then what is new; nothing twice; every true one marked."""
    rng = torch.Generator().manual_seed(seed)
    labels = ragged_labels(Ragged.of(rows), L)
    batch = len(rows)
    ids_BC = torch.stack([torch.randperm(L, generator=rng)[:4] for _ in rows])
    mask_BC = torch.tensor([[True, True, True, False]] * batch)
    ids_BC[:, 3] = ids_BC[:, 0]  # padding repeats an own candidate
    short = Shortlist(
        torch.zeros(batch, 1), ids_BC, mask_BC, torch.ones(batch, 4), labels.contains(ids_BC) & mask_BC
    )
    ids_BX = torch.randint(L, (batch, 6), generator=rng)
    mask_BX = torch.rand(batch, 6, generator=rng) < 0.7
    longer = short.extended(ids_BX, mask_BX, Training(labels, rng, torch.arange(len(labels))))
    for row in range(batch):
        before = set(ids_BC[row][mask_BC[row]].tolist())
        added = set(ids_BX[row][mask_BX[row]].tolist())
        real = longer.ids_BC[row][longer.mask_BC[row]].tolist()
        assert len(real) == len(set(real)) and set(real) == before | added
        true = longer.ids_BC[row][longer.truth_BC[row]].tolist()
        assert sorted(true) == sorted((before | added) & set(rows[row]))
        assert set(longer.ids_BC[row].tolist()) <= before | added  # padding touches no other row of a table


def test_added_candidates_need_a_prior_at_prediction():
    short = Shortlist(torch.zeros(1, 1), torch.tensor([[1]]), torch.tensor([[True]]), torch.ones(1, 1))
    more = torch.tensor([[2]]), torch.tensor([[True]])
    with pytest.raises(AssertionError, match="prior_BX"):
        short.extended(*more, None)
    assert short.extended(*more, None, torch.full((1, 1), 0.5)).prior_BC.tolist() == [[1.0, 0.5]]


@given(label_lists, st.integers(0, 2**31), st.booleans())
def test_votes_are_added_to_whom_they_are_for(rows, seed, had_votes):
    """Known, new and repeated candidates alike; what is padding on either side votes for nothing."""
    rng = torch.Generator().manual_seed(seed)
    batch = len(rows)
    ids_BC = torch.stack([torch.randperm(L, generator=rng)[:4] for _ in rows])
    ids_BC[:, 0] = ids_BC[:, 3]  # padding may stand before the candidate that it repeats
    mask_BC = torch.tensor([[False, True, True, True]] * batch)
    votes_BC = torch.rand(batch, 4, generator=rng) * mask_BC if had_votes else None
    short = Shortlist(torch.zeros(batch, 1), ids_BC, mask_BC, torch.ones(batch, 4), votes_BC=votes_BC)
    ids_BX = torch.randint(L, (batch, 6), generator=rng)
    mask_BX = torch.rand(batch, 6, generator=rng) < 0.7
    votes_BX = torch.rand(batch, 6, generator=rng)
    longer = short.extended(ids_BX, mask_BX, None, torch.ones(batch, 6), votes_BX)
    for row in range(batch):
        expected = dict.fromkeys(ids_BC[row][mask_BC[row]].tolist(), 0.0)
        offered = [(ids_BX, mask_BX, votes_BX)] + ([(ids_BC, mask_BC, votes_BC)] if had_votes else [])
        for ids, mask, votes in offered:
            for label, is_real, vote in zip(ids[row].tolist(), mask[row], votes[row].tolist(), strict=True):
                if is_real:
                    expected[label] = expected.get(label, 0.0) + vote
        found = zip(
            longer.ids_BC[row].tolist(), longer.mask_BC[row], longer.votes_BC[row].tolist(), strict=True
        )
        assert {label: vote for label, is_real, vote in found if is_real} == pytest.approx(expected)
        assert longer.votes_BC[row][~longer.mask_BC[row]].eq(0).all()


def test_votes_stay_where_candidates_are_added_without():
    short = Shortlist(torch.zeros(1, 1), torch.tensor([[1]]), torch.tensor([[True]]), torch.ones(1, 1))
    more = torch.tensor([[2]]), torch.tensor([[True]]), None, torch.ones(1, 1)
    assert short.extended(*more).votes_BC is None
    voted = short.extended(*more, torch.full((1, 1), 3.0))
    again = voted.extended(torch.tensor([[5]]), *more[1:])
    assert voted.votes_BC.tolist() == [[0.0, 3.0]] and again.votes_BC.tolist() == [[0.0, 3.0, 0.0]]


@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=5))
def test_unique_ids_for_devices_equal_the_exact_ones(ids):
    ids_BC = torch.tensor(ids)
    ids_U, slots_BC = unique_ids_without_waiting(ids_BC)
    assert torch.equal(ids_U[slots_BC], ids_BC)
    assert set(ids_U.tolist()) == set(ids_BC.flatten().tolist())  # what pads is an id in use
    used = ids_U[: slots_BC.max() + 1].tolist()
    assert used == sorted(set(used))
    assert unique_ids_without_waiting(ids_BC.to("meta"))[0].shape == (ids_BC.numel(),)


def test_gains_multiply_and_touch_only_what_is_read():
    documents, _ = tiny.batch(["w1 w2", "w3"])
    layers = tuple(torch.randn(2, 4, 3) for _ in range(2))
    states = LayerStates(layers, documents)
    a, b = torch.rand(2, 2, 1), torch.rand(2, 2, 3)
    scaled = states.scaled(a).scaled(b)
    torch.testing.assert_close(scaled.first_BNH, torch.stack([s[:, 0] for s in layers], 1) * a * b)
    torch.testing.assert_close(scaled.layer_BTH(-1), layers[1] * (a * b)[:, 1, None])
    assert scaled.layers is layers


def test_map_calls_once_where_once_is_enough():
    calls = []

    def double(x):
        calls.append(x)
        return 2 * x

    x, y = torch.ones(1, 2), torch.ones(1, 2)
    same = Vectors(x, x).map(double, double)
    assert same.recall_BD is same.rank_BD and len(calls) == 1
    Vectors(x, y).map(double, double)
    assert len(calls) == 3
    parted = Vectors(x, x).map(lambda v: v, double)
    assert parted.recall_BD is x and parted.rank_BD.tolist() == [[2, 2]]


@given(label_lists, st.data())
def test_targets_are_looked_up_by_document_and_label(rows, data):
    values = [data.draw(st.floats(0.125, 1, width=16)) for row in rows for _ in row]
    plain = Ragged.of(rows)
    labels = ragged_labels(plain, L, Ragged(np.array(values, np.float32), plain.offsets))
    expected, value = np.zeros((len(rows), L), np.float32), iter(values)
    for i, row in enumerate(rows):
        for label in row:
            expected[i, label] = next(value)
    ids_BC = torch.arange(L).flip(0).expand(len(rows), L)
    assert labels.to(torch.device("cpu")).targets(ids_BC).flip(1).tolist() == expected.tolist()
    assert ragged_labels(plain, L).targets(ids_BC).flip(1).tolist() == (expected > 0).tolist()
