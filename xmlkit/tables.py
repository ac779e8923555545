"""Tables that a step reads few rows of: which labels a cluster holds, and rows of weights.

B documents, C candidates, S clusters of a document, M labels of the largest cluster, L labels, E row width,
U unique rows, K clusters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from xmlkit.distributed import collectives
from xmlkit.distributed.part import share_of
from xmlkit.distributed.share import ForeignRows, Share, are_to_come, asks_for_own, is_below
from xmlkit.errors import UserError

# Of rows that are copied to compute with: what the processor's cache holds, or enough to keep a device busy.
NUMBERS_AT_ONCE = {"cpu": 2**19, "cuda": 2**25}


class ClusterTable(nn.Module):
    """Which labels each cluster holds: those of cluster k are `order_L[starts[k]:starts[k + 1]]`.

    Labels are trained in the order of their clusters, so that these are rows `starts[k]` and on; such as come
    later have the last rows, whatever their clusters, and make these uneven. It is no weight: a run keeps it
    beside its labels, and parts may share it.
    """

    starts: Tensor
    order_L: Tensor
    cluster_L: Tensor

    def __init__(self, starts: Tensor, order_L: Tensor | None = None):
        super().__init__()
        sizes_K = starts.diff()
        self.num_clusters = len(starts) - 1  # K
        self.largest = int(sizes_K.max())  # M
        of_order_L = torch.arange(self.num_clusters, device=starts.device).repeat_interleave(sizes_K)
        order_L = torch.arange(len(of_order_L), device=starts.device) if order_L is None else order_L
        self.register_buffer("starts", starts, persistent=False)
        self.register_buffer("order_L", order_L, persistent=False)
        cluster_L = torch.empty_like(of_order_L).scatter(0, order_L, of_order_L)
        self.register_buffer("cluster_L", cluster_L, persistent=False)

    @classmethod
    def of_labels(cls, cluster_L: Tensor) -> ClusterTable:
        """From the cluster of each label; none is empty."""
        sizes_K = torch.bincount(cluster_L)
        assert sizes_K.all(), "a cluster without a label"
        return cls(F.pad(sizes_K.cumsum(0), (1, 0)), cluster_L.argsort(stable=True))

    def of(self, ids: Tensor) -> Tensor:
        """The cluster of each label."""
        return self.cluster_L[ids]

    def labels_of(self, clusters_BS: Tensor) -> tuple[Tensor, Tensor]:
        """Label ids (B, S x M) and which are real; padding repeats the first label of the same cluster."""
        first_BS = self.starts[clusters_BS]
        size_BS = self.starts[clusters_BS + 1] - first_BS
        places_M = torch.arange(self.largest, device=clusters_BS.device)
        mask_BSM = places_M < size_BS[..., None]
        ids_BSM = self.order_L[first_BS[..., None] + places_M * mask_BSM]
        return ids_BSM.flatten(1), mask_BSM.flatten(1)


@dataclass(frozen=True)
class RowProduct:
    """The gradient of U rows as a product of two small matrices: `left_UB @ right_BE`."""

    rows_U: Tensor | slice  # which rows: unique ids, or a run
    left_UB: Tensor
    right_BE: Tensor


class RowTable(nn.Embedding):
    """Rows (L, E) of which a step reads few.

    The gradient holds the rows that were read, and the core's optimiser steps these and no others: a row
    that was not read neither moves nor decays. It is sparse in `weight.grad` where rows were read by calling
    the table, and a list of RowProduct in `weight.row_products` where `products_BU` read them.

    Where a model is split over ranks each has a run of the rows. Above the boundary all ranks ask for the
    same rows and get them all, but within `own_rows`; below it, where each has documents of its own, rows are
    read by `sums_BE` alone.
    """

    weight: nn.Parameter
    share: Share | None = None  # what this rank has of it; None: all

    def __init__(self, rows: int, width: int, dtype: torch.dtype | None = None):
        super().__init__(rows, width, sparse=True, dtype=dtype, device="meta" if are_to_come() else None)
        self.learning_rate: float | None = None  # None: that of the part that holds it
        self.weight_decay: float | None = None

    @torch.no_grad()
    def split(self, own_UE: Tensor | None = None) -> None:
        """Keeps this rank's rows alone, or has these for them; where none are there yet, room for them."""
        self.share = Share.of(len(self.weight))
        if own_UE is None and self.weight.is_meta:
            own_UE = torch.empty(len(self.share), self.embedding_dim, dtype=self.weight.dtype)
        if own_UE is None:
            self.weight.data = self.weight[self.share.run].clone()
        else:
            self.weight = nn.Parameter(own_UE, self.weight.requires_grad)

    def forward(self, rows: Tensor | slice) -> Tensor:
        """Rows by their ids, or a run of rows."""
        if self.share is None:
            return self._rows(rows)
        if isinstance(rows, Tensor) and rows.ndim != 1:
            return self(rows.flatten()).view(*rows.shape, -1)
        places, own = self._asked(self.share, rows)
        if asks_for_own(self.share.total):
            return self._rows(own)
        found_UE = self.weight.new_zeros(count_of(rows, self.share.total), self.weight.shape[1])
        return collectives.summed(_put(found_UE, places, self._rows(own)))

    def _asked(self, share: Share, rows: Tensor | slice) -> tuple[Tensor | slice, Tensor | slice]:
        """Which of these rows this rank has, and where it has them.

        Raises UserError below the boundary, and ForeignRows where all must be its own and are not.
        """
        if is_below():
            raise UserError(
                "a table of rows is read for single documents, in a way in which it can't be split over "
                "processes: a plugin's representation must read it by sums_BE; leave that plugin out"
            )
        places, own = share.inside(rows)
        if asks_for_own(share.total) and count_of(own, share.total) != count_of(rows, share.total):
            raise ForeignRows
        return places, own

    def _rows(self, rows: Tensor | slice) -> Tensor:
        if isinstance(rows, Tensor):
            return super().forward(rows)
        if not torch.is_grad_enabled():
            return self.weight[rows]
        return super().forward(ids_of(rows, self.weight))

    def products_BU(self, query_BE: Tensor, rows_U: Tensor | slice) -> Tensor:
        """`query_BE @ self(rows_U).T` without ever holding (U, E), neither of the rows nor their gradient.

        Each backward pass through it adds to the rows' gradient, be it asked for that of the query alone.
        """
        if self.share is None:
            return _Products.apply(query_BE, self.weight, rows_U)
        places, own = self._asked(self.share, rows_U)
        own_BU = _Products.apply(query_BE, self.weight, own)
        if asks_for_own(self.share.total):
            return own_BU
        found_UB = own_BU.new_zeros(count_of(rows_U, self.share.total), len(query_BE))
        return collectives.summed(_put(found_UB, places, own_BU.T)).T

    def sums_BE(self, weights_BU: Tensor, rows_U: Tensor) -> Tensor:
        """`weights_BU @ self(rows_U)` without ever holding (U, E); no gradient reaches the weights.

        Ids may be repeated where their weights are zero.
        """
        if self.share is None:
            return _Sums.apply(self.weight, weights_BU, rows_U)
        if is_below():
            return _SumsOfOwnDocuments.apply(self.weight, weights_BU, rows_U, self.share)
        places, own = self.share.inside(rows_U)
        return collectives.summed(_Sums.apply(self.weight, weights_BU[:, places], own))


def shares_of(module: nn.Module) -> dict[Tensor, Share]:
    """What this rank has of the weights in it that are split: tables' and a sharded encoder's."""
    tables = (part for part in module.modules() if isinstance(part, RowTable))
    found: dict[Tensor, Share] = {table.weight: table.share for table in tables if table.share is not None}
    shares = ((weight, share_of(weight)) for weight in module.parameters())
    return found | {weight: share for weight, share in shares if share is not None}


class _Sums(torch.autograd.Function):
    """Like `_Products`, with the rows' gradient as a product of the weights and the sums' gradient."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, weights_BU: Tensor, rows_U: Tensor) -> Tensor:
        ctx.save_for_backward(weight, weights_BU, rows_U)
        sums_BE = weights_BU.new_zeros(len(weights_BU), weight.shape[1])
        for run, rows_UE in _runs(weight, rows_U, weights_BU.dtype):
            sums_BE.addmm_(weights_BU[:, run], rows_UE)
        return sums_BE

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None]:
        weight, weights_BU, rows_U = ctx.saved_tensors
        _leave(weight, RowProduct(rows_U, weights_BU.T, grads[0]))
        return None, None, None


class _SumsOfOwnDocuments(torch.autograd.Function):
    """The same where each rank has documents of its own, and rows of its own.

    Ids and weights of all ranks are gathered; each has its rows' sums for all documents, the sums of which
    go back. On the way back the sums' gradients are gathered.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, weights_BU: Tensor, rows_U: Tensor, share: Share) -> Tensor:
        sizes = collectives.gathered(torch.tensor([weights_BU.shape]), [1] * share.count).tolist()
        of_documents, of_rows = ([size[side] for size in sizes] for side in (0, 1))
        most = max(of_documents)
        ids = collectives.gathered(rows_U, of_rows).split(of_rows)
        all_UB = collectives.gathered(F.pad(weights_BU.T, (0, most - len(weights_BU))), of_rows)
        sums, own = [], []
        for ids_U, weights_UB, documents in zip(ids, all_UB.split(of_rows), of_documents, strict=True):
            places, rows = share.inside(ids_U)
            left_UB, sums_BE = (
                weights_UB[places, :documents],
                weights_BU.new_zeros(documents, weight.shape[1]),
            )
            for run, rows_UE in _runs(weight, rows, weights_BU.dtype):
                sums_BE.addmm_(left_UB[run].T, rows_UE)
            sums.append(sums_BE)
            own.append((rows, left_UB))
        ctx.weight, ctx.own, ctx.of_documents = weight, own, of_documents
        whole = collectives.summed_in_place(torch.cat(sums))
        return whole.split(of_documents)[share.number].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None, None]:
        of_all = collectives.gathered(grads[0], ctx.of_documents).split(ctx.of_documents)
        for (rows, left_UB), grad_BE in zip(ctx.own, of_all, strict=True):
            _leave(ctx.weight, RowProduct(rows, left_UB, grad_BE))
        return None, None, None, None


class _Products(torch.autograd.Function):
    """In runs of rows; what the rows' gradient follows from is left at the weight as a RowProduct."""

    @staticmethod
    def forward(ctx: Any, query_BE: Tensor, weight: Tensor, rows_U: Tensor | slice) -> Tensor:
        ctx.save_for_backward(query_BE, weight)
        ctx.rows_U = rows_U
        products = [rows_UE @ query_BE.T for _, rows_UE in _runs(weight, rows_U, query_BE.dtype)]
        return torch.cat(products).T if products else query_BE.new_empty(len(query_BE), 0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None]:
        query_BE, weight = ctx.saved_tensors
        left_UB, whole_BE = grads[0].T, None
        if ctx.needs_input_grad[0]:
            whole_BE = torch.zeros_like(query_BE)
            for run, rows_UE in _runs(weight, ctx.rows_U, query_BE.dtype):
                whole_BE.addmm_(left_UB[run].T, rows_UE)
        _leave(weight, RowProduct(ctx.rows_U, left_UB, query_BE.detach()))
        return whole_BE, None, None


def _leave(weight: Any, product: RowProduct) -> None:
    """Leaves a part of its gradient at the weight, for `unite_rows`."""
    if weight.requires_grad and len(product.left_UB) and len(product.right_BE):
        weight.row_products = [*getattr(weight, "row_products", []), product]


@contextmanager
def held_constant(weights: Iterable[nn.Parameter]) -> Iterator[None]:
    """What is read of these weights meanwhile has no gradient for them."""
    weights = [weight for weight in weights if weight.requires_grad]
    try:
        for weight in weights:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in weights:
            weight.requires_grad_()


def count_of(rows: Tensor | slice, total: int) -> int:
    """How many rows these are, of so many."""
    return len(rows) if isinstance(rows, Tensor) else len(range(*rows.indices(total)))


def _put(whole: Tensor, places: Tensor | slice, part: Tensor) -> Tensor:
    """With this part in place."""
    if isinstance(places, Tensor):
        return whole.index_put((places,), part.to(whole.dtype))
    return F.pad(part, (0, 0, places.start, len(whole) - places.stop))


def ids_of(rows: Tensor | slice, weight: Tensor) -> Tensor:
    """The ids of a run of the weight's rows; ids are what they are."""
    if isinstance(rows, Tensor):
        return rows
    return torch.arange(*rows.indices(len(weight)), device=weight.device)


def _runs(weight: Tensor, rows_U: Tensor | slice, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
    """Runs of these rows; where they lie in a row they need no copy."""
    if isinstance(rows_U, slice):
        start, stop, _ = rows_U.indices(len(weight))
        whole = weight[start:stop]
        return ((run, whole[run].to(dtype)) for run in runs_of_rows(len(whole), weight))
    return ((run, F.embedding(rows_U[run], weight).to(dtype)) for run in runs_of_rows(len(rows_U), weight))


def runs_of_rows(count: int, weight: Tensor) -> Iterator[slice]:
    """Runs of so many rows of the weight, each as long as copies of them should be."""
    numbers = NUMBERS_AT_ONCE.get(weight.device.type, NUMBERS_AT_ONCE["cuda"])
    at_once = max(numbers // weight.shape[1], 1)
    return (slice(start, min(start + at_once, count)) for start in range(0, count, at_once))


def unique_ids(ids: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
    """Unique ids (U,), of which there are at most `most`, and the slot of each id among them."""
    if on_host(ids):
        return torch.unique(ids, return_inverse=True)
    return unique_ids_without_waiting(ids, most)


def on_host(tensor: Tensor) -> bool:
    """Whether to look at its numbers costs no waiting for a device."""
    return tensor.device.type == "cpu"


def unique_ids_without_waiting(ids: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
    """The same, filled up by repeating the first: to count the unique ones is to wait for the device."""
    flat, order = ids.flatten().sort()
    starts = F.pad(flat[1:] != flat[:-1], (1, 0))[: len(flat)]  # the cut is for no ids at all
    slot_of_sorted = starts.long().cumsum(0)
    ids_U = flat[:1].expand(min(len(flat), most or len(flat))).scatter(0, slot_of_sorted, flat)
    slots = torch.empty_like(slot_of_sorted).scatter(0, order, slot_of_sorted)
    return ids_U, slots.view(ids.shape)
