"""`labels.tsv`: `<id> TAB name` a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xmlkit.data.dialect import Dialect
from xmlkit.data.lines import find_file, read_lines, without_blank_end
from xmlkit.data.vocabularies import Label
from xmlkit.data.writing import on_one_line, told, write_lines
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus, Labels


def find(folder: Path) -> Path | None:
    """`labels.tsv`."""
    return find_file(folder, "labels.tsv")


def takes(path: Path) -> bool:
    """`.tsv`."""
    return path.name.removesuffix(".gz").endswith(".tsv")


def read(path: Path, dialect: Dialect) -> Iterator[Label]:
    """The name may be empty.

    Raises UserError for a line without a tab or an id, and an id that is there twice.
    """
    seen: set[str] = set()
    for number, line in without_blank_end(read_lines(path, dialect.encoding)):
        label, tab, name = line.partition("\t")
        if not tab:
            raise UserError(f"{path}:{number}: no tab; a line is: <id> TAB name")
        label = label.strip()
        if label.startswith("<") and label.endswith(">"):
            label = label[1:-1]
        if not label:
            raise UserError(f"{path}:{number}: an empty label id; a line is: <id> TAB name")
        if label in seen:
            raise UserError(f"{path}:{number}: label {label} is listed twice; keep one line of it")
        seen.add(label)
        yield Label(f"{path}:{number}", label, name.strip())


def write(folder: Path, corpus: Corpus) -> list[str]:
    """`labels.tsv`, where the training documents alone do not say all of the labels.

    Returns what it has no room for. Raises UserError for an id that no line can hold.
    """
    labels = corpus.labels
    used = len(np.unique(corpus.train.labels.values))
    lost: Counter[str] = Counter()
    if labels.names or used < len(labels) or labels.ids != sorted(labels.ids):
        write_lines(folder / "labels.tsv", (_line(labels, row, lost) for row in range(len(labels))))
    lost["labels whose further names are left out"] = sum(map(bool, labels.alternatives or ()))
    lost["notations of labels that are left out"] = sum(map(bool, labels.notations or ()))
    return told(lost)


def _line(labels: Labels, row: int, lost: Counter[str]) -> str:
    label, name = labels.ids[row], labels.name(row)
    if "\t" in label or "\n" in label:
        raise UserError(
            f"the label {label!r} has a tab or a line feed, which labels.tsv can't hold; rename it"
        )
    if name == label:
        return f"<{label}>\t"
    name = on_one_line(name, lost, "names of labels that lose their line feeds")
    lost["names of labels that lose spaces around them"] += name != name.strip()
    return f"<{label}>\t{name.strip()}"
