"""`labels.csv`, as Annif has it: columns `uri`, `label_en` and so on for each language, `notation`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from xmlkit.data.brackets import without_brackets
from xmlkit.data.csv_rows import Row, Table, open_rows
from xmlkit.data.dialect import Dialect
from xmlkit.data.language import choose_language
from xmlkit.data.lines import find_file, has_suffix
from xmlkit.data.vocabularies import Label
from xmlkit.errors import UserError

ID, NAME, NOTATION = "uri", "label_", "notation"


def find(folder: Path) -> Path | None:
    """`labels.csv`."""
    return find_file(folder, "labels.csv")


def takes(path: Path) -> bool:
    """`.csv`."""
    return has_suffix(path, (".csv",))


def read(path: Path, dialect: Dialect) -> Iterator[Label]:
    """In the language that is chosen, or the only one.

    Raises UserError for other columns, a row without an id, and an id that is there twice.
    """
    header, rows = _opened(path, dialect)
    languages = [name.removeprefix(NAME) for name in header if name.startswith(NAME)]
    column = NAME + choose_language(languages, dialect.language, str(path))
    for where, label, row in _rows(path, rows):
        yield Label(where, label, row.cells[column].strip(), (), row.cells.get(NOTATION, "").strip() or None)


def ids(path: Path, dialect: Dialect, retired: bool) -> Iterator[str]:
    """None is retired in such a list."""
    return (label for _, label, _ in _rows(path, _opened(path, dialect).rows))


def _opened(path: Path, dialect: Dialect) -> Table:
    found = open_rows(path, dialect.encoding)
    if ID not in found.header or not any(name.startswith(NAME) for name in found.header):
        raise UserError(f"{path}:1: no column {ID} or none for names, such as {NAME}en; the header has both")
    return found


def _rows(path: Path, rows: Iterable[Row | UserError]) -> Iterator[tuple[str, str, Row]]:
    """Each with where it is, and its id."""
    seen: set[str] = set()
    for row in rows:
        if not isinstance(row, Row):
            raise row
        where, label = f"{path}:{row.number}", without_brackets(row.cells[ID])
        if not label:
            raise UserError(f"{where}: an empty {ID}; name the label or remove the row")
        if label in seen:
            raise UserError(f"{where}: label {label} is listed twice; keep one row of it")
        seen.add(label)
        yield where, label, row
