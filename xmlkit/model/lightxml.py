"""The parts of LightXML (Jiang et al., AAAI 2021), the base of every model."""

from __future__ import annotations

from xmlkit.doors import Head, LossCombiner, Representation, Shortlister
from xmlkit.hooks import BuildContext, hookimpl
from xmlkit.model.head import RowHead
from xmlkit.model.loss import PlainSum
from xmlkit.model.representation import FirstTokens, NoStates, TokenMean
from xmlkit.model.shortlist import EveryLabel, TopClusters


@hookimpl
def representation(build: BuildContext) -> Representation:
    """First-token states of the last layers, or the last layer's token mean; nothing without an encoder."""
    if not build.num_layers:
        return NoStates()
    return FirstTokens(build) if build.pooling == "first" else TokenMean(build.hidden, build.dropout)


@hookimpl
def shortlist(build: BuildContext, recall_width: int) -> Shortlister:
    """The labels of the likeliest clusters; without clusters every label."""
    return TopClusters(build, recall_width) if build.clusters else EveryLabel()


@hookimpl
def head(build: BuildContext, rank_width: int) -> Head:
    """One row a label; with clusters behind a projection."""
    return RowHead(build, rank_width)


@hookimpl
def loss(build: BuildContext) -> LossCombiner:
    """Binary cross-entropy, summed."""
    return PlainSum(build)
