"""The folders of LightXML and AttentionXML: a file of texts and a file of labels, one document a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from xmlkit.data.brackets import bare
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import NO_COLUMNS, NOTHING_MORE, Document
from xmlkit.data.lines import find_file, read_lines
from xmlkit.data.numbered import SHORT
from xmlkit.data.title_mark import lose_mark, without_mark
from xmlkit.data.vocabularies import tsv
from xmlkit.data.writing import on_one_line, told, without_id, write_lines
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus

NAME = "lightxml"
DESCRIPTION = "train_texts.txt or train_raw_texts.txt with train_labels.txt (likewise test_...)"
HOLDS = NOTHING_MORE
HEEDS = NO_COLUMNS
SUFFIXES = ()


def find(folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
    """(texts, labels); the raw texts where both kinds are there, as the others may be stemmed.

    Texts with labels in a matrix are X-Transformer's.
    """
    texts = find_file(folder, f"{split}_raw_texts.txt") or find_file(folder, f"{split}_texts.txt")
    labels = find_file(folder, f"{split}_labels.txt")
    if texts and labels:
        return texts, labels
    if texts and not (folder / f"Y.{SHORT.get(split, split)}.npz").is_file():
        raise UserError(f"{folder / f'{split}_labels.txt'}: missing; {texts.name} needs it, one line a text")
    if labels:
        raise UserError(f"{folder / f'{split}_texts.txt'}: missing; {labels.name} needs it, one line a text")
    return None


def takes(path: Path, dialect: Dialect) -> bool:
    """None: a split takes two."""
    return False


def read(paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
    """Labels are separated by white space; an empty line is an empty text or a document without labels."""
    (texts, labels), encoding = paths, dialect.encoding
    text_count = label_count = 0
    for text, names in zip_longest(read_lines(texts, encoding), read_lines(labels, encoding)):
        if text and names:
            yield Document(without_mark(text[1]), names[1].split())
        # A file's blank lines are documents, but for such as the other one has not.
        text_count += text is not None and bool(names or text[1].strip())
        label_count += names is not None and bool(text or names[1].strip())
    if text_count != label_count:
        raise UserError(
            f"{texts} has {text_count} lines and {labels} has {label_count}; each needs a line a document"
        )


def write(folder: Path, corpus: Corpus) -> list[str]:
    """As `..._raw_texts.txt`; line feeds in texts become spaces."""
    lost: Counter[str] = Counter()
    for name, split in corpus.splits.items():
        texts = (
            on_one_line(
                lose_mark(without_id(document, lost).text, lost),
                lost,
                "texts whose line feeds become spaces",
                "\r\n",
            )
            for document in split.documents()
        )
        write_lines(folder / f"{name}_raw_texts.txt", texts)
        labels = (
            bare(document.labels, f"{name} document {number}", NAME)
            for number, document in enumerate(split.documents(), start=1)
        )
        write_lines(folder / f"{name}_labels.txt", labels)
    return [*told(lost), *tsv.write(folder, corpus)]
