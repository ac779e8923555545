"""The parts of LightXML (Jiang et al., AAAI 2021), the base of every model."""

from __future__ import annotations

from xmlkit.hooks import BuildContext, Head, LossCombiner, Representation, Shortlister, hookimpl
from xmlkit.model.head import FlatHead
from xmlkit.model.loss import PlainSum
from xmlkit.model.representation import FirstTokens, TokenMean
from xmlkit.model.shortlist import EveryLabel


@hookimpl
def representation(build: BuildContext) -> Representation:
    """First-token states of the last layers, or the last layer's token mean."""
    return FirstTokens(build) if build.pooling == "first" else TokenMean(build)


@hookimpl
def shortlist() -> Shortlister:
    """Every label is scored."""
    return EveryLabel()


@hookimpl
def head(build: BuildContext, rank_width: int) -> Head:
    """One linear layer."""
    return FlatHead(build, rank_width)


@hookimpl
def loss() -> LossCombiner:
    """Binary cross-entropy, summed."""
    return PlainSum()
