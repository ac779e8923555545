"""CSV files, plain or gzip: a header, double quotes around a cell that needs them.

Cells are parted by commas, or by what spreadsheets put there where a comma is part of a number: whichever of
`DELIMITERS` comes first that the header has outside quotes.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from xmlkit.data.cells import check_once
from xmlkit.data.lines import LONGEST_LINE, read_lines
from xmlkit.errors import UserError
from xmlkit.files import errors_named

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus
    from xmlkit.data.formats import Document

DELIMITERS = (",", ";", "\t", "|")
QUOTED = re.compile(r'"[^"]*"')

csv.field_size_limit(LONGEST_LINE)  # its own is shorter than many a text


class Row(NamedTuple):
    """A line, or several with line feeds in quotes."""

    number: int
    """Of its first line."""

    cells: dict[str, str]
    """By column."""


class Table(NamedTuple):
    """A file that is opened once, as a pipe must be."""

    header: list[str]
    """The names of the columns; none of an empty file."""

    rows: Iterator[Row | UserError]
    """What stands below the header; blank lines are skipped.

    In place of a row that has more or fewer cells than the header, why; and of each line of one whose quotes
    don't fit, as it may be a row of its own. Raises UserError for a header with a column that is there twice.
    """


def open_rows(path: Path, encoding: str) -> Table:
    """Raises UserError where the header can't be read."""
    found = _read(path, encoding)
    first = next(found, (1, []))
    if isinstance(first, UserError):
        raise first
    header = [name.strip() for name in first[1]]
    return Table(header, _below(header, found, path))


def _below(
    header: list[str], rows: Iterator[tuple[int, list[str]] | UserError], path: Path
) -> Iterator[Row | UserError]:
    check_once(header, f"{path}:1")
    for found in rows:
        if isinstance(found, UserError):
            yield found
            continue
        number, cells = found
        if len(cells) == len(header):
            yield Row(number, dict(zip(header, cells)))
        else:
            yield UserError(f"{path}:{number}: {len(cells)} cells, where the header has {len(header)}")


def _read(path: Path, encoding: str) -> Iterator[tuple[int, list[str]] | UserError]:
    lines = (line for _, line in read_lines(path, encoding, ends=True))
    first = []  # until one is not blank, which is the header's
    for line in lines:
        first.append(line)
        if line.strip("\r\n"):
            break
    header = QUOTED.sub("", "".join(first))
    delimiter = next((mark for mark in DELIMITERS if mark in header), DELIMITERS[0])
    reader = csv.reader(itertools.chain(first, lines), strict=True, delimiter=delimiter)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield UserError(f"{path}:{number}: not valid CSV ({error})")
            for more in range(number + 1, reader.line_num + 1):
                yield UserError(f"{path}:{more}: in quotes since line {number}")
            continue
        if cells:
            yield number, cells


def write_splits(
    folder: Path, corpus: Corpus, header: Sequence[str], cells: Callable[[Document, str], Sequence[str]]
) -> None:
    """A table a split of the cells of each document, called as in `train document 3`.

    The last column is of ids, and there where a document has one.
    """
    for name, split in corpus.splits.items():
        columns = len(header) if split.ids else len(header) - 1
        rows = (
            cells(document, f"{name} document {number}")[:columns]
            for number, document in enumerate(split.documents(), start=1)
        )
        write_rows(folder / f"{name}.csv", header[:columns], rows)


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A file that `open_rows` reads as these."""
    with errors_named(path), path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)  # ends lines by CR LF, so that cells with either of them are quoted
        writer.writerow(header)
        writer.writerows(rows)
