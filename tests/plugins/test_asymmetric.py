"""Asymmetric loss by hand, by the paper's formula and its slopes, and beside other losses."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from installing import install
from pydantic import ValidationError
from xmlkit_plugins.asymmetric import Asymmetric, Options

from xmlkit.hooks import BuildContext
from xmlkit.model.loss import PlainSum
from xmlkit.testing import check_plugin

TEXTS = ["w1 w2 w3", "w9", "", "w5 w4 w40 w41 w7"]
STARTS = [0, 4, 9, 17]
PATHS = {"flat": {}, "clustered": {"starts": STARTS, "shortlist": 2}}
STRONG = {"gamma_positive": 1.5, "gamma_negative": 2.0, "margin": 0.3}
LOG = math.log
EVERY = slice(0, 23)
GAMMA, MARGIN = st.sampled_from([0.0, 0.5, 1.0, 4.0]), st.sampled_from([0.0, 0.05, 0.3, 0.5])


def part(**options):
    """Around cross-entropy, in float32."""
    fields = {"num_layers": 1, "hidden": 8, "num_labels": 23, "clusters": None, "shortlist": 1}
    fields |= {"cluster_power": 1.0, "cluster_width": None, "label_width": 4, "pooling": "first"}
    build = BuildContext(**fields, reduction="sum", dropout=0.0, start="prior")
    return Asymmetric(PlainSum(build), build, Options(**options))


def chance(z):
    """The probability, and that of the contrary, without rounding either to 0."""
    e = math.exp(-abs(z))
    return (1 / (1 + e), e / (1 + e)) if z > 0 else (e / (1 + e), 1 / (1 + e))


def if_true(z, gamma_positive=0.0, **_):
    """-L+ of the paper."""
    p, q = chance(z)
    return -(q**gamma_positive) * LOG(p)


def if_false(z, gamma_negative=4.0, margin=0.05, **_):
    """-L- of the paper."""
    p, q = chance(z)
    return -(max(p - margin, 0.0) ** gamma_negative) * LOG(min(q + margin, 1.0)) if p > margin else 0.0


def slope_if_true(z, gamma_positive):
    p, q = chance(z)
    return q**gamma_positive * (gamma_positive * p * LOG(p) - q)


def slope_if_false(z, gamma_negative, margin):
    p, q = chance(z)
    if p <= margin:
        return 0.0
    p_m, q_m = p - margin, q + margin
    return p_m**gamma_negative * (1 / q_m - gamma_negative * LOG(q_m) / p_m) * p * q


def slow(z_BR, truth_BR, **options):
    """The paper's loss of each element."""
    return np.array(
        [
            [
                t * if_true(z, **options) + (1 - t) * if_false(z, **options)
                for z, t in zip(z_R, t_R, strict=True)
            ]
            for z_R, t_R in zip(z_BR.tolist(), truth_BR.tolist(), strict=True)
        ]
    )


# -------------------------------------------------------------------------------------------- the formula


def test_by_hand():
    """p = 3/4 and 1/4; without the margin 1/2 and 0."""
    ours = part(gamma_positive=2.0, gamma_negative=3.0, margin=0.25)
    z = torch.tensor([[LOG(3), -LOG(3)]])
    true, false = ours.when_true(z, slice(0, 2)), ours.when_false(z, slice(0, 2))
    assert true.flatten().tolist() == pytest.approx([LOG(4 / 3) / 16, 9 / 16 * LOG(4)], rel=1e-5)
    assert false.flatten().tolist() == pytest.approx([LOG(2) / 8, 0.0], rel=1e-5, abs=1e-20)


@given(st.floats(-40, 40), GAMMA, GAMMA, MARGIN)
def test_costs_and_slopes_are_the_papers(z, gamma_positive, gamma_negative, margin):
    ours = part(gamma_positive=gamma_positive, gamma_negative=gamma_negative, margin=margin)
    at = torch.tensor([z], dtype=torch.double, requires_grad=True)
    for cost, expected, slope in (
        (ours.when_true, if_true(z, gamma_positive), slope_if_true(z, gamma_positive)),
        (
            ours.when_false,
            if_false(z, gamma_negative, margin),
            slope_if_false(z, gamma_negative, margin),
        ),
    ):
        found = cost(at, slice(0, 1))
        (gradient,) = torch.autograd.grad(found.sum(), at)
        assert found.item() == pytest.approx(expected, rel=1e-7, abs=1e-9)
        assert gradient.item() == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 4.0, 16.0])
@pytest.mark.parametrize("margin", [0.0, 1e-9, 0.05, 0.5])
def test_costs_and_slopes_are_finite_at_extreme_logits_and_at_the_margin(gamma, margin):
    """In float32, in which sigmoid(-100) is hardly there, sigmoid(-1e4) is 0 and 1 - sigmoid(100) is 0."""
    ours = part(gamma_positive=gamma, gamma_negative=gamma, margin=margin)
    edge = LOG(margin / (1 - margin)) if margin else 0.0
    z = torch.tensor([-1e4, -110.0, -100.0, 0.0, 100.0, 110.0, 1e4, edge, edge - 1e-6, edge + 1e-6])
    z, truth = z[None].requires_grad_(), torch.tensor([[0.0, 1.0, 0.5, 0.0, 0.0, 1.0, 0.5, 0.0, 0.0, 0.0]])
    for cost in (
        ours.when_true(z, EVERY),
        ours.when_false(z, EVERY),
        ours.cluster_cost(z, truth),
        ours.cluster_cost(-z, truth),
    ):
        (gradient,) = torch.autograd.grad(cost.sum(), z)
        assert torch.isfinite(cost).all() and torch.isfinite(gradient).all()


@pytest.mark.parametrize("gamma", [0.0, 1.0, 4.0])
def test_what_the_margin_swallows_costs_nothing_and_moves_nothing(example_plugins, gamma):
    """Around label smoothing, too, by which what is surely false costs much."""
    options = {"asymmetric": {"gamma_negative": gamma, "margin": 0.2}}
    for names in (["asymmetric"], ["label-smoothing", "asymmetric"]):
        ours = tiny.model(plugins=names, options=options).combiner
        z = torch.linspace(-30, -1.39, 23)[None].requires_grad_()  # log(0.2 / 0.8) = -1.386
        cost = ours.when_false(z, EVERY)
        (gradient,) = torch.autograd.grad(cost.sum(), z)
        assert not cost.any() and not gradient.any()
        assert (ours.when_false(-z, EVERY) > 0).all()


def test_a_false_label_beyond_doubt_true_is_given_up():
    """Its slope goes to 0 with a margin (the paper: it may be mislabelled), and to 1 without one."""
    for margin, slope in ((0.05, 0.0), (0.0, 1.0)):
        z = torch.tensor([30.0], dtype=torch.double, requires_grad=True)
        (found,) = torch.autograd.grad(part(margin=margin).when_false(z, slice(0, 1)).sum(), z)
        assert found.item() == pytest.approx(slope, abs=1e-9)


# --------------------------------------------------------------------------------- in a model, with others


def a_model(*plugins, path="flat", **more):
    settings = {"start": "random", "dropout": 0.0, **PATHS[path], **more}
    return tiny.model(plugins=list(plugins), **settings).double()


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("path", PATHS)
def test_the_losses_of_a_model_are_those_of_loops(path, reduction, soft):
    """Labels and clusters, with targets between, summed and averaged."""
    ours = a_model("asymmetric", path=path, options={"asymmetric": STRONG}, reduction=reduction)
    documents, given = tiny.batch(TEXTS, seed=2)
    targets = torch.ones(len(given.labels.values_V), dtype=torch.double)
    if soft:
        targets = torch.linspace(0.2, 1.0, len(targets), dtype=torch.double)
        given = replace(given, labels=replace(given.labels, targets_V=targets))
    with torch.no_grad():
        losses = ours(documents, given).losses
        vectors = ours.vectors(documents)
        if path == "flat":
            z_BC, ids_BC = ours.head.scores_BU(vectors.rank_BD, EVERY), torch.arange(23).expand(4, 23)
            mask_BC = torch.ones_like(ids_BC, dtype=torch.bool)
        else:
            short = ours.shortlister(vectors, documents, given)
            z_BC, ids_BC, mask_BC = (
                ours.head.scores_BC(short.rank_BD, short.ids_BC),
                short.ids_BC,
                short.mask_BC,
            )
        cost_BC = slow(z_BC, given.labels.targets(ids_BC) * mask_BC, **STRONG) * mask_BC.numpy()
        cost_B = cost_BC.sum(1)
        cost_B = cost_B / mask_BC.sum(1).numpy() if reduction == "mean" else cost_B
        assert float(losses["ranker"]) == pytest.approx(cost_B.mean(), rel=1e-6)
        if path == "clustered":
            truth_BK = torch.zeros(4, len(STARTS), dtype=torch.double)
            pairs = zip(given.labels.documents_V.tolist(), given.labels.values_V.tolist(), strict=True)
            for (row, label), target in zip(pairs, targets, strict=True):
                k = max(k for k, start in enumerate(STARTS) if start <= label)
                truth_BK[row, k] = max(truth_BK[row, k], target)
            cost_BK = slow(ours.shortlister.cluster_logits_BK(vectors.recall_BD), truth_BK, **STRONG)
            expected = cost_BK.mean() if reduction == "mean" else cost_BK.sum() / 4
            assert float(losses["generator"]) == pytest.approx(expected, rel=1e-6)


def costs(combiner, z):
    return combiner.when_true(z, EVERY), combiner.when_false(z, EVERY)


def test_around_label_smoothing_and_within_it(example_plugins):
    """Around it focuses what smoothing gives, of the logit without the margin; within it is mixed."""
    options = {"asymmetric": STRONG, "label-smoothing": {"amount": 0.2}}
    z = torch.linspace(-4, 4, 23, dtype=torch.double)[None]
    true, false = (z.new_tensor([[cost(x, **STRONG) for x in z[0].tolist()]]) for cost in (if_true, if_false))
    smoothed = a_model("asymmetric", "label-smoothing", options=options).combiner
    torch.testing.assert_close(costs(smoothed, z), (0.8 * true + 0.2 * false, 0.8 * false + 0.2 * true))

    p_m = (z.sigmoid() - 0.3).clamp(min=0)
    focused = a_model("label-smoothing", "asymmetric", options=options).combiner
    by_hand = -((1 - z.sigmoid()) ** 1.5) * (0.8 * z.sigmoid().log() + 0.2 * (-z).sigmoid().log())
    certain = -(p_m**2) * (0.8 * (1 - p_m).log() + 0.2 * p_m.clamp(min=1e-300).log())
    torch.testing.assert_close(costs(focused, z), (by_hand, certain))


@pytest.mark.parametrize("mode", ["convex", "weighted"])
def test_weights_of_labels_are_the_same_around_and_within(mode):
    options = {"asymmetric": STRONG, "propensity": {"mode": mode}}
    z = torch.linspace(-4, 4, 23, dtype=torch.double)[None]
    around = a_model("asymmetric", "propensity", options=options).combiner
    within = a_model("propensity", "asymmetric", options=options).combiner
    weight = (2 * around.inverse_L - 1) if mode == "convex" else around.inverse_L
    true, false = costs(part(**STRONG), z)
    assert weight.min() < 0.9 * weight.max()  # labels differ
    for combiner in (around, within):
        torch.testing.assert_close(costs(combiner, z), (weight * true, false))


def test_unbiased_costs_of_asymmetric_loss_and_the_reverse():
    options = {"asymmetric": STRONG, "propensity": {"mode": "unbiased"}}
    z = torch.linspace(-4, 4, 23, dtype=torch.double)[None]
    true, false = costs(part(**STRONG), z)
    around = a_model("asymmetric", "propensity", options=options).combiner
    inverse = around.inverse_L
    torch.testing.assert_close(around.when_true(z, EVERY), inverse * true - (inverse - 1) * false)
    within = a_model("propensity", "asymmetric", options=options).combiner
    plain = torch.nn.functional.softplus(-z) * inverse - (inverse - 1) * torch.nn.functional.softplus(z)
    torch.testing.assert_close(within.when_true(z, EVERY), (1 - z.sigmoid()) ** 1.5 * plain)


THRICE = """
from xmlkit import LossCombiner, hookimpl
class Thrice(LossCombiner):
    def cluster_cost(self, z_BK, truth_BK): return 3 * self.inner.cluster_cost(z_BK, truth_BK)
@hookimpl(wrapper=True)
def loss(): return Thrice((yield))
"""


def test_what_another_plugin_has_clusters_cost_stays_and_that_is_said(plugin_folder, example_plugins, capsys):
    install(plugin_folder, "thrice", THRICE)
    z, truth = torch.randn(3, 4, dtype=torch.double), torch.rand(3, 4, dtype=torch.double)

    def cost(*plugins):
        combiner = a_model(*plugins, path="clustered", options={}).combiner
        return combiner.cluster_cost(z, truth), capsys.readouterr().err

    plain, own = cost()[0], cost("label-smoothing", "asymmetric")[0]
    assert own.item() == pytest.approx(slow(z, truth).sum() / 3, rel=1e-6)  # smoothing leaves clusters alone
    assert cost("thrice", "asymmetric") == (
        3 * plain,
        "asymmetric: clusters cost what thrice has them cost; name asymmetric first to have both\n",
    )
    assert cost("asymmetric", "thrice") == (3 * own, "")
    a_model("thrice", "asymmetric")
    assert capsys.readouterr().err == ""  # there are no clusters


def test_clusters_beside_propensities():
    """Named first, its cost is within, and what propensities add is added; named last, it leaves theirs."""
    z, truth = torch.randn(3, 4, dtype=torch.double), torch.rand(3, 4, dtype=torch.double)
    plain, asymmetric, propensity, first, last = (
        a_model(*names, path="clustered").combiner.cluster_cost(z, truth).item()
        for names in (
            [],
            ["asymmetric"],
            ["propensity"],
            ["asymmetric", "propensity"],
            ["propensity", "asymmetric"],
        )
    )
    assert first == pytest.approx(asymmetric + propensity - plain)
    assert last == pytest.approx(propensity)
    assert len({round(cost, 6) for cost in (plain, asymmetric, propensity, first)}) == 4


# ------------------------------------------------------------------------------------------------ options


def test_each_option_does_something():
    z = torch.linspace(-3, 3, 23)[None]
    base = costs(tiny.model(plugins=["asymmetric"]).combiner, z)
    changed = {}
    for name, value in {"gamma_positive": 1.0, "gamma_negative": 2.0, "margin": 0.2}.items():
        other = tiny.model(plugins=["asymmetric"], options={"asymmetric": {name: value}}).combiner
        changed[name] = [not torch.allclose(*pair) for pair in zip(base, costs(other, z), strict=True)]
    true, false = [True, False], [False, True]
    assert changed == {"gamma_positive": true, "gamma_negative": false, "margin": false}


def test_without_gammas_and_margin_it_does_nothing_and_says_so(capsys):
    nothing = {"gamma_positive": 0, "gamma_negative": 0, "margin": 0}
    ours = tiny.model(plugins=["asymmetric"], options={"asymmetric": nothing})
    assert isinstance(ours.combiner, PlainSum)
    assert "asymmetric: nothing to do, since both gammas and the margin are 0" in capsys.readouterr().err
    for name in nothing:
        some = {"asymmetric": {**nothing, name: 0.5}}
        assert isinstance(tiny.model(plugins=["asymmetric"], options=some).combiner, Asymmetric)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "wrong",
    [{"gamma_positive": -1}, {"gamma_negative": 17}, {"margin": -0.1}, {"margin": 0.6}, {"margin": math.nan}],
)
def test_options_have_bounds(wrong):
    with pytest.raises(ValidationError):
        Options(**wrong)


@pytest.mark.slow
def test_strong_options_keep_them_alone(checks):
    check_plugin("asymmetric", STRONG, beside=[])
