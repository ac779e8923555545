"""Annif's CSV corpus: columns `text` and `subject_uris`, `document_id` and any others, which are metadata."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xmlkit.data.brackets import bracketed, labels_in
from xmlkit.data.cells import check_columns, check_further, further_value, joined
from xmlkit.data.csv_rows import Row, open_rows, write_splits
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import NOTHING_MORE, TEXT_COLUMNS, Document
from xmlkit.data.lines import find_file, has_suffix
from xmlkit.data.vocabularies import tsv
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus

NAME = "annif-csv"
DESCRIPTION = "train.csv, test.csv with columns text and subject_uris"
HOLDS = NOTHING_MORE
HEEDS = TEXT_COLUMNS
SUFFIXES = (".csv",)
TEXT, LABELS, ID = "text", "subject_uris", "document_id"


def find(folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
    """`train.csv` or `test.csv` with Annif's columns."""
    path = find_file(folder, f"{split}.csv")
    return (path,) if path and takes(path, dialect) else None


def takes(path: Path, dialect: Dialect) -> bool:
    """`.csv` with Annif's columns, where the labels are not said to be elsewhere."""
    if (
        not has_suffix(path, SUFFIXES)
        or dialect.label_column not in ((), (LABELS,))
        or dialect.label_separator
    ):
        return False
    return {*(dialect.text_columns or (TEXT,)), LABELS} <= set(open_rows(path, dialect.encoding).header)


def read(paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
    """URIs are between white space, in angle brackets or without.

    Text columns that are chosen, metadata too, are put together as Annif's transform `select` does.
    """
    (path,) = paths
    texts = dialect.text_columns or (TEXT,)
    header, rows = open_rows(path, dialect.encoding)
    check_columns(texts, header, f"{path}: --text-column")
    if not dialect.unlabelled:
        check_columns((LABELS,), header, f"{path}:")
    check_further(header, dialect, str(path))
    for row in rows:
        yield _document(row, texts, dialect, path) if isinstance(row, Row) else row


def _document(row: Row, texts: tuple[str, ...], dialect: Dialect, path: Path) -> Document | UserError:
    found = labels_in(row.cells.get(LABELS, ""))
    labels = [one.label for one in found]
    if "" in labels:
        return UserError(f"{path}:{row.number}: an empty label <>; remove it or name it")
    bare = [one.label for one in found if not one.is_bracketed]
    is_mixed = 0 < len(bare) < len(found) or any(label.startswith("<") for label in bare)
    if is_mixed and not dialect.unlabelled:
        return UserError(f"{path}:{row.number}: {LABELS} holds {bare[0]!r} outside of <>; write <uri> <uri>")
    try:
        value = further_value(row.cells, dialect.column)
    except UserError as error:
        return UserError(f"{path}:{row.number}: {error}")
    text = joined(row.cells[name] for name in texts)
    return Document(text, labels, row.cells.get(ID) or None, value=value)


def write(folder: Path, corpus: Corpus) -> list[str]:
    """With a column of ids where a document has one; labels in angle brackets."""
    write_splits(folder, corpus, [TEXT, LABELS, ID], _cells)
    return tsv.write(folder, corpus)


def _cells(document: Document, where: str) -> list[str]:
    return [document.text, bracketed(document.labels, where, NAME), document.id or ""]
