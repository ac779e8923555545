"""Costs for training labels of which some are missing, rare ones most often.

How likely a true label was written down at all (Jain, Prabhu, Varma, KDD 2016), as PSP@k has it; label l has
N_l of the N training documents:

    p_l = 1 / (1 + C exp(-a log(N_l + b))) = 1 / (1 + C (N_l + b)^-a)
    C = (log N - 1) (b + 1)^a, at least 0

With true(z) and false(z) as the losses within have them, a label that is not there costs false(z) as before,
and one that is there, by `mode`:

    convex      (2/p - 1) true(z): the convex surrogate of the unbiased 0-1 loss (Qaraei, Schultheis, Gupta,
                Babbar, WWW 2021, propensity-weighted)
    unbiased    true(z)/p - (1/p - 1) false(z): p of it and 1 - p of false(z) are true(z), so that what is
                missing makes no difference on average (Jain et al., theorem 4.1)
    weighted    true(z)/p: the plain inverse propensity of a label that is there

The authors' code divides the weights of `convex` by their mean; here they are as they stand, at least 1.
`unbiased` has no lower bound: of cross-entropy a slope of 1/p - 1 is left however sure the model is, so that
losses may be negative, which gradnorm can't weigh, and a long training may never come to rest.

Clusters have propensities of their own, N_k being the documents with any label of cluster k. Their cost
within is one number, of which no share can be weighed, so what the mode adds to binary cross-entropy is added
to it; t says how true each cluster is, and with `reduction=mean` the sum over clusters is a mean:

    cost_K(z, t) + mean over documents of the sum over k of t_k (mode_k(z_k) - softplus(-z_k))

Where cross-entropy is within, this is the same as for labels; what else is within stays as it is.

Shapes: L labels, K clusters, V labels of all training documents, R labels or clusters, B documents.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor

from xmlkit import BuildContext, LossCombiner, RaggedLabels, hookimpl, say


class Options(BaseModel, extra="forbid", allow_inf_nan=False):
    """Settings."""

    mode: Literal["convex", "unbiased", "weighted"] = Field("convex", description="what a true label costs")
    a: float = Field(0.55, gt=0, le=2, description="how fast propensities rise with a label's documents")
    b: float = Field(1.5, ge=0.01, le=1000, description="documents that are added to each label's")


class Propensity(LossCombiner):
    """The inner costs, a true label's by its propensity."""

    counted = ("inverse_L", "inverse_K")
    inverse_L: Tensor  # 1/p
    inverse_K: Tensor

    def __init__(self, inner: LossCombiner, build: BuildContext, options: Options):
        super().__init__(inner)
        self.mode, self.reduction = options.mode, build.reduction
        num_clusters = build.clusters.num_clusters if build.clusters else 0
        inverse_L, inverse_K = torch.ones(build.num_labels), torch.ones(num_clusters)
        if labels := build.train_labels:
            ids_V = labels.values_V
            inverse_L = inverse_propensities(_documents_R(ids_V, labels, build.num_labels), labels, options)
            if build.clusters:
                documents_K = _documents_R(build.clusters.of(ids_V), labels, num_clusters)
                inverse_K = inverse_propensities(documents_K, labels, options)
        self.register_buffer("inverse_L", inverse_L)
        self.register_buffer("inverse_K", inverse_K)

    def when_true(self, z: Tensor, ids: Tensor | slice) -> Tensor:
        """By `mode`."""
        true = self.inner.when_true(z, ids)
        false = self.inner.when_false(z, ids) if self.mode == "unbiased" else true
        return true + self._more(self.inverse_L[ids], true, false)

    def cluster_cost(self, z_BK: Tensor, truth_BK: Tensor, run: slice = slice(None)) -> Tensor:
        """The inner combiner's, and what the mode adds to the cross-entropy of true clusters.

        Other clusters than the run's, as coarser levels have them, cost what they did.
        """
        if z_BK.shape[1] != len(self.inverse_K[run]):
            return self.inner.cluster_cost(z_BK, truth_BK, run)
        more_BK = truth_BK * self._more(self.inverse_K[run], F.softplus(-z_BK), F.softplus(z_BK))
        more = more_BK.mean() if self.reduction == "mean" else more_BK.sum() / len(z_BK)
        return self.inner.cluster_cost(z_BK, truth_BK, run) + more

    def _more(self, inverse: Tensor, true: Tensor, false: Tensor) -> Tensor:
        """What a true label costs more than `true`."""
        missed = inverse - 1
        if self.mode == "unbiased":
            return missed * (true - false)
        return (2 if self.mode == "convex" else 1) * missed * true


def inverse_propensities(documents_R: Tensor, labels: RaggedLabels, options: Options) -> Tensor:
    """1/p of labels, or of clusters, that so many of the training documents have."""
    scale = max(math.log(len(labels)) - 1, 0.0) * (options.b + 1) ** options.a
    return (1 + scale * (documents_R.double() + options.b) ** -options.a).float()


def _documents_R(ids_V: Tensor, labels: RaggedLabels, count: int) -> Tensor:
    """How many documents have each id; one that has it several times counts once."""
    pairs = torch.unique(labels.documents_V * count + ids_V)
    return torch.bincount(pairs % count, minlength=count)


@hookimpl(wrapper=True)
def loss(build: BuildContext) -> Generator[None, LossCombiner, LossCombiner]:
    """Around whatever the loss is."""
    inner = yield
    if build.train_labels is not None and len(build.train_labels) < 3:
        say(
            "propensity: nothing to do, since with fewer than three training documents all propensities are 1"
        )
    return Propensity(inner, build, build.options(Options))
