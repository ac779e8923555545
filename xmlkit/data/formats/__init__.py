"""Corpus formats: each module in this folder is one, found by being here. `Format` says what it holds."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, cast, get_args

from xmlkit.data.dialect import Dialect
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus


Extra = Literal["filters", "relevances"]
NOTHING_MORE: frozenset[Extra] = frozenset()

OfTables = Literal["text_columns", "label_column", "label_separator"]
ALL_OF_TABLES: frozenset[OfTables] = frozenset(get_args(OfTables))
TEXT_COLUMNS: frozenset[OfTables] = frozenset({"text_columns"})
NO_COLUMNS: frozenset[OfTables] = frozenset()


class ByName(NamedTuple):
    """A label that a file calls by its name."""

    name: str

    where: str
    """FILE:LINE, for error messages."""


class Document(NamedTuple):
    """One text and the ids of its labels, as the file lists them."""

    text: str
    labels: list[str]

    id: str | None = None
    """What its owner calls it."""

    left_out: tuple[str, ...] = ()
    """Labels that a ranking is not asked about: taken out of it before it is scored."""

    by_name: tuple[ByName, ...] = ()
    """Further labels, whose ids are then looked up in the vocabulary."""

    relevances: tuple[float, ...] | None = None
    """Of each of `labels`, above 0; where there are none, it is 1."""

    value: str | None = None
    """What the dialect's `column` holds."""


class Format(Protocol):
    """What a format's module defines."""

    NAME: str
    """What `--format` calls it."""

    DESCRIPTION: str
    """The files that it looks for."""

    HOLDS: frozenset[Extra]
    """What it has room for beside texts, labels and ids."""

    HEEDS: frozenset[OfTables]
    """What it makes of the dialect's fields for tables."""

    @property
    def SUFFIXES(self) -> tuple[str, ...]:
        """How one file that holds a whole split may end (before `.gz`); none where a split takes several."""

    def find(self, folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
        """The files of the split ("train" or "test"); None where there are none; UserError if one lacks."""

    def takes(self, path: Path, dialect: Dialect) -> bool:
        """Whether one file is a split of this format: by its suffix and, where two have it, what it holds."""

    def read(self, paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
        """The documents in the order of the file; in place of one that can't be read, why, with FILE:LINE.

        Raises UserError where it can't go on.
        """

    def write(self, folder: Path, corpus: Corpus) -> list[str]:
        """Writes a corpus into an empty folder, so that reading it gives the same one.

        Returns what the format has no room for and was left out, a line each, with counts.
        """


def formats() -> list[Format]:
    """All formats, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [cast(Format, importlib.import_module(f"{__name__}.{name}")) for name in names]
