"""Which columns of a table are read, and what their cells hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import Document
from xmlkit.errors import UserError

TEXTS, LABELS, IDS = ("text",), ("labels", "label", "subjects"), ("id", "document_id")  # plain names


class Columns(NamedTuple):
    """The names of those that are read."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    id: str | None
    further: str | None


def choose_columns(there: Sequence[str], dialect: Dialect, where: str) -> Columns:
    """Those that the dialect names, or whose names are plain; of labels none of documents to be labelled.

    Raises UserError where there are none.
    """
    texts = dialect.text_columns or (_plain(there, TEXTS, "text", where),)
    check_columns(texts, there, f"{where}: --text-column")
    labels: tuple[str, ...] = ()
    if not dialect.unlabelled:
        labels = dialect.label_column or (_plain(there, LABELS, "label", where),)
        check_columns(labels, there, f"{where}: --label-column")
    id = next((name for name in IDS if name in there and name not in (*texts, *labels)), None)
    check_further(there, dialect, where)
    return Columns(texts, labels, id, dialect.column)


def check_columns(names: Iterable[str], there: Sequence[str], where: str) -> None:
    """Raises UserError for one that is not there."""
    for name in names:
        if name not in there:
            raise UserError(f"{where} {name}: there is no such column; {_listed(there)}")


def check_further(there: Sequence[str], dialect: Dialect, where: str) -> None:
    """Raises UserError where a further column is asked for and is not there."""
    if dialect.column is not None:
        check_columns((dialect.column,), there, f"{where}: column")


def check_once(there: Sequence[str], where: str) -> None:
    """Raises UserError for a column that is there twice."""
    twice = [name for name, count in Counter(there).items() if count > 1]
    if twice:
        raise UserError(f"{where}: the column {twice[0]!r} is there twice; name each once")


def _plain(there: Sequence[str], names: Sequence[str], what: str, where: str) -> str:
    found = [name for name in names if name in there]
    if len(found) != 1:
        several = f"{' and '.join(found)} may be; " if found else ""
        raise UserError(
            f"{where}: which column has the {what}s? {several}name it with --{what}-column; {_listed(there)}"
        )
    return found[0]


def _listed(there: Sequence[str]) -> str:
    if not there:
        return "there are none: it is empty"
    return f"there are {', '.join(there)}"


def document(cells: Mapping[str, Any], columns: Columns, separator: str | None) -> Document:
    """Of a row. Raises UserError that names the column of a cell that holds something else."""
    id = None if columns.id is None else _whole(cells[columns.id])
    if isinstance(id, bool) or not isinstance(id, str | int | None):
        raise UserError(f"{columns.id} holds {_kind(id)}; an id is a string or an integer")
    return Document(
        joined(_text(cells[name], name) for name in columns.texts),
        [label for name in columns.labels for label in _labels(cells[name], name, separator)],
        None if id in (None, "") else str(id),
        value=further_value(cells, columns.further),
    )


def further_value(cells: Mapping[str, Any], name: str | None) -> str | None:
    """What a column, or a key of an object, holds, as text. Raises UserError where it holds nothing."""
    if name is None:
        return None
    cell = cells.get(name)
    if isinstance(cell, datetime) and cell.tzinfo is not None:
        cell = cell.astimezone(UTC).replace(tzinfo=None)
    if cell is None or cell == "" or cell != cell:
        raise UserError(f"{name} holds nothing, and every document needs a value of it")
    if isinstance(cell, bool) or not isinstance(cell, str | int | float | Decimal | date):
        raise UserError(f"{name} holds {_kind(cell)}; a value is a string, a number or a date")
    return str(_whole(cell))


def _whole(cell: Any) -> Any:
    """The same, but of whole numbers with gaps tables make floats."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def joined(texts: Iterable[str]) -> str:
    """Several columns' texts as one, each on lines of its own; empty ones leave nothing."""
    return "\n".join(text for text in texts if text)


def _text(cell: Any, column: str) -> str:
    if not isinstance(cell, str | None):
        raise UserError(f"{column} holds {_kind(cell)}, not text; name another column with --text-column")
    return cell or ""


def _labels(cell: Any, column: str, separator: str | None) -> list[str]:
    """A list as it is; a string cut at the separators."""
    if cell is None:
        return []
    if isinstance(cell, str):
        return [part for part in map(str.strip, cell.split(separator)) if part]
    labels = [_whole(label) for label in (cell if isinstance(cell, list) else [cell]) if label is not None]
    for label in labels:
        if isinstance(label, bool) or not isinstance(label, str | int):
            raise UserError(f"{column} holds {_kind(label)}; a label is a string or an integer")
        if label == "":
            raise UserError(f"{column} holds an empty label; remove it or name it")
    return [str(label) for label in labels]


def _kind(value: Any) -> str:
    kinds = {bool: "a boolean", float: "a number that is no integer", bytes: "bytes", list: "a list"}
    return kinds.get(type(value), f"a {type(value).__name__}")
