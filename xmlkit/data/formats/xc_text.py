"""The Extreme Classification Repository's text layout: a file of texts and one of labels with a header."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xmlkit.data.dialect import Dialect
from xmlkit.data.filters import Filters, find_filter, write_filter
from xmlkit.data.formats import NO_COLUMNS, Document, Extra, xc_json
from xmlkit.data.lines import find_file, read_lines
from xmlkit.data.numbered import SHORT, ids_of, labels_to_list, numbers_in
from xmlkit.data.vocabularies import listed
from xmlkit.data.writing import text_alone, told, write_lines
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus

NAME = "xc-text"
DESCRIPTION = "trn_X.txt with trn_X_Y.txt and Y.txt (likewise tst_X.txt, ...)"
HOLDS: frozenset[Extra] = frozenset({"filters", "relevances"})
HEEDS = NO_COLUMNS
SUFFIXES = ()

HEADER = re.compile(r"\s*([0-9]{1,18})\s+([0-9]{1,18})\s*")
ITEM = re.compile(r"([0-9]+):([0-9.eE+-]+)")


def find(folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
    """(texts, labels), and a filter where there is one; none where the same is there as JSON."""
    short = SHORT.get(split, split)
    texts, labels = find_file(folder, f"{short}_X.txt"), find_file(folder, f"{short}_X_Y.txt")
    if xc_json.find_documents(folder, split) or not (texts or labels):
        return None
    if labels is None:
        raise UserError(
            f"{folder / f'{short}_X_Y.txt'}: missing; {short}_X.txt needs it, the labels of its lines"
        )
    if texts is None:
        has_features = find_file(folder, f"{short}_X_Xf.txt") is not None
        there = (
            f"{short}_X_Xf.txt holds features, and raw texts are needed" if has_features else "it is needed"
        )
        raise UserError(
            f"{folder / f'{short}_X.txt'}: missing; {there} beside {labels.name}, a line a document"
        )
    return texts, labels, *find_filter(folder, split)


def takes(path: Path, dialect: Dialect) -> bool:
    """None: a split takes two."""
    return False


def read(paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
    """A blank line is an empty text, or a document without labels; labels are lines of `Y.txt`."""
    texts, labels, *filters = paths
    lines = read_lines(labels, dialect.encoding)
    header = HEADER.fullmatch(next(lines, (1, ""))[1])
    if not header:
        raise UserError(f"{labels}:1: no header; the first line is: DOCUMENTS LABELS, two numbers")
    row_count, label_count = int(header[1]), int(header[2])
    ids = ids_of(texts.parent, listed, dialect, label_count, f"the header of {labels.name} says")
    filtered = Filters(tuple(filters), ids, dialect)
    filtered.check(row_count)
    text_count = document_count = 0
    text_lines = read_lines(texts, dialect.encoding)
    for number, line in lines:
        if document_count < row_count:
            text = next(text_lines, None)
            text_count += text is not None
            if text is not None:
                try:
                    found = numbers_in(line.split(), ITEM, "write NUMBER:RELEVANCE", label_count)
                    labels_here = [ids[label] for label in found.labels]
                    kept = filtered.of(document_count)
                    yield Document(text[1], labels_here, left_out=kept, relevances=found.relevances)
                except UserError as error:
                    yield UserError(f"{labels}:{number}: {error}")
        document_count += document_count < row_count or bool(line.strip())
    if document_count != row_count:
        raise UserError(f"{labels} has {document_count} documents, and its header says {row_count}")
    text_count += sum(bool(text.strip()) for _, text in text_lines)
    if text_count != row_count:
        raise UserError(
            f"{texts} has {text_count} lines and {labels} has {row_count}; each needs one a document"
        )


def write(folder: Path, corpus: Corpus) -> list[str]:
    """Line feeds in texts become spaces; all labels are in `Y.txt`."""
    lost: Counter[str] = Counter()
    labels = labels_to_list(corpus, lost)
    listed.write(folder / "Y.txt", labels, lost)
    for name, split in corpus.splits.items():
        short, split = SHORT[name], split.numbered_as(labels)
        write_lines(folder / f"{short}_X.txt", (text_alone(document, lost) for document in split.documents()))
        lines = (_line(document, labels.rows) for document in split.documents())
        write_lines(folder / f"{short}_X_Y.txt", [f"{len(split)} {len(labels)}", *lines])
        write_filter(folder, name, split, labels, lost)
    return told(lost)


def _line(document: Document, rows: dict[str, int]) -> str:
    numbers = (rows[label] for label in document.labels)
    relevances = document.relevances or (1.0,) * len(document.labels)
    return " ".join(f"{number}:{_written(value)}" for number, value in zip(numbers, relevances))


def _written(relevance: float) -> str:
    """With five digits, as others write it, where these are all."""
    text = f"{relevance:.5f}"
    return text if float(text) == relevance else repr(relevance)
