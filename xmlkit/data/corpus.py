"""A corpus in memory: its labels, its documents, and where they are read from."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from xmlkit.data.cache import digest
from xmlkit.data.demo import demo_documents, demo_names
from xmlkit.data.formats import Document, Format, formats
from xmlkit.data.label_names import read_label_names
from xmlkit.data.lines import HALF_A_PAIR, find_file, is_unicode
from xmlkit.data.ragged import Ragged
from xmlkit.errors import UserError

DEMO = "demo"
DEMO_TEST_SHARE = 0.1


@dataclass(frozen=True)
class Labels:
    """The labels of a corpus; a label's row is its place in `ids`. `names` is the label text, if known."""

    ids: list[str]
    names: list[str] | None

    def __len__(self) -> int:
        return len(self.ids)

    def name(self, row: int) -> str:
        """The label's text, or its id where there is none."""
        return self.ids[row] if self.names is None else self.names[row]

    @cached_property
    def named_L(self) -> np.ndarray:
        """Bool (L,): which labels have a name that is more than their id."""
        return np.array([self.name(row) != label for row, label in enumerate(self.ids)], bool)

    @cached_property
    def rows(self) -> dict[str, int]:
        """The row of each id."""
        return {label: row for row, label in enumerate(self.ids)}


@dataclass(frozen=True)
class Split:
    """Documents: their texts, and for each the ascending, unique rows of its labels."""

    texts: list[str]
    labels: Ragged
    label_ids: list[str]  # of each row that occurs

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: np.ndarray) -> Split:
        """The documents with these row numbers, in this order."""
        return Split([self.texts[row] for row in rows], self.labels.take(rows), self.label_ids)

    def numbered_as(self, labels: Labels) -> Split:
        """The same documents with the rows of these labels; others get rows from len(labels) on."""
        rows = dict(labels.rows)
        new_rows = np.array([rows.setdefault(label, len(rows)) for label in self.label_ids], np.int64)
        return Split(self.texts, _renumber(self.labels, new_rows), list(rows))


@dataclass(frozen=True)
class Corpus:
    """What a model is trained on and, where there is a test split, measured on.

    Rows from len(labels) on in `test` stand for true labels that no model of this corpus can predict.
    """

    name: str
    labels: Labels
    train: Split
    test: Split | None
    source: str | None = None  # the folder that it was read from, or `demo`

    @property
    def folder_name(self) -> str:
        """Its name as a folder can have it."""
        return re.sub(r"[^\w.-]+", "-", self.name).strip("-") or "corpus"

    @cached_property
    def digest(self) -> str:
        """A key for what is trained on: texts, label ids, and which document has which."""
        labels = self.train.labels
        rows = (array.tobytes().hex() for array in (labels.values, labels.offsets))
        return digest(self.train.texts, self.labels.ids, rows)

    def reordered(self, order_L: np.ndarray) -> Corpus:
        """The same corpus with label `order_L[r]` in row r."""
        ids, names = self.labels.ids, self.labels.names
        labels = Labels([ids[old] for old in order_L], names and [names[old] for old in order_L])
        test = self.test and self.test.numbered_as(labels)
        return replace(self, labels=labels, train=self.train.numbered_as(labels), test=test)

    @classmethod
    def of(
        cls,
        texts: Sequence[str],
        labels: Sequence[Sequence[str]],
        test_texts: Sequence[str] | None = None,
        test_labels: Sequence[Sequence[str]] | None = None,
        name: str = "corpus",
    ) -> Corpus:
        """Makes a corpus of Python lists: texts, and for each text the list of its labels."""
        test = None
        if test_texts is not None or test_labels is not None:
            test = _paired(
                [] if test_texts is None else test_texts,
                [] if test_labels is None else test_labels,
                "test_texts",
                "test_labels",
            )
        return _corpus(name, name, Labels([], None), _paired(texts, labels, "texts", "labels"), test)


def load_corpus(data: str | Path) -> Corpus:
    """Reads the word "demo" (the embedded corpus) or a folder, whose format is found by its files.

    Labels are those of `labels.tsv` in its order, then the other labels of train in sorted order.
    """
    if data == DEMO:
        splits = _demo_splits()
        names = demo_names(splits["train"])
        labels = Labels(list(names), list(names.values()))
        return replace(_corpus(DEMO, DEMO, labels, splits["train"], splits["test"]), source=DEMO)
    folder = Path(data)
    train = _find_split(folder, "train")
    if train is None:
        raise UserError(f"{folder}: no training documents; {_expected_files()}")
    test = _find_split(folder, "test")
    corpus = _corpus(folder.resolve().name, str(folder), _read_label_names(folder), train, test)
    return replace(corpus, source=str(folder.resolve()))


def load_split(data: str | Path, labels: Labels, split: str = "test") -> Split:
    """Reads a split ("train" or "test") of a folder or of "demo", or one file, for a model of these labels.

    Labels that are not among them get rows from len(labels) on.
    """
    if data == DEMO:
        documents: Iterable[Document] | None = _demo_splits().get(split)
    elif Path(data).is_file():
        documents = read_file(Path(data))
    else:
        documents = _find_split(Path(data), split)
    if documents is None:
        raise UserError(f"{data}: no {split} split; {_expected_files()}")
    return _split(documents, dict(labels.rows), str(data), split)


def read_file(path: Path) -> Iterator[Document]:
    """The documents of one file, whose name says its format. Raises UserError for another kind of name."""
    suffixes = []
    for format in formats():
        if format.SUFFIX:
            if path.name.removesuffix(".gz").endswith(format.SUFFIX):
                return format.read((path,))
            suffixes.append(format.SUFFIX)
    raise UserError(
        f"{path}: unknown kind of file; a single file ends in {' or '.join(suffixes)} (or .gz added)"
    )


def validation_rows(texts: Sequence[str], share: float, most: int) -> np.ndarray:
    """Marks the documents to validate on: about `share` of all, `most` at most, never all of them.

    Drawn by a hash of the text, so that equal texts stay on one side, and the same ones in every run.
    """
    count = min(most, round(share * len(texts)), len(texts) - 1)
    if count <= 0:
        return np.zeros(len(texts), bool)
    digests = (
        hashlib.blake2b(f"0 {text}".encode(errors="surrogatepass"), digest_size=8).digest() for text in texts
    )
    hashes = np.frombuffer(b"".join(digests), "<u8")
    chosen: np.ndarray = hashes < np.partition(hashes, count)[count]
    return chosen


def _corpus(
    name: str,
    source: str,
    known: Labels,
    train_documents: Iterable[Document],
    test_documents: Iterable[Document] | None,
) -> Corpus:
    rows = dict(known.rows)
    train = _split(train_documents, rows, source, "train")
    if not len(train.labels.values):
        raise UserError(f"{source}: no training document has a label; there is nothing to learn")
    added = sorted(list(rows)[len(known) :])
    labels = Labels(known.ids + added, None if known.names is None else known.names + added)
    renumbered = np.array([labels.rows[label] for label in rows])
    train = Split(train.texts, _renumber(train.labels, renumbered), labels.ids)
    test = None if test_documents is None else _split(test_documents, dict(labels.rows), source, "test")
    return Corpus(name, labels, train, test)


def _split(documents: Iterable[Document], rows: dict[str, int], source: str, split: str) -> Split:
    """Adds each label that is not in `rows` to it, with the next row."""
    texts, values, offsets = [], array("q"), array("q", [0])
    for text, labels in documents:
        texts.append(text)
        values.extend(sorted({rows.setdefault(label, len(rows)) for label in labels}))
        offsets.append(len(values))
    if not texts:
        raise UserError(f"{source}: no documents in the {split} split; add some or remove its file")
    return Split(texts, Ragged(np.array(values, np.int64), np.array(offsets, np.int64)), list(rows))


def _renumber(labels: Ragged, rows: np.ndarray) -> Ragged:
    values = rows[labels.values]
    documents = np.repeat(np.arange(len(labels)), labels.lengths)
    return Ragged(values[np.lexsort((values, documents))], labels.offsets)


def _paired(
    texts: Sequence[str], labels: Sequence[Sequence[str]], texts_name: str, labels_name: str
) -> Iterator[Document]:
    if len(texts) != len(labels):
        raise UserError(
            f"{texts_name} has {len(texts)} items and {labels_name} has {len(labels)}; give one each"
        )
    for row, (text, names) in enumerate(zip(texts, labels)):
        if not isinstance(text, str):
            raise UserError(f"{texts_name}[{row}]: {text!r} is not a string; give the text itself")
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise UserError(f"{labels_name}[{row}]: {names!r} is no list; give a list of label names")
        if not all(isinstance(name, str) and name for name in names):
            raise UserError(f"{labels_name}[{row}]: {names!r}; a label is a string that is not empty")
        if not is_unicode(text):
            raise UserError(f"{texts_name}[{row}]: {HALF_A_PAIR}")
        if not all(map(is_unicode, names)):
            raise UserError(f"{labels_name}[{row}]: {HALF_A_PAIR}")
        yield Document(text, list(names))


def _demo_splits() -> dict[str, list[Document]]:
    documents = demo_documents()
    in_test = validation_rows([text for text, _ in documents], DEMO_TEST_SHARE, len(documents))
    return {
        "train": [document for document, test in zip(documents, in_test) if not test],
        "test": [document for document, test in zip(documents, in_test) if test],
    }


def _find_split(folder: Path, split: str) -> Iterator[Document] | None:
    if not folder.is_dir():
        problem = "a file, not a folder" if folder.exists() else "no such file or folder"
        raise UserError(f"{folder}: {problem}; {_expected_files()}")
    found: list[tuple[Format, tuple[Path, ...]]] = []
    for format in formats():
        paths = format.find(folder, split)
        if paths:
            found.append((format, paths))
    if len(found) > 1:
        names = " and ".join(paths[0].name for _, paths in found)
        raise UserError(f"{folder}: {names} are two formats of one split; keep one of them")
    return found[0][0].read(found[0][1]) if found else None


def _expected_files() -> str:
    descriptions = "; or ".join(format.DESCRIPTION for format in formats())
    return f"give a folder with {descriptions} (each plain or .gz), or the word {DEMO}"


def _read_label_names(folder: Path) -> Labels:
    """Reads `labels.tsv`, `<id> TAB name`; no labels where the folder has none."""
    path = find_file(folder, "labels.tsv")
    if path is None:
        return Labels([], None)
    names = {label: name or label for _, label, name in read_label_names(path)}
    return Labels(list(names), list(names.values()))
