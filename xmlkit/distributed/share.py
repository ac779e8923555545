"""Which part of a whole a rank has: rows of a table or a weight, or documents of a micro-batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from torch import Tensor

from xmlkit.distributed import ranks


@dataclass(frozen=True)
class Share:
    """A run of the whole; the lengths of ranks' runs differ by one at most, and may be 0."""

    total: int
    number: int
    count: int

    @classmethod
    def of(cls, total: int) -> Share:
        """This rank's."""
        return cls(total, ranks.number(), ranks.count())

    @property
    def run(self) -> slice:
        """Of the whole."""
        return slice(self.total * self.number // self.count, self.total * (self.number + 1) // self.count)

    @property
    def sizes(self) -> list[int]:
        """Of all ranks."""
        return [len(replace(self, number=number)) for number in range(self.count)]

    def __len__(self) -> int:
        return self.run.stop - self.run.start

    def owns(self, ids: Tensor) -> Tensor:
        """Which of these are in it (bool)."""
        return (ids >= self.run.start) & (ids < self.run.stop)

    def inside(self, rows_U: Tensor | slice) -> tuple[Tensor | slice, Tensor | slice]:
        """Which of these rows are in it, by their places among them, and which rows of it they are."""
        if isinstance(rows_U, Tensor):
            places = self.owns(rows_U).nonzero().squeeze(1)
            return places, rows_U[places] - self.run.start
        first, last, _ = rows_U.indices(self.total)
        start, stop = max(first, self.run.start), min(last, self.run.stop)
        if start >= stop:
            return slice(0, 0), slice(0, 0)
        return slice(start - first, stop - first), slice(start - self.run.start, stop - self.run.start)


@dataclass(frozen=True)
class Chunk(Share):
    """As PyTorch deals a tensor: runs as long as the first, then what is left, and nothing for the others."""

    @property
    def run(self) -> slice:
        """Of the whole."""
        longest = -(-self.total // self.count)
        return slice(min(longest * self.number, self.total), min(longest * (self.number + 1), self.total))


class ForeignRows(Exception):
    """Rows were asked for that another rank has."""


_own: int | None = None  # of tables of so many rows each rank asks for its own
_to_come = False  # the rows of tables
_below = False  # the boundary, where each rank has documents of its own


@contextmanager
def own_rows(share: Share | None) -> Iterator[None]:
    """Of tables of so many rows each rank now reads its own, and ForeignRows is raised for all others.

    None: all is as it was.
    """
    global _own
    before = _own
    if share is not None:
        _own = share.total
    try:
        yield
    finally:
        _own = before


@contextmanager
def own_documents() -> Iterator[None]:
    """What is read of tables now is read for documents of which each rank has others."""
    global _below
    before, _below = _below, True
    try:
        yield
    finally:
        _below = before


@contextmanager
def rows_to_come(are_to_come: bool = True) -> Iterator[None]:
    """Tables that are made now have a shape and no memory: each rank is given its own rows later."""
    global _to_come
    before, _to_come = _to_come, are_to_come
    try:
        yield
    finally:
        _to_come = before


def are_to_come() -> bool:
    """Whether `rows_to_come` holds."""
    return _to_come


def asks_for_own(total: int) -> bool:
    """Whether `own_rows` holds; raises ForeignRows within it for a table of another size."""
    if _own is not None and _own != total:
        raise ForeignRows
    return _own is not None


def is_below() -> bool:
    """Whether `own_documents` holds."""
    return _below
