"""Tables in Feather, which is Arrow's own file format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xmlkit.data.arrow import load_pyarrow, read_arrow, table_of
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import ALL_OF_TABLES, NOTHING_MORE, Document
from xmlkit.data.vocabularies import tsv
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus

NAME = "feather"
DESCRIPTION = "train.feather, test.feather"
HOLDS = NOTHING_MORE
HEEDS = ALL_OF_TABLES
SUFFIXES = (".feather", ".arrow")


def find(folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
    """`train.feather` or `test.feather`."""
    path = folder / f"{split}.feather"
    return (path,) if path.is_file() else None


def takes(path: Path, dialect: Dialect) -> bool:
    """`.feather` or `.arrow`."""
    return path.suffix in SUFFIXES


def read(paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
    """Row by row."""
    (path,) = paths
    return read_arrow(path, dialect)


def write(folder: Path, corpus: Corpus) -> list[str]:
    """Columns `text` and `labels`, and `id` where a document has one."""
    for name, split in corpus.splits.items():
        schema, batches = table_of(split)
        with load_pyarrow().ipc.new_file(str(folder / f"{name}.feather"), schema) as file:
            for batch in batches:
                file.write_batch(batch)
    return tsv.write(folder, corpus)
