"""Annif's short-text corpus: one document a line, `text TAB <uri> <uri> ...`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xmlkit.data.brackets import bracketed, labels_in
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import NO_COLUMNS, NOTHING_MORE, Document
from xmlkit.data.lines import find_file, has_suffix, read_lines, without_blank_end
from xmlkit.data.vocabularies import tsv
from xmlkit.data.writing import on_one_line, told, without_id, write_lines
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus

NAME = "annif-tsv"
DESCRIPTION = "train.tsv, test.tsv"
HOLDS = NOTHING_MORE
HEEDS = NO_COLUMNS
SUFFIXES = (".tsv",)


def find(folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
    """`train.tsv` or `test.tsv`."""
    path = find_file(folder, f"{split}.tsv")
    return (path,) if path else None


def takes(path: Path, dialect: Dialect) -> bool:
    """`.tsv`."""
    return has_suffix(path, SUFFIXES)


def read(paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
    """Text up to the first tab; then labels in angle brackets (which may hold spaces), or all as bare words.

    Blank lines at the end are skipped.
    """
    (path,) = paths
    first: dict[bool, int] = {}  # the line with the first bare label, and with the first one in brackets
    for number, line in without_blank_end(read_lines(path, dialect.encoding)):
        text, tab, rest = line.partition("\t")
        if not tab and not dialect.unlabelled:
            yield UserError(f"{path}:{number}: no tab; a line is: text TAB <label> <label> ...")
            continue
        found = labels_in(rest)
        labels = [one.label for one in found]
        if "" in labels:
            yield UserError(f"{path}:{number}: an empty label <>; remove it or name it")
            continue
        for one in found:
            first.setdefault(one.is_bracketed, number)
        if len(first) > 1:  # most likely words of a text with a tab in it
            raise UserError(
                f"{path}:{first[False]}: labels that are bare words, where line {first[True]} has them in <>"
                ": is there a tab in the text?"
            )
        yield Document(text, labels)


def write(folder: Path, corpus: Corpus) -> list[str]:
    """Labels in angle brackets; tabs and line feeds in texts become spaces."""
    lost: Counter[str] = Counter()
    for name, split in corpus.splits.items():
        lines = (
            _line(document, f"{name} document {number}", lost)
            for number, document in enumerate(split.documents(), start=1)
        )
        write_lines(folder / f"{name}.tsv", lines)
    return [*told(lost), *tsv.write(folder, corpus)]


def _line(document: Document, where: str, lost: Counter[str]) -> str:
    text, labels, *_ = without_id(document, lost)
    text = on_one_line(text, lost, "texts whose tabs and line feeds become spaces", "\t\r\n")
    return f"{text}\t{bracketed(labels, where, NAME)}"
