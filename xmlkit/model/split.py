"""A model split over ranks: tables of rows by rows, documents below the boundary by documents."""

from __future__ import annotations

import torch

from xmlkit.distributed import ranks
from xmlkit.distributed.share import ForeignRows, Share, own_rows
from xmlkit.doors import Head
from xmlkit.model.head import runs_of_labels
from xmlkit.model.model import Model
from xmlkit.model.parts import chain
from xmlkit.tables import RowTable


def split_over_ranks(model: Model) -> None:
    """Keeps this rank's rows of each table, where there are several ranks.

    Where a plugin makes vectors of labels of other labels' rows, ranks exchange these, and each scores all.
    """
    if not ranks.are_several() or model.is_split:
        return
    model.is_split = True
    for module in model.modules():
        if isinstance(module, RowTable):
            module.split()
    share = Share.of(model.num_labels)
    found = int(not _reads_own_rows_alone(model.head, share))
    if not any(ranks.greatest(found)):
        for part in chain(model.head):
            assert isinstance(part, Head)
            part.share = share


@torch.no_grad()
def _reads_own_rows_alone(head: Head, share: Share) -> bool:
    """Whether labels' vectors are made of no other labels' rows."""
    if head.vector_maker.stores_vectors:
        return True
    head.take_batch(None)
    try:
        with own_rows(share.total):
            for run in runs_of_labels(share.run.stop, begin=share.run.start):
                head.label_vectors_UE(run)
    except ForeignRows:
        return False
    return True
