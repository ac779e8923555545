"""Squeeze-and-excitation: the gate by hand, its squeezes, and what it leaves alone."""

from __future__ import annotations

import math

import pytest
import tiny
import torch
from pydantic import ValidationError
from xmlkit_plugins.se import LayerGate, Options

from xmlkit import BuildContext, Documents, LayerStates, RaggedTokens, Representation, Vectors

TEXTS = ["w1 w2 w3", "w9", "", "w5 w4 w40 w41 w7"]


class Concatenated(Representation):
    """The layers' first tokens side by side."""

    def forward(self, states):
        x_BD = states.first_BNH.flatten(1)
        return Vectors(x_BD, x_BD)


def build(layers, hidden):
    fields = {"num_labels": 5, "clusters": None, "shortlist": 1, "cluster_power": 1.0, "cluster_width": None}
    fields |= {"label_width": 4, "reduction": "sum", "pooling": "first", "dropout": 0.0, "start": "prior"}
    return BuildContext(num_layers=layers, hidden=hidden, **fields)


def gate(layers, hidden, **options):
    inner = Concatenated(recall_width=layers * hidden, rank_width=layers * hidden)
    return LayerGate(inner, build(layers, hidden), Options(**options))


def states_of(first_BNH):
    batch = len(first_BNH)
    empty = torch.zeros(batch + 1, dtype=torch.long)
    documents = Documents(
        torch.zeros(batch, 1, dtype=torch.long),
        torch.ones(batch, 1, dtype=torch.bool),
        torch.zeros(batch, dtype=torch.long),
        RaggedTokens(empty[:0], empty),
    )
    return LayerStates(tuple(first_BNH[:, n, None] for n in range(first_BNH.shape[1])), documents)


def fill(linear, weight, bias):
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(weight))
        linear.bias.copy_(torch.tensor(bias))


@pytest.mark.parametrize("activation", ["paper", "linear"])
def test_the_gate_by_hand(activation):
    """Two layers, three wide, max squeeze: z = (3, 1); one channel between: -2 * 3 + 1 - 1 = -6."""
    part = gate(2, 3, squeeze="max", reduction=1, activation=activation)
    fill(part.gate[0], [[-2.0, 1.0]], [-1.0])
    fill(part.gate[2], [[0.5], [-0.25]], [0.5, 1.0])
    first = torch.tensor([[[3.0, 1.0, -5.0], [1.0, 0.0, 0.5]]])
    if activation == "linear":
        g = [0.5 * -6 + 0.5, -0.25 * -6 + 1.0]
    else:  # relu(-6) = 0 leaves the biases
        g = [1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(-1.0))]
    expected = [3 * g[0], 1 * g[0], -5 * g[0], 1 * g[1], 0.0, 0.5 * g[1]]
    assert part(states_of(first)).rank_BD[0].tolist() == pytest.approx(expected)


def test_squeezes_and_expansion_by_hand():
    first = torch.tensor([[[3.0, 1.0, -4.0], [1.0, 0.0, 0.5]]])
    assert gate(2, 3, squeeze="max")._squeezed_BN(first).tolist() == [[3.0, 1.0]]
    assert gate(2, 3, squeeze="mean")._squeezed_BN(first).tolist() == [[0.0, 0.5]]
    learned = gate(2, 3)
    with torch.no_grad():
        learned.look_NH.copy_(torch.tensor([[1.0, 2.0, 0.5], [0.0, 7.0, 2.0]]))
        learned.look_bias_N.copy_(torch.tensor([10.0, -1.0]))
    assert learned._squeezed_BN(first).tolist() == [[13.0, 0.0]]
    sizes = [(linear.in_features, linear.out_features) for linear in gate(2, 3, expand=4).gate[::2]]
    assert sizes == [(2, 8), (8, 2), (2, 2)]


def test_each_element_its_own_gate():
    part = gate(2, 3, per_element=True, element_width=7)
    assert [linear.weight.shape for linear in part.gate[::2]] == [(7, 6), (6, 7)]
    first = torch.randn(4, 2, 3)
    x = first.flatten(1)
    g = torch.relu(x @ part.gate[0].weight.T + part.gate[0].bias) @ part.gate[2].weight.T + part.gate[2].bias
    torch.testing.assert_close(part(states_of(first)).rank_BD, x * g.sigmoid())


@pytest.mark.parametrize(
    "options", [{}, {"squeeze": "max"}, {"per_element": True}, {"expand": 3}, {"activation": "linear"}]
)
@pytest.mark.parametrize("shape", [("bert", 5), ("distilbert", 1), ("xlnet", 2)])
def test_a_gate_of_one_is_the_base_to_the_bit(options, shape):
    name, layers = shape
    base = tiny.model(name=name, layers=layers, start="random", pooling="first").eval()
    gated = tiny.model(
        name=name, layers=layers, start="random", plugins=["se"], options={"se": options}
    ).eval()
    documents, _ = tiny.batch(TEXTS)
    last = gated.representation.gate[-2]
    assert not torch.equal(gated.rank(documents, 5)[0], base.rank(documents, 5)[0])
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, 1.0 if options.get("activation") == "linear" else 100.0)
    assert torch.equal(gated.rank(documents, 5)[0], base.rank(documents, 5)[0])


@pytest.mark.parametrize("options", [{}, {"expand": 3, "activation": "linear"}, {"per_element": True}])
def test_gradients_reach_every_parameter(options):
    model = tiny.model(start="random", plugins=["se"], options={"se": options}, pooling="first")
    documents, training = tiny.batch(TEXTS)
    model.backward(model(documents, training))
    own = {n: p for n, p in model.representation.named_parameters()}
    assert own and all(p.grad is not None and p.grad.abs().sum() > 0 for p in own.values()), own.keys()


def test_a_blind_gate_is_seen():
    """The mean of a LayerNorm's output is the same for every document."""
    normal = torch.nn.functional.layer_norm(torch.randn(16, 3, 40), (40,))
    deviations = {}
    for squeeze in ("mean", "learned"):
        part = gate(3, 40, squeeze=squeeze, reduction=8)
        part(states_of(normal))
        deviations[squeeze] = float(part.report()["se/deviation"])
    assert deviations["mean"] < 1e-6 < 1e-3 < deviations["learned"]


@pytest.mark.parametrize("per_element", [False, True])
def test_each_layers_mean_gate_is_told(per_element):
    states = torch.randn(16, 3, 40)
    part = gate(3, 40, per_element=per_element)
    part(states_of(states[:10]))
    part(states_of(states[10:]))
    told = part.report()
    gates_BNH = (
        part.gate(states.flatten(1)).view(16, 3, 40)
        if per_element
        else part.gate((states * part.look_NH).sum(2) + part.look_bias_N)[..., None]
    )
    for n in range(3):
        assert torch.allclose(told[f"se/gate/{n + 1}"], gates_BNH[:, n].mean())
    assert "se/gate/4" not in told and part.report() == {}


def test_options_that_exclude_each_other():
    with pytest.raises(ValidationError, match="leave expand at 1"):
        Options(per_element=True, expand=2)
