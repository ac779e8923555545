"""A model split over ranks: tables of rows by rows, documents below the boundary by documents."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn

from xmlkit.distributed import ranks
from xmlkit.distributed.share import ForeignRows, Share, own_rows
from xmlkit.doors import Head, Shortlister
from xmlkit.model.head import runs_of_labels
from xmlkit.model.model import Model
from xmlkit.model.parts import chain
from xmlkit.tables import RowTable


@torch.no_grad()
def begin_alike(module: nn.Module) -> None:
    """With the first rank's weights, on the host, where there are several ranks."""
    if ranks.are_several():
        for tensor in module.to("cpu").state_dict().values():
            if tensor.numel():
                dist.broadcast(tensor, 0)


def split_over_ranks(model: Model) -> None:
    """Keeps this rank's rows of each table, where there are several ranks.

    Where a plugin scores labels by other labels' rows, ranks exchange these, and each scores all. So they do
    with clusters where a plugin costs all of them at once.
    """
    if not ranks.are_several() or model.is_split:
        return
    model.is_split = True
    for module in model.modules():
        if isinstance(module, RowTable):
            module.split()
    share = Share.of(model.num_labels)
    found = int(not _reads_own_rows_alone(model, share))
    if not any(ranks.greatest(found)):
        for part in chain(model.head):
            assert isinstance(part, Head)
            part.share = share
    clusters = model.shortlister.clusters
    if clusters is not None and model.combiner.costs_clusters_apart:
        for part in chain(model.shortlister):
            assert isinstance(part, Shortlister)
            part.share = Share.of(clusters.num_clusters)


@torch.no_grad()
def _reads_own_rows_alone(model: Model, share: Share) -> bool:
    """Whether labels are scored, and cost, without other labels' rows."""
    rank_1D = torch.zeros(1, model.representation.rank_width, device=model.device)
    try:
        with own_rows(share):
            for run in runs_of_labels(share.run.stop, begin=share.run.start):
                z_1U = model.head.scores_BU(rank_1D, run)
                model.combiner.when_true(z_1U, run)
                model.combiner.when_false(z_1U, run)
    except ForeignRows:
        return False
    return True
