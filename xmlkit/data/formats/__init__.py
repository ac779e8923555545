"""Corpus formats: each module in this folder is one, found by being here. `Format` says what it holds."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, cast


class Document(NamedTuple):
    """One text and the ids of its labels, as the file lists them."""

    text: str
    labels: list[str]


class Format(Protocol):
    """What a format's module defines."""

    DESCRIPTION: str
    """The files that it looks for, for error messages."""

    SUFFIX: str | None
    """How one file that holds a whole split ends (before `.gz`); None where a split takes several files."""

    def find(self, folder: Path, split: str) -> tuple[Path, ...] | None:
        """The files of the split ("train" or "test"); None where there are none; UserError if one lacks."""

    def read(self, paths: tuple[Path, ...]) -> Iterator[Document]:
        """The documents in the order of the file. A UserError for bad input names FILE:LINE."""


def formats() -> list[Format]:
    """All formats, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [cast(Format, importlib.import_module(f"{__name__}.{name}")) for name in names]
