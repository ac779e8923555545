"""Files that say what labels are called: each module in this folder is one kind, found by being here."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from xmlkit.data.dialect import Dialect


class Label(NamedTuple):
    """A label as a vocabulary lists it."""

    where: str
    """FILE:LINE, for error messages."""

    id: str

    name: str
    """Empty where it has none."""

    alternatives: tuple[str, ...] = ()
    """Further names of the same, which are read but not shown."""

    notation: str | None = None
    """Its shelf mark or number in the vocabulary."""


class Vocabulary(Protocol):
    """What a vocabulary's module defines."""

    def find(self, folder: Path) -> Path | None:
        """The vocabulary of a corpus's folder; None where it has none of this kind."""

    def takes(self, path: Path) -> bool:
        """Whether a file is one of this kind, by its name."""

    def ids(self, path: Path, dialect: Dialect, retired: bool) -> Iterator[str]:
        """Ids alone, whatever languages names are in; `retired`: those too that are no longer to be given."""

    def read(self, path: Path, dialect: Dialect) -> Iterator[Label]:
        """The labels in the order of the file, each id once. A UserError for bad input names FILE:LINE."""


def of_all(
    read: Callable[[Path, Dialect], Iterator[Label]],
) -> Callable[[Path, Dialect, bool], Iterator[str]]:
    """`ids` of a list in which no label is ever retired."""
    return lambda path, dialect, retired: (label.id for label in read(path, dialect))


def vocabularies() -> list[Vocabulary]:
    """All kinds, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [cast(Vocabulary, importlib.import_module(f"{__name__}.{name}")) for name in names]
