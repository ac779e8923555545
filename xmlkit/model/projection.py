"""From the document vector to a narrower space that labels or clusters are scored in."""

from __future__ import annotations

from torch import nn

from xmlkit.hooks import BuildContext


class Projection(nn.Linear):
    """Keeps the geometry of what it projects: begins orthogonal and learns at the encoder's rate.

    At the rate of label rows, 80 times higher when that was measured, it learnt worse than no projection at
    all (benchmarks/NOTES.md).
    """

    def __init__(self, width: int, narrow: int):
        super().__init__(width, narrow)
        nn.init.orthogonal_(self.weight)
        nn.init.zeros_(self.bias)


def projection(build: BuildContext, width: int, narrow: int) -> nn.Module:
    """Nothing where the widths are the same; with `start=random` LightXML's plain linear layer."""
    if build.start == "random":
        return nn.Linear(width, narrow)
    return nn.Identity() if width == narrow else Projection(width, narrow)
