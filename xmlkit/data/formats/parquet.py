"""Tables in Parquet, as one file a split or in the parts that dataset hubs have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xmlkit.data.arrow import load_pyarrow, read_parquet, table_of
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import ALL_OF_TABLES, NOTHING_MORE, Document
from xmlkit.data.parts import find_parts
from xmlkit.data.vocabularies import tsv
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus

NAME = "parquet"
DESCRIPTION = "train.parquet, test.parquet, or data/train-00000-of-00001.parquet and so on"
HOLDS = NOTHING_MORE
HEEDS = ALL_OF_TABLES
SUFFIXES = (".parquet",)


def find(folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
    """`train.parquet`, or its parts in the folder or in its folder `data`."""
    whole = folder / f"{split}.parquet"
    places: list[tuple[Path, ...] | None] = [(whole,) if whole.is_file() else None]
    places += [find_parts(place, split, ".parquet") for place in (folder, folder / "data")]
    found = [paths for paths in places if paths]
    if len(found) > 1:
        first, second = (paths[0].relative_to(folder) for paths in found[:2])
        raise UserError(f"{folder}: {first} and {second} are one split; keep one of them")
    return found[0] if found else None


def takes(path: Path, dialect: Dialect) -> bool:
    """`.parquet`."""
    return path.suffix in SUFFIXES


def read(paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
    """Row by row."""
    for path in paths:
        yield from read_parquet(path, dialect)


def write(folder: Path, corpus: Corpus) -> list[str]:
    """Columns `text` and `labels`, and `id` where a document has one."""
    for name, split in corpus.splits.items():
        schema, batches = table_of(split)
        with load_pyarrow().parquet.ParquetWriter(folder / f"{name}.parquet", schema) as file:
            for batch in batches:
                file.write_batch(batch)
    return tsv.write(folder, corpus)
