"""PECOS text2text: one document a line, `0,2 TAB text` or `0::0.1,2::0.8 TAB text`, and a list of labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import NO_COLUMNS, Document, Extra
from xmlkit.data.lines import find_file, has_suffix, read_lines, without_blank_end
from xmlkit.data.numbered import labels_to_list, numbers_in, read_listed
from xmlkit.data.vocabularies import listed
from xmlkit.data.writing import on_one_line, told, without_id, write_lines
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus

NAME = "pecos-text2text"
DESCRIPTION = "training-data.txt or train.txt with output-labels.txt or output-items.txt (likewise test...)"
HOLDS: frozenset[Extra] = frozenset({"relevances"})
HEEDS = NO_COLUMNS
SUFFIXES = (".txt",)

FILES = {"train": "training-data.txt", "test": "test-data.txt"}  # as PECOS calls them
LABEL = re.compile(r"([0-9]+)(?:::([0-9.eE+-]+))?")


def find(folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
    """Lines that call labels by numbers, beside the list of labels: without it they are LibMultiLabel's."""
    for name in (FILES.get(split, f"{split}.txt"), f"{split}.txt"):
        if (path := find_file(folder, name)) and takes(path, dialect):
            return (path,)
    return None


def takes(path: Path, dialect: Dialect) -> bool:
    """`.txt` with a list of labels beside it, but for the other files of such a folder."""
    is_other = listed.takes(path) or path.name.startswith(("X.", "train_raw_texts.", "test_raw_texts."))
    return has_suffix(path, SUFFIXES) and not is_other and has_list(path.parent)


def has_list(folder: Path) -> bool:
    """Whether there is a list of labels as PECOS calls it."""
    return any(find_file(folder, name) for name in listed.NAMES)


def read(paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
    """Labels are lines of the list, from 0; a relevance of 0 is none. Blank lines at the end are skipped."""
    (path,) = paths
    names = read_listed(path.parent, listed, dialect)
    if names is None:
        raise UserError(f"{path}: no {' or '.join(listed.NAMES)} beside it, whose lines its labels are")
    for number, line in without_blank_end(read_lines(path, dialect.encoding)):
        cell, tab, text = line.partition("\t")
        if not tab and dialect.unlabelled:
            yield Document(line, [])
            continue
        try:
            if not tab:
                raise UserError("no tab; a line is: 0,2,3 TAB text")
            items = filter(None, map(str.strip, cell.split(",")))
            found = numbers_in(items, LABEL, "write its number, or NUMBER::RELEVANCE", len(names.ids))
            labels = [names.ids[label] for label in found.labels]
            yield Document(text, labels, relevances=found.relevances)
        except UserError as error:
            yield UserError(f"{path}:{number}: {error}")


def write(folder: Path, corpus: Corpus) -> list[str]:
    """As PECOS calls the files; tabs and line feeds in texts become spaces."""
    lost: Counter[str] = Counter()
    labels = labels_to_list(corpus, lost)
    listed.write(folder / "output-labels.txt", labels, lost)
    for name, split in corpus.splits.items():
        lines = (_line(document, labels.rows, lost) for document in split.documents())
        write_lines(folder / FILES[name], lines)
    return told(lost)


def _line(document: Document, rows: dict[str, int], lost: Counter[str]) -> str:
    text = without_id(document, lost).text
    text = on_one_line(text, lost, "texts whose tabs and line feeds become spaces", "\t\r\n")
    numbers = [str(rows[label]) for label in document.labels]
    if document.relevances is not None:
        numbers = [f"{number}::{value!r}" for number, value in zip(numbers, document.relevances)]
    return f"{','.join(numbers)}\t{text}"
