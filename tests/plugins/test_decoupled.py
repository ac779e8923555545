"""The decoupled softmax against loops over documents and labels."""

from __future__ import annotations

import math

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from xmlkit_plugins.decoupled import Decoupled, Options

from xmlkit import Incompatible
from xmlkit.doors import LossCombiner

TEXTS = ["w1 w2 w3", "w9", "", "w5 w4 w40 w41 w7"]


def cost(z, truth, mask=None, temperature=1.0):
    ours = Decoupled(LossCombiner(), Options(temperature=temperature))
    z_BC, truth_BC = torch.tensor([z], dtype=torch.float64), torch.tensor([truth], dtype=torch.float64)
    mask_BC = torch.ones_like(z_BC, dtype=torch.bool) if mask is None else torch.tensor([mask])
    return float(ours.cost_B(z_BC, truth_BC, mask_BC, slice(0, len(z))))


def test_by_hand():
    """Scores 1, 0 and -1; the first true, and then the second too: each against the third alone."""
    assert cost([1.0, 0.0, -1.0], [1, 0, 0]) == pytest.approx(math.log(1 + math.exp(-1) + math.exp(-2)))
    both = math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))
    assert cost([1.0, 0.0, -1.0], [1, 1, 0]) == pytest.approx(both)
    assert cost([1.0, 0.0, -1.0], [1, 1, 0], temperature=0.5) == pytest.approx(
        math.log(1 + math.exp(-4)) + math.log(1 + math.exp(-2))
    )
    assert cost([1.0, 0.0, -1.0], [1, 0, 0], [True, False, True]) == pytest.approx(math.log(1 + math.exp(-2)))


ROWS = st.lists(
    st.tuples(st.floats(-30, 30), st.sampled_from([0.0, 0.0, 0.3, 1.0]), st.booleans()),
    min_size=1,
    max_size=8,
)


@given(ROWS)
@settings(max_examples=200)
def test_against_a_loop(rows):
    z, truth, mask = (list(column) for column in zip(*rows))
    against = sum(math.exp(s) for s, t, real in rows if real and t == 0)
    expected = sum(t * math.log1p(against / math.exp(s)) for s, t, real in rows if real)
    assert cost(z, truth, mask) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("truth", [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
def test_gradients_are_finite_where_there_is_nothing_to_tell_apart(truth):
    z_BC = torch.tensor([[80.0, -80.0]], requires_grad=True)
    ours = Decoupled(LossCombiner(), Options())
    found = ours.cost_B(z_BC, torch.tensor([truth]), torch.ones(1, 2, dtype=torch.bool), slice(0, 2))
    found.sum().backward()
    assert found.isfinite().all() and z_BC.grad.isfinite().all()
    assert bool(z_BC.grad.any()) is False  # all true, none true, or told apart already


@pytest.mark.parametrize("starts", [None, [0, 9, 15]], ids=["flat", "clustered"])
def test_true_labels_rise_and_others_fall(starts):
    model = tiny.model(plugins=["decoupled"], starts=starts, start="random", dropout=0.0).double()
    documents, training = tiny.batch(TEXTS)
    z_BL = model.head.scores_BU(model.vectors(documents).rank_BD, slice(0, 23)).detach().requires_grad_()
    truth_BL = training.labels.contains(torch.arange(23).expand(4, 23)).double()
    model.combiner.cost_maker.cost_B(
        z_BL, truth_BL, torch.ones_like(truth_BL).bool(), slice(0, 23)
    ).sum().backward()
    has_labels = truth_BL.any(1)
    assert (z_BL.grad[truth_BL > 0] < 0).all() and (
        z_BL.grad[has_labels][truth_BL[has_labels] == 0] > 0
    ).all()
    output = model(documents, training)
    model.backward(output)
    assert output.losses["ranker"] > 0


def test_a_cost_of_single_labels_comes_before_it():
    tiny.model(plugins=["asymmetric", "decoupled"])
    with pytest.raises(Incompatible, match=r"'asymmetric', loss: .* is never asked"):
        tiny.model(plugins=["decoupled", "asymmetric"])
