"""Texts without labels, for losses that need none."""

from __future__ import annotations

from pathlib import Path

from xmlkit.console import say
from xmlkit.data.asked import asked
from xmlkit.data.corpus import Corpus
from xmlkit.data.lines import squeezed
from xmlkit.errors import UserError


def check_unlabelled(path: str) -> None:
    """Raises UserError where it is no file."""
    if not Path(path).is_file():
        raise UserError(f"unlabelled={path}: it is no file; name one of texts, one a line, or of a corpus")


def read_unlabelled(path: str, corpus: Corpus) -> list[str]:
    """The texts of a file, one a line or of the format that takes it, read as the corpus is.

    Each text once, and none that is blank or a document of the corpus, be its white space as it may: what is
    held out stays so. Says how many were left out; raises UserError where none are left.
    """
    check_unlabelled(path)
    known = {squeezed(text) for split in corpus.splits.values() for text in split.texts}
    known.add("")
    left, count = list[str](), 0
    for document in asked(path, None, corpus.dialect):
        key, count = squeezed(document.text), count + 1
        if key not in known:
            known.add(key)
            left.append(document.text)
    out = f"; {count - len(left):,} are blank, there twice, or documents of {corpus.name}: left out"
    found = f"unlabelled={path}: {len(left):,} texts{out if len(left) < count else ''}"
    if not left:
        raise UserError(f"{found}; name other texts, or leave it out")
    say(found)
    return left
