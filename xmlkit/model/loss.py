"""The default loss: binary cross-entropy of each label and cluster, all losses summed.

B documents, D document width, K clusters.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from xmlkit.doors import LossCombiner
from xmlkit.hooks import BuildContext
from xmlkit.passing import binary_cross_entropy


class PlainSum(LossCombiner):
    """Binary cross-entropy on logits, and the plain sum of the losses and of their gradients."""

    def __init__(self, build: BuildContext):
        super().__init__()
        self.reduction = build.reduction

    def when_true(self, z: Tensor, ids: Tensor | slice) -> Tensor:
        """-log sigmoid(z)."""
        return F.softplus(-z)

    def when_false(self, z: Tensor, ids: Tensor | slice) -> Tensor:
        """-log(1 - sigmoid(z))."""
        return F.softplus(z)

    def cluster_cost(self, z_BK: Tensor, truth_BK: Tensor, run: slice = slice(None)) -> Tensor:
        """Binary cross-entropy too, over a document's clusters as `reduction` says."""
        if self.reduction == "mean":
            return F.binary_cross_entropy_with_logits(z_BK, truth_BK)
        return binary_cross_entropy(z_BK, truth_BK)

    def forward(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """As they are."""
        return losses

    def upstream_BD(self, grads: dict[str, Tensor]) -> Tensor:
        """Their sum."""
        first, *rest = grads.values()
        return sum(rest, first)

    def second_step(self, model: nn.Module) -> list[nn.Module]:
        """None."""
        return []

    def rate_factors(self, model: nn.Module) -> dict[nn.Module, float]:
        """None."""
        return {}
