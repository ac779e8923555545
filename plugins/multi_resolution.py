"""Levels of clusters from coarse to fine, each scored from an encoder layer of its own.

After CascadeXML (Kharbanda, Banerjee, Schultheis, Babbar, NeurIPS 2022). The last level R has the run's own
clusters; a cluster of level r is a run of `branch` of level r + 1, and so a node of the tree that labels were
clustered by. x_r is the document's vector in level r's layer, x_R the recall vector as it is without these:

    z_rk = <w_rk, x_r> + b_rk        K_r = the best by z_rk of those k that lie in a cluster of K_(r-1)
    score of a label l of k in K_R = sigmoid(z_l) sigmoid(z_Rk)^cluster_power

K_r holds as many as the shortlist, in training the true ones first. Layers lie evenly between the first that
is handed on and the last: about the paper's 6, 8, 10 and 12 of a BERT with `layers=7` and `levels=3`. A level
learns from all of its clusters, in the paper's code from those alone that it looks at.

Shapes: B documents, H encoder width, D document width, K clusters, S kept ones, C candidates, V true labels.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor, nn

from xmlkit import (
    BuildContext,
    ClusterTable,
    Documents,
    LayerStates,
    RaggedLabels,
    Representation,
    RowTable,
    Shortlist,
    Shortlister,
    Start,
    Training,
    UserError,
    Vectors,
    hookimpl,
    say,
)

hooks_version = 2
compiles = False  # levels differ in size, and what is traced for any size keeps nothing for a second loss


class Options(BaseModel, extra="forbid", allow_inf_nan=False):
    """Settings."""

    levels: int = Field(2, ge=1, le=16, description="coarse levels before the clusters themselves")
    branch: int = Field(4, ge=2, description="clusters of the next level that one holds; best a power of two")


class LayerVectors(Representation):
    """The coarse levels' vectors, the coarsest first, and behind them the inner recall vector."""

    def __init__(self, inner: Representation, build: BuildContext, levels: int):
        super().__init__(inner, levels * build.hidden + inner.recall_width)
        self.layers = [level * (build.num_layers - 1) // levels for level in range(levels)]
        self.pooling, self.dropout = build.pooling, nn.Dropout(build.dropout)

    def forward(self, states: LayerStates) -> Vectors:
        """The recall vector is wider by H a level."""
        vectors, mask_BT = self.inner(states), states.documents.mask_BT
        if self.pooling == "first":
            coarse_BD = torch.cat([states.first_BNH[:, n] for n in self.layers], 1)
        else:
            share_BT1 = (mask_BT / mask_BT.sum(1, keepdim=True))[..., None]
            coarse_BD = torch.cat([(states.layer_BTH(n) * share_BT1).sum(1) for n in self.layers], 1)
        return Vectors(torch.cat([self.dropout(coarse_BD), vectors.recall_BD], 1), vectors.rank_BD)


class Cascade(Shortlister):
    """Each level looks within what the one before has kept; the labels of the last one's are candidates."""

    every_label = False
    loss_names: tuple[str, ...] = ()
    centre_D: Tensor

    def __init__(self, build: BuildContext, table: ClusterTable, options: Options, recall_width: int):
        super().__init__()
        self._table, self.power = table, build.cluster_power
        self.branch = min(options.branch, max(table.num_clusters, 2))
        self.top, self.is_warm = min(build.shortlist, table.num_clusters), build.start == "warm"
        self.loss_names = (*(f"level-{number + 1}" for number in range(options.levels)), "generator")
        self.widths = [*[build.hidden] * options.levels, recall_width - build.hidden * options.levels]
        self.register_buffer("centre_D", torch.zeros(recall_width))
        depths = range(options.levels, -1, -1)
        self.sizes = [min(self.branch**depth, table.num_clusters) for depth in depths]  # in finest clusters
        self.rows: Any = nn.ModuleList()
        self.biases: Any = nn.ModuleList()
        labels = build.train_labels  # None of a saved model, whose biases the weights file brings
        for width, size in zip(self.widths, self.sizes):
            count = -(-table.num_clusters // size)
            rows, biases = RowTable(count, width), RowTable(count, 1)
            biases.weight_decay = 0.0
            bound = width**-0.5 if build.start == "random" else 0.0  # as nn.Linear has it
            middle = 0.0
            if labels and not bound:  # the log odds of a cluster being true of a document
                pairs_V = labels.documents_V * count + table.of(labels.values_V) // size
                middle = float(torch.tensor(len(pairs_V.unique()) / (len(labels) * count)).logit(eps=1e-6))
            nn.init.uniform_(rows.weight, -bound, bound)
            nn.init.uniform_(biases.weight, middle - bound, middle + bound)
            self.rows.append(rows)
            self.biases.append(biases)

    @property
    def clusters(self) -> ClusterTable:
        """The run's, which are the last level's."""
        return self._table

    def cluster_logits_BK(self, recall_BD: Tensor) -> Tensor:
        """The last level's z."""
        return self._z_BK(-1, recall_BD)

    @torch.no_grad()
    def take_start(self, start: Start) -> None:
        """Rows as their clusters' sum in their own layer, as long as those in all layers; odds are summed."""
        self.centre_D.copy_(start.centre_D)
        parts = start.vectors_RD.split(self.widths, 1)
        for rows, biases, size, vectors_KD in zip(self.rows, self.biases, self.sizes, parts):
            units_KD = F.normalize(_runs(vectors_KD, size).sum(1), dim=1)
            rows.weight.copy_(units_KD * _runs(start.vectors_RD.norm(dim=1), size).amax(1)[:, None])
            biases.weight.copy_(_runs(start.bias_R.double().exp(), size).sum(1).log()[:, None])

    def forward(self, vectors: Vectors, documents: Documents, training: Training | None) -> Shortlist:
        """C is that of the base: the labels of S clusters, and in training the other true ones."""
        losses, kept_BK = {}, None
        for level, name in enumerate(self.loss_names):
            z_BK = self._z_BK(level, vectors.recall_BD)
            rank_BK = z_BK.detach()
            if training:
                truth_BK = self._truth_BK(level, training.labels).to(z_BK)
                losses[name] = training.cluster_cost(z_BK, truth_BK)
                span_B1 = rank_BK.amax(1, keepdim=True) - rank_BK.amin(1, keepdim=True)
                rank_BK = rank_BK + (span_B1 + 1) * truth_BK.ceil()  # true ones first
            if kept_BK is not None:
                within_BK = kept_BK.repeat_interleave(self.branch, 1)[:, : z_BK.shape[1]]
                rank_BK = rank_BK.masked_fill(~within_BK, -torch.inf)
            # What is kept holds at least as many of the next level: none that is ruled out is chosen.
            kept_BS = rank_BK.topk(min(self.top, z_BK.shape[1]), 1).indices
            kept_BK = torch.zeros_like(rank_BK, dtype=torch.bool).scatter(1, kept_BS, True)
        ids_BC, mask_BC = self._table.labels_of(kept_BS)
        prior_BS = z_BK.detach().gather(1, kept_BS).sigmoid() ** self.power
        prior_BC = prior_BS.repeat_interleave(self._table.largest, 1)
        truth_BC = training.labels.contains(ids_BC) & mask_BC if training else None
        short = Shortlist(vectors.rank_BD, ids_BC, mask_BC, prior_BC, truth_BC, losses, kept_BS)
        # As many labels as clusters are kept lie in at most that many of each level, and are all there.
        if training and training.labels.most > self.top:
            short = short.extended(*training.labels.padded, training)
        return short

    def _z_BK(self, level: int, recall_BD: Tensor) -> Tensor:
        x_BD, every = (recall_BD - self.centre_D).split(self.widths, 1)[level], slice(None)
        x_BD = F.normalize(x_BD, dim=1, eps=1e-6) if self.is_warm else x_BD
        return self.rows[level].products_BU(x_BD, every) + self.biases[level](every).squeeze(1)

    def _truth_BK(self, level: int, labels: RaggedLabels) -> Tensor:
        """How true each cluster is of each document: as its truest label."""
        places_V = labels.documents_V * self._table.num_clusters + self._table.of(labels.values_V)
        targets_V = torch.ones_like(places_V).float() if labels.targets_V is None else labels.targets_V
        truth = targets_V.new_zeros(len(labels) * self._table.num_clusters)
        truth_BK = truth.scatter_reduce(0, places_V, targets_V, "amax").unflatten(0, (len(labels), -1))
        return _runs(truth_BK.T, self.sizes[level]).amax(1).T


def _runs(of_K: Tensor, size: int) -> Tensor:
    """What the last level has, cut into runs of so many, (runs, size, ...); zeros fill up the last run."""
    return torch.cat([of_K, of_K.new_zeros(-len(of_K) % size, *of_K.shape[1:])]).unflatten(0, (-1, size))


@hookimpl(wrapper=True)
def representation(build: BuildContext) -> Generator[None, Representation, Representation]:
    """Around whatever the representation is, where there are clusters."""
    inner, levels = (yield), build.options(Options).levels
    if build.clusters is None:
        return inner
    if build.num_layers <= levels:
        few = f"multi-resolution.levels={levels}: the encoder hands on too few layers, {build.num_layers}"
        raise UserError(f"{few}; have more (--set layers=8, or another --encoder), or fewer levels")
    if build.cluster_width:
        raise UserError("multi-resolution scores clusters in vectors as wide as they are: no cluster_width")
    return LayerVectors(inner, build, levels)


@hookimpl
def shortlist(build: BuildContext, recall_width: int) -> Shortlister | None:
    """In place of the base's, so that what other plugins have to add stands around it."""
    if build.clusters is not None:
        return Cascade(build, build.clusters, build.options(Options), recall_width)
    if build.train_labels is not None:
        say("multi-resolution: nothing to do, since every label is scored")
    return None
