"""CAML's tables of MIMIC's discharge summaries: CSV with `SUBJECT_ID,HADM_ID,TEXT,LABELS`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xmlkit.data.cells import check_further, further_value
from xmlkit.data.csv_rows import open_rows, write_rows
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import NO_COLUMNS, NOTHING_MORE, Document
from xmlkit.data.lines import find_file, has_suffix
from xmlkit.data.vocabularies import tsv
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus

NAME = "caml"
DESCRIPTION = "train_full.csv or train_50.csv (likewise test_full.csv, ...)"
HOLDS = NOTHING_MORE
HEEDS = NO_COLUMNS
SUFFIXES = (".csv",)

ID, TEXT, LABELS = COLUMNS = ("HADM_ID", "TEXT", "LABELS")


def find(folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
    """`train_full.csv`, of all codes; else `train_50.csv`, of the 50 most frequent ones."""
    path = find_file(folder, f"{split}_full.csv") or find_file(folder, f"{split}_50.csv")
    return (path,) if path else None


def takes(path: Path, dialect: Dialect) -> bool:
    """`.csv` with these columns."""
    return has_suffix(path, SUFFIXES) and set(COLUMNS) <= set(open_rows(path, dialect.encoding).header)


def read(paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
    """An id is that of the stay, `HADM_ID`; between labels there are semicolons, and a cell may be empty."""
    (path,) = paths
    header, rows = open_rows(path, dialect.encoding)
    missing = [name for name in ((TEXT,) if dialect.unlabelled else COLUMNS) if name not in header]
    if missing:
        raise UserError(
            f"{path}:1: no column {' and no '.join(missing)}; the header is: SUBJECT_ID,HADM_ID,TEXT,LABELS"
        )
    check_further(header, dialect, str(path))
    for row in rows:
        if isinstance(row, UserError):
            yield row
            continue
        try:
            value = further_value(row.cells, dialect.column)
        except UserError as error:
            yield UserError(f"{path}:{row.number}: {error}")
        else:
            labels = filter(None, map(str.strip, row.cells.get(LABELS, "").split(";")))
            yield Document(row.cells[TEXT], list(labels), row.cells.get(ID) or None, value=value)


def write(folder: Path, corpus: Corpus) -> list[str]:
    """As `..._full.csv`, with the number of words as `length`; there is no patient in `SUBJECT_ID`."""
    for name, split in corpus.splits.items():
        rows = (
            _cells(document, f"{name} document {number}")
            for number, document in enumerate(split.documents(), start=1)
        )
        write_rows(folder / f"{name}_full.csv", ["SUBJECT_ID", ID, TEXT, LABELS, "length"], rows)
    return tsv.write(folder, corpus)


def _cells(document: Document, where: str) -> list[str]:
    for label in document.labels:
        if ";" in label or label != label.strip():
            raise UserError(
                f"{where}: the label {label!r} has a semicolon or spaces around it, which {NAME} can't hold"
            )
    words = str(len(document.text.split()))
    return ["", document.id or "", document.text, ";".join(document.labels), words]
