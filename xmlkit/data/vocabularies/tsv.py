"""`labels.tsv`: `<id> TAB name` a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xmlkit.data.dialect import Dialect
from xmlkit.data.lines import find_file, read_lines, without_blank_end
from xmlkit.data.vocabularies import Label
from xmlkit.errors import UserError


def find(folder: Path) -> Path | None:
    """`labels.tsv`."""
    return find_file(folder, "labels.tsv")


def takes(path: Path) -> bool:
    """`.tsv`."""
    return path.name.removesuffix(".gz").endswith(".tsv")


def read(path: Path, dialect: Dialect) -> Iterator[Label]:
    """The name may be empty.

    Raises UserError for a line without a tab or an id, and an id that is there twice.
    """
    seen: set[str] = set()
    for number, line in without_blank_end(read_lines(path, dialect.encoding)):
        label, tab, name = line.partition("\t")
        if not tab:
            raise UserError(f"{path}:{number}: no tab; a line is: <id> TAB name")
        label = label.strip()
        if label.startswith("<") and label.endswith(">"):
            label = label[1:-1]
        if not label:
            raise UserError(f"{path}:{number}: an empty label id; a line is: <id> TAB name")
        if label in seen:
            raise UserError(f"{path}:{number}: label {label} is listed twice; keep one line of it")
        seen.add(label)
        yield Label(f"{path}:{number}", label, name.strip())
