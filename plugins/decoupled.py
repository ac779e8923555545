"""Decoupled softmax: each true label against all that are not true, and not against the other true ones.

Gupta et al., "Dual-Encoders for Extreme Multi-label Classification", ICLR 2024 (DEXML). With t_l for how true
a label is and N for the scored labels that are not true at all, a document costs

    sum over true labels l of  t_l log(1 + sum over n in N of exp((z_n - z_l) / T))

A score is comparable within a document alone: a threshold on it means little. What labels cost by losses that
are named before it counts no longer; clusters cost what they did.

Shapes: B documents, C candidates.
"""

from __future__ import annotations

from collections.abc import Generator

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor

from xmlkit import BuildContext, LossCombiner, hookimpl

hooks_version = 2


class Options(BaseModel, extra="forbid", allow_inf_nan=False):
    """Settings."""

    temperature: float = Field(1.0, gt=0, description="T, which logits are divided by")


class Decoupled(LossCombiner):
    """A softmax in which a document's true labels don't compete."""

    def __init__(self, inner: LossCombiner, options: Options):
        super().__init__(inner)
        self.temperature = options.temperature

    def cost_B(self, z_BC: Tensor, truth_BC: Tensor, mask_BC: Tensor, ids_BC: Tensor | slice) -> Tensor:
        """log(1 + exp(a - z)) = softplus(a - z), a being the logsumexp of what is not true."""
        z_BC = z_BC / self.temperature
        lowest = torch.finfo(z_BC.dtype).min / 4  # finite: without any negatives too there is a gradient, 0
        against_B1 = z_BC.masked_fill(~mask_BC | (truth_BC > 0), lowest).logsumexp(1, keepdim=True)
        return (truth_BC * mask_BC * F.softplus(against_B1 - z_BC)).sum(1)


@hookimpl(wrapper=True)
def loss(build: BuildContext) -> Generator[None, LossCombiner, LossCombiner]:
    """Around whatever the loss is, of which the ways to combine losses stay, and what clusters cost."""
    inner = yield
    return Decoupled(inner, build.options(Options))
