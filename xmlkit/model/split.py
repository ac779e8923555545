"""A model split over ranks: tables of rows by rows, documents below the boundary by documents."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import torch
import torch.distributed as dist
from torch import nn

from xmlkit.distributed import collectives, ranks
from xmlkit.distributed.share import ForeignRows, Share, own_rows, rows_to_come
from xmlkit.doors import Head, Shortlister
from xmlkit.model.head import runs_of_labels
from xmlkit.model.model import Model
from xmlkit.model.parts import chain
from xmlkit.tables import RowTable, shares_of


def without_rows(make: Callable[[], Model]) -> Model:
    """A model whose tables of rows are to be split, and hold none till then.

    But for a plugin that reads rows as soon as it has made them, which has them.
    """
    with suppress(RuntimeError), rows_to_come():
        model = make()
        tables = [table.weight for table in _tables(model)]
        others = [*model.parameters(), *model.buffers()]
        if not any(tensor.is_meta and not any(tensor is one for one in tables) for tensor in others):
            return model
    return make()


@torch.no_grad()
def begin_alike(module: nn.Module) -> None:
    """With the first rank's weights, on the host, where there are several; tables that are split stay."""
    if ranks.are_several():
        shares = shares_of(module)
        for tensor in module.to("cpu").state_dict(keep_vars=True).values():
            if tensor.numel() and tensor not in shares:
                dist.broadcast(tensor.detach(), 0)


def deal_rows(model: Model) -> None:
    """Gives each of several ranks its rows of the tables that the first one has, on the host."""
    if ranks.are_several():
        for table in _tables(model):
            table.split(collectives.dealt_by_first(table.weight))


def make_room(model: Model) -> None:
    """Each of several ranks has room for its rows of all tables."""
    if ranks.are_several():
        for table in _tables(model):
            table.split()


def _tables(model: Model) -> list[RowTable]:
    return [module for module in model.modules() if isinstance(module, RowTable)]


def split_over_ranks(model: Model) -> None:
    """Keeps this rank's rows of each table, where there are several ranks.

    Where a plugin scores labels by other labels' rows, ranks exchange these, and each scores all. So they do
    with clusters where a plugin costs all of them at once.
    """
    if not ranks.are_several() or model.is_split:
        return
    model.is_split = True
    for table in _tables(model):
        if table.share is None:
            table.split()
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
