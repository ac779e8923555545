"""`labels.tsv`: `<id> TAB name` a line, and perhaps a notation behind a second tab, as in Annif."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xmlkit.data.brackets import without_brackets
from xmlkit.data.dialect import Dialect
from xmlkit.data.lines import find_file, has_suffix, read_lines, without_blank_end
from xmlkit.data.vocabularies import Label, of_all
from xmlkit.data.writing import on_one_line, told, write_lines
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus, Labels


def find(folder: Path) -> Path | None:
    """`labels.tsv`."""
    return find_file(folder, "labels.tsv")


def takes(path: Path) -> bool:
    """`.tsv`."""
    return has_suffix(path, (".tsv",))


def read(path: Path, dialect: Dialect) -> Iterator[Label]:
    """The name may be missing. Raises UserError for a line without an id, and an id that is there twice."""
    seen: set[str] = set()
    for number, line in without_blank_end(read_lines(path, dialect.encoding)):
        label, name, notation = (*line.split("\t", 2), "", "")[:3]
        label = without_brackets(label)
        if not label:
            raise UserError(f"{path}:{number}: an empty label id; a line is: <id> TAB name")
        if label in seen:
            raise UserError(f"{path}:{number}: label {label} is listed twice; keep one line of it")
        seen.add(label)
        name = label if name == label else name.strip()  # an id may have spaces around it
        yield Label(f"{path}:{number}", label, name, (), notation.strip() or None)


ids = of_all(read)


def write(folder: Path, corpus: Corpus) -> list[str]:
    """`labels.tsv`, where the training documents alone do not say all of the labels.

    Returns what it has no room for. Raises UserError for an id that no line can hold.
    """
    labels = corpus.labels
    used = len(np.unique(corpus.train.labels.values))
    lost: Counter[str] = Counter()
    is_told = bool(labels.names or labels.notations)
    if is_told or used < len(labels) or labels.ids != sorted(labels.ids):
        write_lines(folder / "labels.tsv", (_line(labels, row, lost) for row in range(len(labels))))
    lost["labels whose further names are left out"] = sum(map(bool, labels.alternatives or ()))
    return told(lost)


def _line(labels: Labels, row: int, lost: Counter[str]) -> str:
    label, name = labels.ids[row], labels.name(row)
    if "\t" in label or "\n" in label:
        raise UserError(
            f"the label {label!r} has a tab or a line feed, which labels.tsv can't hold; rename it"
        )
    if name != label:
        name = on_one_line(name, lost, "names of labels whose tabs and line feeds become spaces", "\t\r\n")
        lost["names of labels that lose spaces around them"] += name != name.strip()
        name = name.strip() or label  # in place of none: elsewhere a label without a name is not in use
    cells = [f"<{label}>", name]
    if labels.notations and (notation := labels.notations[row]):
        cells.append(" ".join(notation.split()))
    return "\t".join(cells)
