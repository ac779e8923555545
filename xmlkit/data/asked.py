"""Documents to be labelled: plain lines, files and folders of any format, standard input, pipes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from xmlkit.data.corpus import DEMO, documents_of
from xmlkit.data.dialect import Dialect, readable
from xmlkit.data.formats import Document, Format, formats
from xmlkit.data.lines import has_suffix, read_lines, read_stream
from xmlkit.errors import UserError

STANDARD_INPUT = "-"


def asked(file: str, format: Format | None, dialect: Dialect) -> Iterable[Document]:
    """One after the other, in constant memory where the format has that.

    A folder gives its test split. A file is of the format that is named, else of the one that takes it, else
    a text a line; so is `.txt`, unless its format is named, since a text may have tabs. A pipe can be read
    once only: no format looks into it to see whether it is its own, so that one that several take must be
    named.
    """
    dialect = dialect.model_copy(update={"unlabelled": True})
    path = Path("/dev/stdin" if file == STANDARD_INPUT else file)
    if format is not None and path.is_dir():
        raise UserError(
            f"--from {format.NAME}: {file} is a folder, whose files tell its format; leave it out"
        )
    if format is not None:
        if not format.SUFFIXES:
            raise UserError(f"--from {format.NAME}: a split of it is several files; give their folder")
        return _documents(format, path, dialect)
    if file == STANDARD_INPUT:
        return _texts(standard_input(dialect.encoding))
    if file == DEMO or path.is_dir():
        return documents_of(file, dialect=dialect)
    takers = [one for one in formats() if has_suffix(path, one.SUFFIXES) and ".txt" not in one.SUFFIXES]
    if path.is_file():
        takers = [one for one in takers if one.takes(path, dialect)]
    else:
        if len(takers) > 1:
            names = " or ".join(f"--from {one.NAME}" for one in takers)
            raise UserError(f"{file}: a pipe is read once only, so that its format must be named: {names}")
    if not takers and has_suffix(path, (".json",)):
        raise UserError(
            f"{file}: JSON is no text a line; give its folder, or --from jsonl where each line is an object"
        )
    return _documents(takers[0], path, dialect) if takers else _texts(read_lines(path, dialect.encoding))


def standard_input(encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Its lines, by their number. Raises UserError where it is closed."""
    if sys.stdin is None:
        raise UserError("standard input is closed; name a file, or give it something to read")
    return read_stream(sys.stdin.buffer, "standard input", encoding)


def _documents(format: Format, path: Path, dialect: Dialect) -> Iterator[Document]:
    return readable(format.read((path,), dialect), dialect, str(path))


def _texts(lines: Iterable[tuple[int, str]]) -> Iterator[Document]:
    return (Document(text, []) for _, text in lines)
