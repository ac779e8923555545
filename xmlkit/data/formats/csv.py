"""Tables in CSV: a column of labels and one or several of text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xmlkit.data.brackets import bare
from xmlkit.data.cells import choose_columns, document
from xmlkit.data.csv_rows import Row, open_rows, write_splits
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import ALL_OF_TABLES, NOTHING_MORE, Document, annif_csv
from xmlkit.data.lines import find_file, has_suffix
from xmlkit.data.vocabularies import tsv
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus

NAME = "csv"
DESCRIPTION = "train.csv, test.csv with columns text and labels, or any that are named"
HOLDS = NOTHING_MORE
HEEDS = ALL_OF_TABLES
SUFFIXES = (".csv",)


def find(folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
    """`train.csv` or `test.csv` with other columns than Annif's."""
    path = find_file(folder, f"{split}.csv")
    return (path,) if path and takes(path, dialect) else None


def takes(path: Path, dialect: Dialect) -> bool:
    """`.csv` with other columns than Annif's."""
    return has_suffix(path, SUFFIXES) and not annif_csv.takes(path, dialect)


def read(paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
    """Row by row."""
    (path,) = paths
    header, rows = open_rows(path, dialect.encoding)
    columns = choose_columns(header, dialect, str(path))
    for row in rows:
        if not isinstance(row, Row):
            yield row
            continue
        try:
            yield document(row.cells, columns, dialect.label_separator)
        except UserError as error:
            yield UserError(f"{path}:{row.number}: {error}")


def write(folder: Path, corpus: Corpus) -> list[str]:
    """Columns `text` and `labels`, and `id` where a document has one; white space between labels."""
    write_splits(folder, corpus, ["text", "labels", "id"], _cells)
    return tsv.write(folder, corpus)


def _cells(document: Document, where: str) -> list[str]:
    return [document.text, bare(document.labels, where, NAME), document.id or ""]
