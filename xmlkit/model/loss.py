"""The default loss: binary cross-entropy of each label, all losses summed."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from xmlkit.doors import LossCombiner


class PlainSum(LossCombiner):
    """Binary cross-entropy on logits, and the plain sum of the losses and of their gradients."""

    def when_true(self, z: Tensor, ids: Tensor | slice) -> Tensor:
        """-log sigmoid(z)."""
        return F.softplus(-z)

    def when_false(self, z: Tensor, ids: Tensor | slice) -> Tensor:
        """-log(1 - sigmoid(z))."""
        return F.softplus(z)

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
