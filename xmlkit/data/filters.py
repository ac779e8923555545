"""Filter files of the Extreme Classification Repository, `document label` a line, both numbers from 0: labels
that a ranking of the document is not asked about, such as the document itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xmlkit.data.dialect import Dialect
from xmlkit.data.lines import find_file, read_lines
from xmlkit.data.writing import write_lines
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Labels, Split

LINE = re.compile(r"\s*([0-9]{1,18})\s+([0-9]{1,18})\s*")


def find_filter(folder: Path, split: str) -> tuple[Path, ...]:
    """The one of "train" or "test", which may be empty; none where there is none."""
    found = find_file(folder, f"filter_labels_{split}.txt")
    return (found,) if found else ()


class Filters:
    """What a filter file says of each document. Raises UserError for a line that says nothing."""

    def __init__(self, paths: tuple[Path, ...], labels: Sequence[str], dialect: Dialect):
        """`paths` is one file or none; `labels` are the ids by number."""
        self._of: dict[int, list[str]] = {}
        self._last = (-1, "")  # document, and where it is named
        for path in paths:
            for number, line in read_lines(path, dialect.encoding):
                if line.strip():
                    self._add(line, labels, f"{path}:{number}")

    def _add(self, line: str, labels: Sequence[str], where: str) -> None:
        numbers = LINE.fullmatch(line)
        if not numbers:
            raise UserError(f"{where}: not two numbers; a line is: document label, both from 0")
        document, label = int(numbers[1]), int(numbers[2])
        if label >= len(labels):
            raise UserError(f"{where}: label {label}, where the last one is {len(labels) - 1}")
        self._of.setdefault(document, []).append(labels[label])
        self._last = max(self._last, (document, where))

    def of(self, document: int) -> tuple[str, ...]:
        """The labels of the document with this number."""
        return tuple(self._of.get(document, ()))

    def check(self, documents: int) -> None:
        """Raises UserError where one is named that is not among so many."""
        last, where = self._last
        if last >= documents:
            raise UserError(f"{where}: document {last}, where the last one is {documents - 1}")


def write_filter(folder: Path, name: str, split: Split, labels: Labels, lost: Counter[str]) -> None:
    """Of a split that has one; labels that are not among these are left out and counted."""
    if split.left_out is None:
        return
    pairs = [
        (row, labels.rows.get(label))
        for row, document in enumerate(split.documents())
        for label in document.left_out
    ]
    lost["filtered labels that no list has, which are left out"] += sum(label is None for _, label in pairs)
    write_lines(
        folder / f"filter_labels_{name}.txt",
        (f"{row} {label}" for row, label in pairs if label is not None),
    )
