"""Asymmetric loss: false labels that are clearly false, or clearly missing true ones, hardly count.

Ridnik, Ben-Baruch et al., ICCV 2021, asymmetric focusing and probability shifting, with p = sigmoid(z):

    L+ = (1 - p)^gamma_positive log p
    L- = p_m^gamma_negative log(1 - p_m), p_m = max(p - margin, 0)

In place of the logarithms stands what the losses within say that a label costs, true(z) and false(z); false()
is given the logit without the margin, z_m = log(p_m / (1 - p_m)):

    true label     (1 - p)^gamma_positive true(z)
    false label    p_m^gamma_negative false(z_m); 0, without a gradient, where p <= margin

Around binary cross-entropy, softplus(-z) and softplus(z), this is the paper's loss to the letter. Weights of
labels, within or around, weigh it. Around a cost that does not vanish for what is surely false, as with label
smoothing, a margin without gamma_negative makes it jump at p = margin.

Clusters cost the same where cross-entropy is what they cost within, their sum or mean as the run's
`reduction` says. What another plugin within has them cost is one number, of which no share can be
weighed: it stays as it is, which is said. Named behind this one, that plugin has this cost within.

Shapes: B documents, K clusters.
"""

from __future__ import annotations

import math
from collections.abc import Generator

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor

from xmlkit import BuildContext, LossCombiner, hookimpl, say


class Options(BaseModel, extra="forbid", allow_inf_nan=False):
    """Settings."""

    gamma_positive: float = Field(
        0.0, ge=0, le=16, description="how little true labels count that are likely"
    )
    gamma_negative: float = Field(
        4.0, ge=0, le=16, description="how little false ones count that are unlikely"
    )
    margin: float = Field(
        0.05, ge=0, le=0.5, description="up to which probability a false label costs nothing"
    )


class Asymmetric(LossCombiner):
    """The inner costs, each times what the model still has to learn of it."""

    def __init__(self, inner: LossCombiner, build: BuildContext, options: Options):
        super().__init__(inner)
        self.options, self.reduction = options, build.reduction
        self.other = cluster_coster(inner)  # None: clusters cost cross-entropy within

    def when_true(self, z: Tensor, ids: Tensor | slice) -> Tensor:
        """Times (1 - p)^gamma_positive."""
        return _power(-z, self.options.gamma_positive) * self.inner.when_true(z, ids)

    def when_false(self, z: Tensor, ids: Tensor | slice) -> Tensor:
        """Of the logit without the margin, times p_m^gamma_negative."""
        shifted, weight = self._shifted(z)
        return weight * self.inner.when_false(shifted, ids)

    def cluster_cost(self, z_BK: Tensor, truth_BK: Tensor, run: slice = slice(None)) -> Tensor:
        """As labels, of binary cross-entropy; the inner combiner's where another plugin costs clusters."""
        if self.other:
            return self.inner.cluster_cost(z_BK, truth_BK, run)
        true_BK = _power(-z_BK, self.options.gamma_positive) * F.softplus(-z_BK)
        shifted_BK, weight_BK = self._shifted(z_BK)
        cost_BK = torch.lerp(weight_BK * F.softplus(shifted_BK), true_BK, truth_BK)
        return cost_BK.mean() if self.reduction == "mean" else cost_BK.sum() / len(z_BK)

    def _shifted(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The logit of p_m, and what a false label's cost is multiplied by."""
        gamma, margin = self.options.gamma_negative, self.options.margin
        if margin == 0:
            return z, _power(z, gamma)
        # What the margin swallows has some finite logit: its cost and its gradient are multiplied by 0.
        p_m = (z.sigmoid() - margin).clamp(min=torch.finfo(z.dtype).eps)
        shifted = p_m.log() - ((-z).sigmoid() + margin).log()  # 1 - p_m, which a large z would round to 0
        return shifted, _power(shifted, gamma) * (z > math.log(margin / (1 - margin)))


def _power(z: Tensor, gamma: float) -> Tensor:
    """sigmoid(z)^gamma; by the logarithm, whose gradient is finite where the probability is 0."""
    return (gamma * F.logsigmoid(z)).exp()


def cluster_coster(part: LossCombiner | None) -> str | None:
    """The plugin that says what clusters cost, from this part inwards; None: it is cross-entropy."""
    while part is not None:
        if type(part).cluster_cost is not LossCombiner.cluster_cost:
            return None if part.owner == "lightxml" else part.owner
        part = part.inner
    return None


@hookimpl(wrapper=True)
def loss(build: BuildContext) -> Generator[None, LossCombiner, LossCombiner]:
    """Around whatever the loss is."""
    inner = yield
    options = build.options(Options)
    if not (options.gamma_positive or options.gamma_negative or options.margin):
        if build.train_labels is not None:
            say("asymmetric: nothing to do, since both gammas and the margin are 0")
        return inner
    part = Asymmetric(inner, build, options)
    if part.other and build.clusters and build.train_labels is not None:
        say(f"asymmetric: clusters cost what {part.other} has them cost; name asymmetric first to have both")
    return part
