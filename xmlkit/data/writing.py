"""What formats share when they write, and a corpus written into a new folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xmlkit.console import counted
from xmlkit.data.formats import Document, Format
from xmlkit.data.lines import LONGEST_LINE
from xmlkit.errors import UserError
from xmlkit.files import errors_named, whole_folder

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus

BYTE_ORDER_MARK = "\ufeff"


def write_corpus(corpus: Corpus, out: Path, format: Format) -> list[str]:
    """Into a folder that is new or empty, and holds all of it or nothing; returns what was left out.

    Raises UserError where there is something already, or the format can't hold the corpus.
    """
    with whole_folder(out) as unfinished:
        return [*_without_room(corpus, format), *format.write(unfinished, corpus)]


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """A text file that `read_lines` reads as these lines, of which none holds a line feed."""
    with errors_named(path), path.open("wb") as file:
        for number, line in enumerate(counted(lines, f"writing {path.name}"), start=1):
            if number == 1 and line.startswith(BYTE_ORDER_MARK):  # the first one is none of the text's
                line = BYTE_ORDER_MARK + line
            end = "\r\n" if line.endswith("\r") else "\n"  # of two returns one is the text's
            if len(encoded := (line + end).encode()) > LONGEST_LINE:
                raise UserError(f"{path}:{number}: longer than {LONGEST_LINE >> 20} MiB, the most of a line")
            file.write(encoded)


def on_one_line(text: str, lost: Counter[str], what: str, characters: str = "\n") -> str:
    """The text with a space in place of each of these characters; where there are any, `what` is counted."""
    if not any(character in text for character in characters):
        return text
    lost[what] += 1
    return text.translate(dict.fromkeys(map(ord, characters), " "))


def text_alone(document: Document, lost: Counter[str]) -> str:
    """For formats with a text a line, whose ids have no room; they are counted."""
    lost["ids of documents that are left out"] += document.id is not None
    return on_one_line(document.text, lost, "texts whose line feeds become spaces", "\r\n")


def without_id(document: Document, lost: Counter[str]) -> Document:
    """For formats that have no room for one; they are counted."""
    lost["ids of documents that are left out"] += document.id is not None
    return document


def _without_room(corpus: Corpus, format: Format) -> list[str]:
    """What the format has none for, a line each."""
    lost: Counter[str] = Counter()
    for split in corpus.splits.values():
        if "filters" not in format.HOLDS and split.left_out is not None:
            lost["documents whose filters are left out"] += int(np.count_nonzero(split.left_out.lengths))
        if "relevances" not in format.HOLDS and split.relevances is not None:
            lost["relevances other than 1 that are left out"] += int((split.relevances != 1).sum())
    return told(lost)


def told(lost: Counter[str]) -> list[str]:
    """A line each."""
    return [f"{what}: {count:,}" for what, count in lost.items() if count]
