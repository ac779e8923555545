"""The gradients of tables of rows, gathered over the micro-batches of a step.

U rows of the step, E row width, B documents of a micro-batch, R documents of the step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from xmlkit.model.device import full_precision
from xmlkit.tables import RowProduct, RowTable, ids_of, on_host, runs_of_rows, unique_ids


@dataclass(frozen=True)
class RowGradient:
    """The gradient of U rows, each once: `values_UE`, or where that is None `left_UR @ right_RE`.

    Without waiting for the device the number of rows stays unknown. There the last of the ids repeat the
    first one, with a gradient of zero, and `is_filling_U` marks them.
    """

    rows_U: Tensor | slice  # ids, or a run from one row up to another
    is_filling_U: Tensor | None
    values_UE: Tensor | None
    left_UR: Tensor | None = None
    right_RE: Tensor | None = None
    scale: Tensor | float = 1.0  # of all of it

    def add_to(self, rows_UE: Tensor, factor_U1: Tensor | float) -> Tensor:
        """Adds each row's gradient times its factor to these rows, in place."""
        factor_U1 = self.scale * factor_U1
        if self.values_UE is not None:
            return rows_UE.add_(self.values_UE * factor_U1)
        assert self.left_UR is not None and self.right_RE is not None
        return rows_UE.addmm_(self.left_UR * factor_U1, self.right_RE)

    def squared_norms_U(self) -> Tensor:
        """Of each row; of a product without making it, from the inner products of its right side.

        Where they cancel out to less than can be told from rounding, a millionth of what was summed stands.
        """
        if self.values_UE is not None:
            return self.values_UE.square().sum(1) * self.scale**2
        assert self.left_UR is not None and self.right_RE is not None
        inner_RR = self.right_RE @ self.right_RE.T
        sums_U = ((self.left_UR @ inner_RR) * self.left_UR).sum(1)
        return sums_U.maximum(1e-6 * (self.left_UR.square() @ inner_RR.diagonal())) * self.scale**2

    def runs(self, weight: Tensor) -> Iterator[RowGradient]:
        """The same in runs of rows, each as long as copies of its rows of the weight should be.

        Filling repeats the run's own first row, gradient and all: whoever writes rows writes one value.
        """
        if isinstance(self.rows_U, slice):
            for run in runs_of_rows(self.rows_U.stop - self.rows_U.start, weight):
                yield self._at(run, slice(self.rows_U.start + run.start, self.rows_U.start + run.stop), None)
            return
        for run in runs_of_rows(len(self.rows_U), weight):
            if self.is_filling_U is None:
                yield self._at(run, self.rows_U[run], None)
            else:
                filling_U = self.is_filling_U[run]
                places_U = torch.arange(run.start, run.start + len(filling_U), device=filling_U.device)
                places_U = torch.where(filling_U, run.start, places_U)
                yield self._at(places_U, self.rows_U[places_U], filling_U)

    def _at(self, places: slice | Tensor, rows: slice | Tensor, filling: Tensor | None) -> RowGradient:
        values, left = (None if t is None else t[places] for t in (self.values_UE, self.left_UR))
        return RowGradient(rows, filling, values, left, self.right_RE, self.scale)


def row_parameters(module: nn.Module) -> list[Parameter]:
    """The weights of all tables of rows in it, each once."""
    return list(dict.fromkeys(part.weight for part in module.modules() if isinstance(part, RowTable)))


def forget_rows(parameters: Iterable[Parameter]) -> None:
    """What `zero_grad` does for other weights."""
    for parameter in parameters:
        _take_products(parameter)
        set_row_gradient(parameter, None)


def _take_products(weight: Parameter) -> list[RowProduct]:
    """What backward passes left at the weight, which then has none."""
    products: list[RowProduct] = getattr(weight, "row_products", [])
    weight.row_products = []  # type: ignore[attr-defined]  # a tensor takes any attribute
    return products


def row_gradient(weight: Parameter) -> RowGradient | None:
    """What `unite_rows` made of them; None where nothing was read, and of a weight that is no table's."""
    return getattr(weight, "row_gradient", None)


def dense_gradient(weight: Parameter) -> Tensor | None:
    """Of the weight's own shape, whatever way it was read in; a table's must be united. To look at."""
    if (rows := row_gradient(weight)) is None:
        return weight.grad
    whole = torch.zeros_like(weight)
    whole[rows.rows_U] = rows.add_to(torch.zeros_like(whole[rows.rows_U]), 1.0)
    return whole


def set_row_gradient(weight: Parameter, gradient: RowGradient | None) -> None:
    """Replaces it."""
    weight.row_gradient = gradient  # type: ignore[attr-defined]  # a tensor takes any attribute


def unite_rows(parameters: Iterable[Parameter]) -> None:
    """Turns what backward passes left at each weight into `weight.row_gradient`, None where nothing was read.

    It holds each row once, summed over micro-batches and repeated reads.
    """
    for parameter in parameters:
        products, called = _take_products(parameter), parameter.grad
        parameter.grad = None
        set_row_gradient(parameter, None)
        if called is not None:
            assert called.is_sparse, "a RowTable's weight was used densely; read it by calling the table"
        # Where the two factors of the products together would be larger than what they make, it is made.
        if called is not None or sum(len(p.right_BE) for p in products) > parameter.shape[1]:
            read = [] if called is None else [(called._indices()[0], called._values())]
            read += [(ids_of(p.rows_U, parameter), p.left_UB @ p.right_BE) for p in products]
            set_row_gradient(parameter, _sum_of_values(read, len(parameter)))
        elif products:
            set_row_gradient(parameter, _sum_of_products(products, parameter))


def _sum_of_values(read: list[tuple[Tensor, Tensor]], num_rows: int) -> RowGradient:
    ids_U, slots, filling_U = _unique(torch.cat([ids for ids, _ in read]), num_rows)
    values = torch.cat([full_precision(values) for _, values in read])
    sums_UE = values.new_zeros(len(ids_U), values.shape[1]).index_add_(0, slots, values)
    return RowGradient(ids_U, filling_U, sums_UE)


def _sum_of_products(products: list[RowProduct], weight: Tensor) -> RowGradient:
    """Side by side: each micro-batch keeps columns of its own on the left."""
    right_RE = torch.cat([full_precision(product.right_BE) for product in products])
    lefts = [full_precision(product.left_UB) for product in products]
    first = products[0].rows_U
    if isinstance(first, slice) and all(product.rows_U == first for product in products):
        run = slice(*first.indices(len(weight))[:2])
        return RowGradient(run, None, None, torch.cat(lefts, 1), right_RE)
    ids = [ids_of(product.rows_U, weight) for product in products]
    if len(ids) == 1 and on_host(ids[0]) and bool((ids[0].diff() > 0).all()):
        return RowGradient(ids[0], None, None, lefts[0], right_RE)
    ids_U, slots, filling_U = _unique(torch.cat(ids), len(weight))
    left_UR = right_RE.new_zeros(len(ids_U), len(right_RE))
    columns = left_UR.split([left.shape[1] for left in lefts], 1)
    for left, into_UB, slots_U in zip(lefts, columns, slots.split([len(some) for some in ids]), strict=True):
        into_UB.index_add_(0, slots_U, left)
    return RowGradient(ids_U, filling_U, None, left_UR, right_RE)


def _unique(ids: Tensor, num_rows: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """Unique ids, the slot of each id, and which are filling where their number is not known."""
    ids_U, slots = unique_ids(ids, num_rows)
    if on_host(ids) or not len(ids):
        return ids_U, slots, None
    return ids_U, slots, torch.arange(len(ids_U), device=ids.device) > slots.max()
