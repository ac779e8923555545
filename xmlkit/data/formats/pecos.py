"""The folders of PECOS and X-Transformer: a file of texts and a sparse matrix of labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xmlkit.data.dialect import Dialect
from xmlkit.data.filters import Filters, find_filter, write_filter
from xmlkit.data.formats import NO_COLUMNS, Document, Extra
from xmlkit.data.label_matrix import read_matrix, write_matrix
from xmlkit.data.lines import find_file, read_lines
from xmlkit.data.numbered import SHORT, ids_of, labels_to_list
from xmlkit.data.title_mark import lose_mark, without_mark
from xmlkit.data.vocabularies import listed
from xmlkit.data.writing import text_alone, told, write_lines
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus

NAME = "pecos"
DESCRIPTION = "X.trn.txt or train_raw_texts.txt with Y.trn.npz (likewise X.tst.txt, ...)"
HOLDS: frozenset[Extra] = frozenset({"filters", "relevances"})
HEEDS = NO_COLUMNS
SUFFIXES = ()


def find(folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
    """(texts, labels), and a filter where there is one. Texts with labels in a text file are LightXML's."""
    short = SHORT.get(split, split)
    labels = folder / f"Y.{short}.npz"
    texts = find_file(folder, f"X.{short}.txt")
    if texts is None and not find_file(folder, f"{split}_labels.txt"):
        texts = find_file(folder, f"{split}_raw_texts.txt")
    if texts and labels.is_file():
        return texts, labels, *find_filter(folder, split)
    if texts and texts.name.startswith("X."):
        raise UserError(f"{labels}: missing; {texts.name} needs it, a matrix with a row a text")
    if labels.is_file() and not find_file(folder, f"{split}_labels.txt"):
        raise UserError(
            f"{folder / f'X.{short}.txt'}: missing; raw texts are needed beside {labels.name}, a line a row"
        )
    return None


def takes(path: Path, dialect: Dialect) -> bool:
    """None: a split takes two."""
    return False


def read(paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
    """An empty line is an empty text; labels are columns of the matrix, lines of the list of labels."""
    texts, matrix, *filters = paths
    labels, relevances, label_count = read_matrix(matrix)
    ids = ids_of(texts.parent, listed, dialect, label_count, f"{matrix.name} has columns for")
    filtered = Filters(tuple(filters), ids, dialect)
    filtered.check(len(labels))
    count = 0
    for row, (_, text) in enumerate(read_lines(texts, dialect.encoding)):
        if row < len(labels):
            found = [ids[label] for label in labels[row].tolist()]
            values = tuple(relevances[row].tolist())
            yield Document(without_mark(text), found, left_out=filtered.of(row), relevances=values)
        count += row < len(labels) or bool(text.strip())
    if count != len(labels):
        raise UserError(f"{texts} has {count} lines and {matrix} has {len(labels)} rows; a text is a row")


def write(folder: Path, corpus: Corpus) -> list[str]:
    """As PECOS calls them; line feeds in texts become spaces, and all labels are in the list."""
    lost: Counter[str] = Counter()
    labels = labels_to_list(corpus, lost)
    listed.write(folder / "output-items.txt", labels, lost)
    for name, split in corpus.splits.items():
        short, split = SHORT[name], split.numbered_as(labels)
        texts = (lose_mark(text_alone(document, lost), lost) for document in split.documents())
        write_lines(folder / f"X.{short}.txt", texts)
        write_matrix(folder / f"Y.{short}.npz", split.labels, split.relevances, len(labels))
        write_filter(folder, name, split, labels, lost)
    return told(lost)
