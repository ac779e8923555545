"""Propensities against the metrics' own, each mode by hand and by loops, and what other losses keep."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from installing import install
from pydantic import ValidationError
from xmlkit_plugins.propensity import Options, Propensity

import xmlkit
from xmlkit.data.ragged import Ragged
from xmlkit.hooks import BuildContext
from xmlkit.labels.propensity import inverse_propensities
from xmlkit.model.inputs import ragged_labels
from xmlkit.model.loss import PlainSum
from xmlkit.tables import ClusterTable
from xmlkit.testing import check_plugin
from xmlkit.training import train as training

TEXTS = ["w1 w2 w3", "w9", "", "w5 w4 w40 w41 w7"]
STARTS = [0, 4, 9, 17]
PATHS = {"flat": {}, "clustered": {"starts": STARTS, "shortlist": 2}}
MODES = ["convex", "unbiased", "weighted"]
LOG = math.log


def build(num_labels, clusters=None, rows=None, reduction="sum"):
    fields = {"num_layers": 1, "hidden": 8, "shortlist": 1, "cluster_power": 1.0, "cluster_width": None}
    fields |= {"label_width": 4, "pooling": "first", "dropout": 0.0, "start": "prior"}
    labels = None if rows is None else ragged_labels(Ragged.of(rows), num_labels)
    return BuildContext(
        **fields, num_labels=num_labels, clusters=clusters, reduction=reduction, train_labels=labels
    )


def part(mode, inverse, inverse_K=()):
    """Around cross-entropy, with these 1/p."""
    clusters = ClusterTable(torch.arange(len(inverse_K) + 1)) if inverse_K else None
    given = build(len(inverse), clusters)
    found = Propensity(PlainSum(given), given, Options(mode=mode)).double()
    found.inverse_L.copy_(torch.tensor(inverse))
    found.inverse_K.copy_(torch.tensor(inverse_K))
    return found


def weighed(mode, inverse, true, false):
    """What a label that is there costs, as the papers have it."""
    return {
        "convex": (2 * inverse - 1) * true,
        "unbiased": inverse * true - (inverse - 1) * false,
        "weighted": inverse * true,
    }[mode]


def softplus(z):
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))


def slow(mode, z_BR, truth_BR, inverse_R):
    """Cross-entropy with a label's propensity, one element after the other: (B, R)."""
    return np.array(
        [
            [
                t * weighed(mode, inverse, softplus(-z), softplus(z)) + (1 - t) * softplus(z)
                for z, t, inverse in zip(z_R, t_R, inverse_R, strict=True)
            ]
            for z_R, t_R in zip(z_BR.tolist(), truth_BR.tolist(), strict=True)
        ]
    )


# ------------------------------------------------------------------------------------------- propensities


@settings(max_examples=50)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=5),
    st.integers(60, 90),
    st.floats(0.01, 2),
    st.floats(0.01, 1000),
)
def test_propensities_are_those_of_the_metrics(counts, documents, a, b):
    rows = [[label for label, count in enumerate(counts) if row < count] for row in range(documents)]
    given = build(len(counts), rows=rows)
    found = Propensity(PlainSum(given), given, Options(a=a, b=b)).inverse_L
    np.testing.assert_allclose(found, inverse_propensities(np.array(counts), documents, a, b), rtol=1e-6)


def test_propensities_by_hand():
    """N = 20, a = 1, b = 1: C = 2 (log 20 - 1), so that 3 documents give 1 + C / 4."""
    given = build(3, rows=[[0, 1]] * 3 + [[1]] * 2 + [[]] * 15)
    found = Propensity(PlainSum(given), given, Options(a=1, b=1)).inverse_L
    c = 2 * (LOG(20) - 1)
    assert found.tolist() == pytest.approx([1 + c / 4, 1 + c / 6, 1 + c])


def test_a_cluster_has_the_documents_of_any_of_its_labels():
    rows = [[0, 1], [1], [2], [0, 1, 2], [], [3, 4], [4]]
    given = build(5, ClusterTable(torch.tensor([0, 2, 3, 5])), rows)
    found = Propensity(PlainSum(given), given, Options())
    by_hand = inverse_propensities(np.array([3, 2, 2]), 7)  # documents 0, 1, 3; 2, 3; 5, 6
    np.testing.assert_allclose(found.inverse_K, by_hand, rtol=1e-6)
    by_hand = inverse_propensities(np.array([2, 3, 2, 1, 2]), 7)
    np.testing.assert_allclose(found.inverse_L, by_hand, rtol=1e-6)


def test_where_nothing_is_known_to_be_missing(capsys):
    """With two documents the formula would give propensities above 1."""
    two = ragged_labels(Ragged.of([[0], [1, 2]]), 23)
    ours = tiny.model(plugins=["propensity"], train_labels=two)
    assert "propensity: nothing to do, since with fewer than three" in capsys.readouterr().err
    assert ours.combiner.inverse_L.tolist() == [1] * 23
    tiny.model(plugins=["propensity"])
    assert capsys.readouterr().err == ""


# -------------------------------------------------------------------------------------------------- costs


@pytest.mark.parametrize(
    ("mode", "at_zero", "at_three_to_one"),
    [
        ("convex", 5 * LOG(2), 5 * LOG(4 / 3)),
        ("unbiased", LOG(2), 3 * LOG(4 / 3) - 2 * LOG(4)),  # which is below 0
        ("weighted", 3 * LOG(2), 3 * LOG(4 / 3)),
    ],
)
def test_modes_by_hand(mode, at_zero, at_three_to_one):
    """1/p = 3; sigmoid(log 3) = 3/4. The second label is never missed."""
    ours, z = part(mode, [3.0, 1.0]), torch.tensor([[0.0, LOG(3)], [LOG(3), 0.0]], dtype=torch.double)
    expected = [[at_zero, LOG(4 / 3)], [at_three_to_one, LOG(2)]]
    for ids in (slice(0, 2), torch.tensor([[0, 1], [0, 1]])):
        np.testing.assert_allclose(ours.when_true(z, ids), expected)
        np.testing.assert_allclose(ours.when_false(z, ids), [[LOG(2), LOG(4)], [LOG(4), LOG(2)]])


@pytest.mark.parametrize("mode", MODES)
def test_ids_are_a_run_or_of_the_logits_shape(mode):
    ours, every = part(mode, [1.5, 2.0, 4.0, 8.0, 16.0]), torch.arange(5)
    z = torch.randn(3, 5, dtype=torch.double)
    expected = ours.when_true(z, every.expand(3, 5))
    torch.testing.assert_close(ours.when_true(z, slice(0, 5)), expected)
    torch.testing.assert_close(ours.when_true(z[:, 2:4], slice(2, 4)), expected[:, 2:4])
    torch.testing.assert_close(ours.when_true(z[1], every), expected[1])
    mixed = torch.tensor([[4, 0], [1, 1], [3, 2]])
    torch.testing.assert_close(ours.when_true(z.gather(1, mixed), mixed), expected.gather(1, mixed))


@given(st.floats(-30, 30), st.floats(1, 40))
def test_unbiased_is_right_on_average_over_what_is_missing(z, inverse):
    """A true label is seen with the probability p, and taken for a false one else."""
    ours, at, p = part("unbiased", [inverse]), torch.tensor([z], dtype=torch.double), 1 / inverse
    seen, missed = ours.when_true(at, slice(0, 1)), ours.when_false(at, slice(0, 1))
    assert float(p * seen + (1 - p) * missed) == pytest.approx(softplus(-z), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("mode", "odds"), [("unbiased", 0.6 / 0.4), ("convex", 5 * 0.2 / 0.8), ("weighted", 3 * 0.2 / 0.8)]
)
def test_where_each_cost_is_least(mode, odds):
    """A label true of 6 in 10 documents, seen in 2: unbiased costs are least at 0.6, the truth."""
    z = torch.tensor([LOG(odds)], dtype=torch.double, requires_grad=True)
    ours, one = part(mode, [3.0]), slice(0, 1)
    (slope,) = torch.autograd.grad((0.2 * ours.when_true(z, one) + 0.8 * ours.when_false(z, one)).sum(), z)
    assert abs(float(slope)) < 1e-12


@given(st.floats(-30, 30), st.floats(-30, 30), st.floats(1, 40))
def test_the_surrogate_is_convex_and_bounds_the_unbiased_count_of_errors(z, other, inverse):
    """Of errors a seen label counts 1/p where it is denied and 1 - 1/p where not; cross-entropy in bits.

    PyTorch's softplus leaves out log(1 + exp(-20)) and less: above 20 it is its argument.
    """
    left_out = inverse * math.exp(-20) if max(abs(z), abs(other)) > 20 else 0.0
    ours = part("convex", [inverse])
    at = torch.tensor([[z], [other], [(z + other) / 2]], dtype=torch.double)
    first, second, between = ours.when_true(at, slice(0, 1)).flatten().tolist()
    assert between <= (first + second) / 2 + 1e-9 + left_out
    assert first / LOG(2) >= (inverse if z < 0 else 1 - inverse) - 1e-6


@pytest.mark.parametrize("mode", MODES)
def test_costs_and_slopes_are_finite_at_extreme_logits(mode):
    given = build(5, ClusterTable(torch.tensor([0, 2, 5])))
    ours = Propensity(PlainSum(given), given, Options(mode=mode))
    ours.inverse_L.fill_(20.0)
    ours.inverse_K.fill_(3.0)
    z = torch.tensor([[-1e4, -100.0, 0.0, 100.0, 1e4]], requires_grad=True)
    truth = torch.tensor([[1.0, 0.5]])
    cost = ours.when_true(z, slice(0, 5)).sum() + ours.when_false(z, slice(0, 5)).sum()
    cost = cost + ours.cluster_cost(z[:, 1::2], truth) + ours.cluster_cost(z[:, ::4], truth)
    cost.backward()
    assert torch.isfinite(cost) and torch.isfinite(z.grad).all()


def test_what_unbiased_leaves_of_the_slope_where_the_model_is_sure():
    """Down to 1/p - 1, never 0: there is no lower bound."""
    z = torch.tensor([50.0, 100.0], dtype=torch.double, requires_grad=True)
    for mode, slope in {"unbiased": -2.0, "convex": 0.0, "weighted": 0.0}.items():
        (found,) = torch.autograd.grad(part(mode, [3.0]).when_true(z, torch.zeros(2).long()).sum(), z)
        assert found.tolist() == pytest.approx([slope, slope], abs=1e-9)


# --------------------------------------------------------------------------------- in a model, with others


def a_model(*plugins, path="flat", options=None, **more):
    return tiny.model(
        plugins=list(plugins), options=options, start="random", dropout=0.0, **PATHS[path], **more
    ).double()


def scored(ours, given):
    """Logits of candidates and clusters, with ids, mask and how true each is."""
    documents, _ = tiny.batch(TEXTS, seed=2)
    vectors = ours.vectors(documents)
    if ours.shortlister.every_label:
        ids = torch.arange(23).expand(len(TEXTS), 23)
        z = ours.head.scores_BU(vectors.rank_BD, slice(0, 23))
        return z, given.labels.targets(ids), torch.ones_like(ids, dtype=torch.bool), ids, None, None
    short = ours.shortlister(vectors, documents, given)
    z = ours.head.scores_BC(short.rank_BD, short.ids_BC)
    truth_BK = torch.zeros(len(TEXTS), len(STARTS))
    targets = given.labels.targets_V
    for i, (row, label) in enumerate(zip(given.labels.documents_V, given.labels.values_V, strict=True)):
        k = max(k for k, start in enumerate(STARTS) if start <= label)
        truth_BK[row, k] = max(float(truth_BK[row, k]), 1.0 if targets is None else float(targets[i]))
    truth = given.labels.targets(short.ids_BC) * short.mask_BC
    return (
        z,
        truth,
        short.mask_BC,
        short.ids_BC,
        ours.shortlister.cluster_logits_BK(vectors.recall_BD),
        truth_BK,
    )


def batch(soft):
    documents, given = tiny.batch(TEXTS, seed=2)
    if soft:
        targets = torch.linspace(0.2, 1.0, len(given.labels.values_V), dtype=torch.double)
        given = replace(given, labels=replace(given.labels, targets_V=targets))
    return documents, given


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("mode", MODES)
def test_the_losses_of_a_model_are_those_of_loops(mode, path, reduction, soft):
    """Labels and clusters, with targets between, summed and averaged; counts are the 50 documents'."""
    ours = a_model("propensity", path=path, options={"propensity": {"mode": mode}}, reduction=reduction)
    rows = tiny.label_rows(50, 23)
    documents, given = batch(soft)
    with torch.no_grad():
        losses = ours(documents, given).losses
        z, truth, mask, ids, z_BK, truth_BK = scored(ours, given)
    counts = np.bincount(rows.values, minlength=23)
    inverse_L = inverse_propensities(counts, 50)
    assert inverse_L.min() < 0.9 * inverse_L.max()  # labels differ
    cost_BC = np.array(
        [
            slow(mode, z[row, None], truth[row, None], inverse_L[ids[row].numpy()])[0] * mask[row].numpy()
            for row in range(len(TEXTS))
        ]
    )
    cost_B = cost_BC.sum(1)
    cost_B = cost_B / mask.sum(1).numpy() if reduction == "mean" else cost_B
    assert float(losses["ranker"]) == pytest.approx(cost_B.mean(), rel=1e-5)
    if path == "clustered":
        sets = [{max(k for k, s in enumerate(STARTS) if s <= label) for label in row} for row in rows]
        counts_K = np.array([sum(k in found for found in sets) for k in range(len(STARTS))])
        inverse_K = inverse_propensities(counts_K, 50)
        expected, plain = (
            cost_BK.mean() if reduction == "mean" else cost_BK.sum() / len(TEXTS)
            for cost_BK in (
                slow(mode, z_BK, truth_BK, each_K) for each_K in (inverse_K, np.ones(len(STARTS)))
            )
        )
        assert float(losses["generator"]) == pytest.approx(expected, rel=1e-5)
        assert expected != pytest.approx(plain, rel=1e-2)


@pytest.mark.parametrize("mode", MODES)
def test_around_label_smoothing_and_within_it(example_plugins, mode):
    """Around it weighs what smoothing gives; within, smoothing mixes weighed and false costs."""
    options = {"label-smoothing": {"amount": 0.2}, "propensity": {"mode": mode}}
    z = torch.linspace(-4, 4, 23, dtype=torch.double)[None]
    true, false = (torch.nn.functional.softplus(sign * z) for sign in (-1, 1))
    around = a_model("label-smoothing", "propensity", options=options).combiner
    inverse = around.inverse_L
    smooth_true, smooth_false = 0.8 * true + 0.2 * false, 0.8 * false + 0.2 * true
    expected = weighed(mode, inverse, smooth_true, smooth_false)
    torch.testing.assert_close(around.when_true(z, slice(0, 23)), expected)
    torch.testing.assert_close(around.when_false(z, slice(0, 23)), smooth_false)
    within = a_model("propensity", "label-smoothing", options=options).combiner
    own = weighed(mode, inverse, true, false)
    torch.testing.assert_close(within.when_true(z, slice(0, 23)), 0.8 * own + 0.2 * false)
    torch.testing.assert_close(within.when_false(z, slice(0, 23)), 0.8 * false + 0.2 * own)


THRICE = """
from xmlkit import LossCombiner, hookimpl
class Thrice(LossCombiner):
    def cluster_cost(self, z_BK, truth_BK): return 3 * self.inner.cluster_cost(z_BK, truth_BK)
@hookimpl(wrapper=True)
def loss(): return Thrice((yield))
"""


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_what_clusters_cost_within_stays_and_more_is_added(plugin_folder, reduction):
    install(plugin_folder, "thrice", THRICE)
    z, truth = torch.randn(3, 4, dtype=torch.double), torch.rand(3, 4, dtype=torch.double)
    plain, alone, ours = (
        a_model(*names, path="clustered", reduction=reduction).combiner.cluster_cost(z, truth)
        for names in ([], ["propensity"], ["thrice", "propensity"])
    )
    torch.testing.assert_close(ours, 3 * plain + (alone - plain))
    assert alone > plain


def test_each_option_does_something():
    z, base = torch.zeros(1, 23), tiny.model(plugins=["propensity"]).combiner
    for name, value in {"mode": "weighted", "a": 1.0, "b": 5.0}.items():
        other = tiny.model(plugins=["propensity"], options={"propensity": {name: value}}).combiner
        costs = [each.when_true(z, slice(0, 23)) for each in (base, other)]
        assert not torch.allclose(*costs), name


@pytest.mark.parametrize(
    "wrong", [{"mode": "plain"}, {"a": 0}, {"a": 2.5}, {"b": 0}, {"b": 1e4}, {"a": math.nan}, {"c": 1}]
)
def test_options_have_bounds(wrong):
    with pytest.raises(ValidationError):
        Options(**wrong)


def test_a_run_counts_in_its_own_documents_and_is_opened_with_them(tmp_path):
    """`--init-from` brings no counts; a saved model is opened without training labels."""
    encoder = tiny.save_encoder(tmp_path / "encoder")
    run = {"encoder": encoder, "max_len": 16, "clustered": True, "cluster_size": 3, "shortlist": 2}
    run |= {"plugins": ["propensity"], "device": "cpu", "max_steps": 1}
    corpus = tiny.learnable_corpus()
    training.train(corpus, run, tmp_path / "start")
    saved = xmlkit.load(tmp_path / "start").opened.model.weights()
    run |= {"propensity": {"a": 1.0}}
    fresh = training.prepare(corpus, run, tmp_path / "fresh").model.weights()
    ours = training.prepare(corpus, run, tmp_path / "next", tmp_path / "start").model.weights()
    counted = [name for name in ours if "/inverse_" in name]
    assert len(counted) == 2
    for name in counted:
        assert torch.equal(ours[name], fresh[name]) and not torch.allclose(ours[name], saved[name])
        assert (saved[name] > 1).all()


@pytest.mark.slow
def test_unbiased_costs_keep_them_alone(checks):
    """They may be negative."""
    check_plugin("propensity", {"mode": "unbiased", "a": 1.0, "b": 0.5}, beside=[])
