"""Lists of labels in which a label's number is the place of its line: PECOS, X-Transformer, the repository's
text layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xmlkit.data.dialect import Dialect
from xmlkit.data.lines import find_file, read_lines, without_blank_end
from xmlkit.data.numbered import lose_notes
from xmlkit.data.vocabularies import Label, of_all
from xmlkit.data.writing import on_one_line, write_lines

if TYPE_CHECKING:
    from xmlkit.data.corpus import Labels

NAMES = ("output-items.txt", "output-labels.txt")  # of PECOS, beside any of its layouts
BESIDE = {"label_map.txt": "Y.trn.npz", "Y.txt": "trn_X_Y.txt"}  # lists, each beside this file alone


def find(folder: Path) -> Path | None:
    """`output-items.txt` or `output-labels.txt`, else `label_map.txt` or `Y.txt` beside matrices of labels.

    Other projects have files of these two names; and where documents come as JSON, so do the labels.
    """
    for name in NAMES:
        if found := find_file(folder, name):
            return found
    others = ("lbl.json", "lbl.raw.json", "train_labels.txt")
    if any(find_file(folder, name) for name in others):
        return None
    for name, beside in BESIDE.items():
        if find_file(folder, beside) and (found := find_file(folder, name)):
            return found
    return None


def takes(path: Path) -> bool:
    """One of these names."""
    return path.name.removesuffix(".gz") in (*NAMES, *BESIDE)


def read(path: Path, dialect: Dialect) -> Iterator[Label]:
    """Lines that can be ids, one word each and all different, are; else they are names, which may be there
    twice or be empty, and a label's id is its number from 0, as text.

    A label without a name is called by its id.
    """
    lines = [(number, line.strip()) for number, line in without_blank_end(read_lines(path, dialect.encoding))]
    are_ids = can_be_ids([line for _, line in lines])
    for place, (number, line) in enumerate(lines):
        yield Label(f"{path}:{number}", *((line, line) if are_ids else (str(place), line or str(place))))


ids = of_all(read)


def write(path: Path, labels: Labels, lost: Counter[str]) -> None:
    """Ids, or names where the ids are numbers anyway or can't be in a line; counts what is left out."""
    numbers = [str(place) for place in range(len(labels))]
    names = [_line(labels.name(row), numbers[row]) for row in range(len(labels))]
    if can_be_ids(labels.ids) and (labels.ids != numbers or can_be_ids(names)):
        lost["names of labels that are left out"] += int(labels.named_L.sum())
        lines = labels.ids
    else:
        if labels.ids != numbers:
            lost["ids of labels that are left out, which are then known by numbers or names"] += len(labels)
        changed = sum(line != labels.name(row) for row, line in enumerate(names))
        lost["names of labels that lose line feeds and spaces around them"] += changed
        lines = names
    lose_notes(labels, lost)
    write_lines(path, lines)


def can_be_ids(lines: Sequence[str]) -> bool:
    """Whether each is one word, and no two are the same."""
    return len(set(lines)) == len(lines) and all(line.split() == [line] for line in lines)


def _line(name: str, number: str) -> str:
    """A label without a name is called by its number."""
    return on_one_line(name, Counter(), "", "\r\n").strip() or number
