"""Random negatives besides the shortlist, afresh at each step, each document its own.

Astec (Dahiya et al., WSDM 2021) trains on a few negatives drawn at random from the labels that its shortlist
leaves out (`unit=labels`); the seed's branch draws whole clusters (`unit=clusters`, ceil(K / 100) of them).
Every label, or cluster, that is not there yet is as likely as any other; a true label is never drawn and no
candidate comes twice; at prediction nothing is added. By default the loss is a sum over candidates, so that
these dilute none of the others; `--recipe lightxml` has a mean, in which they do.

Shapes: B documents, C candidates, K clusters, X drawn labels or clusters.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor

from xmlkit import (
    BuildContext,
    ClusterTable,
    Documents,
    Shortlist,
    Shortlister,
    Training,
    Vectors,
    hookimpl,
    say,
)


class Options(BaseModel, extra="forbid", allow_inf_nan=False):
    """Settings."""

    unit: Literal["labels", "clusters"] = Field("labels", description="what is drawn")
    fraction: float = Field(0.01, gt=0, le=1, description="of all labels or clusters, rounded up")
    count: int | None = Field(None, ge=1, description="how many are drawn; none: by the fraction")


class RandomNegatives(Shortlister):
    """Adds what it draws to the inner shortlist, in training."""

    def __init__(self, inner: Shortlister, build: BuildContext, options: Options):
        super().__init__(inner)
        self.unit, self.num_labels = options.unit, build.num_labels
        total = build.num_labels if self.unit == "labels" else self._table.num_clusters
        self.count = min(options.count or math.ceil(options.fraction * total), total)

    @property
    def _table(self) -> ClusterTable:
        """Asked for with `unit=clusters` alone, where the inner shortlist must have some."""
        assert self.clusters is not None
        return self.clusters

    def forward(self, vectors: Vectors, documents: Documents, training: Training | None) -> Shortlist:
        """With `count` more labels a document, or the labels of as many clusters, where there are any."""
        short = self.inner(vectors, documents, training)
        if training is None:
            return short
        draw = self._labels if self.unit == "labels" else self._clusters
        return short.extended(*draw(short, training), training)

    def _labels(self, short: Shortlist, training: Training) -> tuple[Tensor, Tensor]:
        return draw_outside(short.ids_BC, self.num_labels, self.count, training.rng)

    def _clusters(self, short: Shortlist, training: Training) -> tuple[Tensor, Tensor]:
        clusters, labels = self._table, training.labels
        shape = (len(short.ids_BC), clusters.num_clusters)
        taken_BK = torch.zeros(shape, dtype=torch.bool, device=short.ids_BC.device)
        if short.clusters_BS is not None:
            taken_BK.scatter_(1, short.clusters_BS, True)
        places_V = labels.documents_V * clusters.num_clusters + clusters.of(labels.values_V)
        taken_BK.view(-1).scatter_(0, places_V, True)  # an index would wait for the device
        luck_BK = torch.rand(shape, generator=training.rng, device=taken_BK.device).masked_fill(taken_BK, -1)
        luck_BX, drawn_BX = luck_BK.topk(self.count, 1)
        ids_BC, mask_BC = clusters.labels_of(drawn_BX)
        return ids_BC, mask_BC & (luck_BX >= 0).repeat_interleave(clusters.largest, 1)


def draw_outside(
    known_BC: Tensor, total: int, count: int, rng: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """`count` distinct ids a row from those below `total` that are not in it, and which of them are real.

    The free ids of a row stand in a circle, cut into `count` arcs of equal length, give or take one; one id
    is drawn from each, and the whole is turned at random. So each id is as likely as any other, without a
    table of all of them and without asking the device how many there are.
    """
    known = known_BC.sort(1).values
    repeats = F.pad(known[:, 1:] == known[:, :-1], (1, 0))
    known = torch.where(repeats, 2 * total, known).sort(1).values
    free_B1 = total - (known < total).sum(1, keepdim=True)
    places_X = torch.arange(count, device=known.device)
    low_BX, high_BX = places_X * free_B1 // count, (places_X + 1) * free_B1 // count

    def uniform(shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, generator=rng, device=known.device, dtype=torch.float64)

    within_BX = low_BX + (uniform(tuple(low_BX.shape)) * (high_BX - low_BX)).long()
    turn_B1 = (uniform((len(known), 1)) * free_B1).long()
    rank_BX = (within_BX + turn_B1) % free_B1.clamp(min=1)
    # The r-th free id is r plus the number of known ids before it.
    before = torch.where(known < total, known - torch.arange(known.shape[1], device=known.device), 2 * total)
    ids_BX = rank_BX + torch.searchsorted(before, rank_BX, right=True)
    return ids_BX.clamp(max=total - 1), high_BX > low_BX


@hookimpl(wrapper=True)
def shortlist(build: BuildContext) -> Generator[None, Shortlister, Shortlister]:
    """Around whatever the shortlist is; where every label is scored, all negatives are there already."""
    inner = yield
    if not inner.every_label:
        options = build.options(Options)
        if options.unit == "labels" or inner.clusters is not None:
            return RandomNegatives(inner, build, options)
    if build.train_labels is not None:
        reason = (
            "every label is scored" if inner.every_label else "the shortlist has no clusters to draw from"
        )
        say(f"astec-negatives: nothing to do, since {reason}")
    return inner
