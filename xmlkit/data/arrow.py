"""Tables as pyarrow, an extra, reads and writes them: Parquet, Feather, and what `datasets` saves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmlkit.data.cells import check_once, choose_columns, document
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import Document
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Split

AT_ONCE = 1024  # rows
FEATURES = b"huggingface"  # in a schema: what `datasets` knows of the columns


def load_pyarrow() -> Any:
    """The library. Raises UserError where it is missing."""
    try:
        import pyarrow
        import pyarrow.feather
        import pyarrow.parquet
    except ImportError:
        raise UserError("tables in Parquet or Arrow files need pyarrow: pip install pyarrow") from None
    return pyarrow


def read_parquet(path: Path, dialect: Dialect) -> Iterator[Document | UserError]:
    """The documents of one file; see `_documents`."""
    pyarrow = load_pyarrow()
    with errors_told(path, "Parquet"), pyarrow.parquet.ParquetFile(path) as file:
        yield from _documents(path, file.schema_arrow, file.iter_batches(AT_ONCE), dialect)


def read_arrow(path: Path, dialect: Dialect) -> Iterator[Document | UserError]:
    """The same of a file in Arrow's own format: Feather's, or the stream that `datasets` writes."""
    pyarrow = load_pyarrow()
    with errors_told(path, "Arrow"), pyarrow.memory_map(str(path)) as source:
        try:
            file = pyarrow.ipc.open_file(source)
        except pyarrow.ArrowInvalid:
            source.seek(0)
            with pyarrow.ipc.open_stream(source) as stream:
                yield from _documents(path, stream.schema, stream, dialect)
        else:
            batches = (file.get_batch(number) for number in range(file.num_record_batches))
            yield from _documents(path, file.schema, batches, dialect)


@contextmanager
def errors_told(path: Path, kind: str) -> Iterator[None]:
    """The library's errors in a line. Raises UserError."""
    pyarrow = load_pyarrow()
    try:
        yield
    except UserError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        first = str(error).partition("\n")[0]
        raise UserError(f"{path}: cannot be read as {kind} ({first}); check the file") from None


def _documents(
    path: Path, schema: Any, batches: Iterable[Any], dialect: Dialect
) -> Iterator[Document | UserError]:
    """Of a table's rows; numbers of a column of classes are their names, and -1 is none.

    Raises UserError where the columns that are to be read are not there, or one is there twice.
    """
    columns = choose_columns(schema.names, dialect, str(path))
    read = [*dict.fromkeys(filter(None, [*columns.texts, *columns.labels, columns.id, columns.further]))]
    check_once([name for name in schema.names if name in read], str(path))
    of_classes = {name: names for name in columns.labels if (names := _class_names(schema, name)) is not None}
    row = 0
    for batch in batches:
        batch = batch.select(read)
        batch.validate(full=True)  # offsets that lead out of a damaged file would be followed
        for cells in batch.to_pylist():
            row += 1
            try:
                for name, names in of_classes.items():
                    cells[name] = _named(cells[name], names, name)
                yield document(cells, columns, dialect.label_separator)
            except UserError as error:
                yield UserError(f"{path}: row {row}: {error}")


def _class_names(schema: Any, column: str) -> list[str] | None:
    """What the classes of a column are called, where it is one of classes, or of lists of them."""
    try:
        feature = json.loads((schema.metadata or {})[FEATURES])["info"]["features"][column]
    except (KeyError, TypeError, ValueError):
        return None
    if isinstance(feature, Mapping):
        feature = feature.get("feature", feature)
    elif isinstance(feature, list) and feature:
        feature = feature[0]
    is_of_classes = isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel"
    names = feature.get("names") if is_of_classes else None
    is_of_strings = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if is_of_strings else None


def _named(cell: Any, names: list[str], column: str) -> list[str | None]:
    found: list[str | None] = []
    for number in cell if isinstance(cell, list) else [cell]:
        if number is not None and not (isinstance(number, int) and -1 <= number < len(names)):
            raise UserError(f"{column} holds {number!r}, and its classes are 0 to {len(names) - 1}")
        found.append(None if number in (None, -1) else names[number])
    return found


def table_of(split: Split) -> tuple[Any, Iterator[Any]]:
    """The schema, and batches, of `text`, `labels`, and `id` where a document has one."""
    pyarrow = load_pyarrow()
    ids = [] if split.ids is None else [("id", pyarrow.string())]
    schema = pyarrow.schema([*ids, ("text", pyarrow.string()), ("labels", pyarrow.list_(pyarrow.string()))])

    def batches() -> Iterator[Any]:
        documents = split.documents()
        while some := list(islice(documents, AT_ONCE)):
            rows = [{"id": one.id, "text": one.text, "labels": one.labels} for one in some]
            yield pyarrow.RecordBatch.from_pylist(rows, schema)

    return schema, batches()
