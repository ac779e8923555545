"""Annif's short-text corpus: one document a line, `text TAB <uri> <uri> ...`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from xmlkit.data.formats import Document
from xmlkit.data.lines import find_file, read_lines
from xmlkit.errors import UserError

DESCRIPTION = "train.tsv, test.tsv"
SUFFIX = ".tsv"

LABEL = re.compile(r"<([^<>]*)>|(\S+)")


def find(folder: Path, split: str) -> tuple[Path, ...] | None:
    """`train.tsv` or `test.tsv`."""
    path = find_file(folder, f"{split}.tsv")
    return (path,) if path else None


def read(paths: tuple[Path, ...]) -> Iterator[Document]:
    """Text up to the first tab; then labels in angle brackets (which may hold spaces) or as bare words."""
    (path,) = paths
    for number, line in read_lines(path):
        text, tab, rest = line.partition("\t")
        if not tab:
            raise UserError(f"{path}:{number}: no tab; a line is: text TAB <label> <label> ...")
        labels = [bracketed or bare for bracketed, bare in LABEL.findall(rest)]
        if "" in labels:
            raise UserError(f"{path}:{number}: an empty label <>; remove it or name it")
        yield Document(text, labels)
