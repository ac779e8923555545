"""Annif's short-text corpus: one document a line, `text TAB <uri> <uri> ...`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import Document
from xmlkit.data.lines import find_file, has_suffix, read_lines, without_blank_end
from xmlkit.errors import UserError

NAME = "annif-tsv"
DESCRIPTION = "train.tsv, test.tsv"
SUFFIXES = (".tsv",)

LABEL = re.compile(r"<([^<>]*)>|(\S+)")


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
        if not tab:
            yield UserError(f"{path}:{number}: no tab; a line is: text TAB <label> <label> ...")
            continue
        found = LABEL.findall(rest)
        labels = [bracketed or bare for bracketed, bare in found]
        if "" in labels:
            yield UserError(f"{path}:{number}: an empty label <>; remove it or name it")
            continue
        for _, bare in found:
            first.setdefault(not bare, number)
        if len(first) > 1:  # most likely words of a text with a tab in it
            raise UserError(
                f"{path}:{first[False]}: labels that are bare words, where line {first[True]} has them in <>"
                ": is there a tab in the text?"
            )
        yield Document(text, labels)
