"""Costs that are not elementwise, and what clusters cost: a softmax against plain differentiation."""

from __future__ import annotations

import pytest
import tiny
import torch
import torch.nn.functional as F
from installing import install

from xmlkit import UserError

SOFTMAX = """
import torch
from xmlkit import LossCombiner, hookimpl
class Softmax(LossCombiner):
    def cost_B(self, z_BC, truth_BC, mask_BC, ids_BC):
        log_BC = z_BC.masked_fill(~mask_BC, -torch.inf).log_softmax(1)
        return -(torch.where(truth_BC > 0, log_BC, 0) * truth_BC).sum(1)
    def cluster_cost(self, z_BK, truth_BK):
        return 3 * self.inner.cluster_cost(z_BK, truth_BK)
@hookimpl(wrapper=True)
def loss(): return Softmax((yield))
"""
ELEMENTWISE = """
from xmlkit import LossCombiner, hookimpl
class Same(LossCombiner):
    def cost_B(self, *given): return super().cost_B(*given)
@hookimpl(wrapper=True)
def loss(): return Same((yield))
"""
TEXTS = ["w1 w2 w3", "w9", "", "w5 w4 w40 w41 w7"]
PATHS = [{}, {"starts": [0, 9, 15], "shortlist": 2}]


def a_model(*plugins, **settings):
    return tiny.model(plugins=list(plugins), start="random", dropout=0.0, **settings).double()


def gradients(model):
    return {name: p.grad.to_dense() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("path", PATHS)
def test_a_softmax_over_a_documents_candidates(plugin_folder, path):
    install(plugin_folder, "softmax", SOFTMAX)
    ours, plain = a_model("softmax", **path), a_model(**path)
    documents, given = tiny.batch(TEXTS)
    output = ours(documents, given)
    ours.backward(output)
    vectors = plain.vectors(documents)
    if path:
        short = plain.shortlister(vectors, documents, given)
        z_BC = plain.head.scores_BC(short.rank_BD, short.ids_BC).masked_fill(~short.mask_BC, -torch.inf)
        truth_BC, extra = short.truth_BC, 3 * short.losses["generator"]
        torch.testing.assert_close(output.losses["generator"], extra)
    else:
        z_BC, extra = plain.head.scores_BU(vectors.rank_BD, slice(0, 23)), 0.0
        truth_BC = given.labels.contains(torch.arange(23).expand(4, 23))
    cost = -(F.log_softmax(z_BC, 1)[truth_BC]).sum() / 4
    torch.testing.assert_close(output.losses["ranker"], cost)
    (cost + extra).backward()
    found, expected = gradients(ours), gradients(plain)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient)


@pytest.mark.parametrize("path", PATHS)
def test_the_inherited_cost_of_a_document_is_the_elementwise_one(plugin_folder, example_plugins, path):
    """Also around a plugin that changes what a label costs."""
    install(plugin_folder, "same", ELEMENTWISE)
    documents, given = tiny.batch(TEXTS)
    for others in ([], ["label-smoothing"]):
        ours, plain = a_model(*others, "same", **path), a_model(*others, **path)
        found, expected = ours(documents, given), plain(documents, given)
        assert found.losses.keys() == expected.losses.keys()
        for name, loss in expected.losses.items():
            torch.testing.assert_close(found.losses[name], loss)
        ours.backward(found)
        plain.backward(expected)
        for name, gradient in gradients(plain).items():
            torch.testing.assert_close(gradients(ours)[name], gradient)


def test_a_label_cost_that_nobody_would_ask_for(plugin_folder, example_plugins):
    install(plugin_folder, "softmax", SOFTMAX)
    a_model("label-smoothing", "softmax")
    with pytest.raises(UserError) as error:
        a_model("softmax", "label-smoothing")
    assert str(error.value) == (
        "plugin 'label-smoothing', loss: Smoothed.when_true is never asked, since 'softmax' within it costs "
        "whole documents: name 'label-smoothing' before it in --plugin"
    )


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("names", [[], ["propensity"], ["asymmetric"], ["propensity", "asymmetric"]])
def test_what_runs_of_clusters_cost_is_what_all_cost(names, reduction):
    combiner = a_model(*names, starts=[0, 3, 9, 15, 20], reduction=reduction).combiner
    z, truth = torch.randn(4, 5, dtype=torch.double), torch.rand(4, 5, dtype=torch.double)
    whole, parts = combiner.cluster_cost(z, truth), torch.zeros((), dtype=torch.double)
    for run in (slice(0, 2), slice(2, 3), slice(3, 5)):
        cost = combiner.cluster_cost(z[:, run], truth[:, run], run)
        parts = parts + cost * ((run.stop - run.start) / 5 if reduction == "mean" else 1)
    assert combiner.costs_clusters_apart
    torch.testing.assert_close(parts, whole)


AT_ONCE = """
from xmlkit import LossCombiner, hookimpl
class Sharp(LossCombiner):
    def cluster_cost(self, z_BK, truth_BK): return (z_BK.logsumexp(1) - (z_BK * truth_BK).sum(1)).mean()
@hookimpl(wrapper=True)
def loss(): return Sharp((yield))
"""


def test_a_part_may_need_all_clusters_at_once(plugin_folder):
    """It isn't told which they are, and the parts around it cost as before."""
    install(plugin_folder, "sharp", AT_ONCE)
    sharp, ours, other, plain = (
        a_model(*names, starts=[0, 9]).combiner
        for names in (["sharp"], ["sharp", "propensity"], ["propensity"], [])
    )
    assert other.costs_clusters_apart and not sharp.costs_clusters_apart and not ours.costs_clusters_apart
    z, truth = torch.randn(4, 2, dtype=torch.double), torch.rand(4, 2, dtype=torch.double)
    added = other.cluster_cost(z, truth) - plain.cluster_cost(z, truth)
    own = (z.exp().sum(1).log() - (z * truth).sum(1)).mean()
    torch.testing.assert_close(ours.cluster_cost(z, truth, slice(0, 2)), own + added)
