"""A corpus in memory: its labels, its documents, and where they are read from."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xmlkit.console import counted, say
from xmlkit.data.by_name import looked_up
from xmlkit.data.cache import digest
from xmlkit.data.demo import demo_documents, demo_names
from xmlkit.data.dialect import PLAIN, Dialect, readable
from xmlkit.data.features import features_instead, holds_features, of_features
from xmlkit.data.formats import Document, Format, formats
from xmlkit.data.lines import HALF_A_PAIR, has_suffix, is_unicode
from xmlkit.data.ragged import Ragged
from xmlkit.data.texts import Texts, hashes_of
from xmlkit.data.vocabularies import Vocabulary, vocabularies
from xmlkit.errors import UserError

DEMO = "demo"
DEMO_TEST_SHARE = 0.1
WORD = re.compile(r"[^\W\d_]{3}")  # letters, be it in a longer one
HOW_TO_TEST = "name test documents, or part some from train: xmlkit data split"


@dataclass(frozen=True)
class Labels:
    """The labels of a corpus; a label's row is its place in `ids`. `names` is the label text, if known."""

    ids: list[str]
    names: list[str] | None
    alternatives: list[tuple[str, ...]] | None = None  # further names
    notations: list[str | None] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def name(self, row: int) -> str:
        """The label's text, or its id where there is none."""
        return self.ids[row] if self.names is None else self.names[row]

    def text(self, row: int) -> str:
        """What a model reads of the label: its name and any further names, between commas."""
        return ", ".join([self.name(row), *(self.alternatives[row] if self.alternatives else ())])

    def take(self, rows: Sequence[int] | np.ndarray) -> Labels:
        """Those of these rows, in this order."""
        return Labels(
            [self.ids[row] for row in rows],
            self.names and [self.names[row] for row in rows],
            self.alternatives and [self.alternatives[row] for row in rows],
            self.notations and [self.notations[row] for row in rows],
        )

    def and_more(self, ids: list[str], names: list[str] | None = None) -> Labels:
        """These, and behind them labels of which the ids are known, and perhaps the names."""
        return Labels(
            self.ids + ids,
            None if self.names is None else self.names + (names or ids),
            None if self.alternatives is None else [*self.alternatives, *(() for _ in ids)],
            None if self.notations is None else [*self.notations, *(None for _ in ids)],
        )

    @cached_property
    def named_L(self) -> np.ndarray:
        """Bool (L,): which labels have a name that is more than their id."""
        return np.array([self.name(row) != label for row, label in enumerate(self.ids)], bool)

    @cached_property
    def worded_L(self) -> np.ndarray:
        """Bool (L,): which labels have a name; where none has one, which ids are words themselves."""
        if self.named_L.any():
            return self.named_L
        return np.array(["://" not in label and bool(WORD.search(label)) for label in self.ids], bool)

    @cached_property
    def rows(self) -> dict[str, int]:
        """The row of each id."""
        return {label: row for row, label in enumerate(self.ids)}


@dataclass(frozen=True)
class Split:
    """Documents: their texts, and for each the ascending, unique rows of its labels."""

    texts: Sequence[str]  # packed, where they were read
    labels: Ragged
    label_ids: list[str]  # of each row that occurs
    ids: list[str | None] | None = None  # what their owner calls the documents
    left_out: Ragged | None = None  # rows of labels that a ranking of the document is not asked about
    relevances: np.ndarray | None = None  # of each of the labels, where one is not 1; nothing learns by them
    values: list[str] | None = None  # of the column that the dialect names, where the format has one

    def __len__(self) -> int:
        return len(self.texts)

    def documents(self) -> Iterator[Document]:
        """As a file lists them."""
        relevances = self._relevances
        for row, text in enumerate(self.texts):
            labels = [self.label_ids[label] for label in self.labels[row].tolist()]
            left_out = () if self.left_out is None else self.left_out[row].tolist()
            yield Document(
                text,
                labels,
                None if self.ids is None else self.ids[row],
                tuple(self.label_ids[label] for label in left_out),
                relevances=None if relevances is None else tuple(relevances[row].tolist()),
            )

    def take(self, rows: np.ndarray) -> Split:
        """The documents with these row numbers, in this order."""
        relevances = self._relevances
        return Split(
            Texts.of(self.texts).take(rows),
            self.labels.take(rows),
            self.label_ids,
            self.ids and [self.ids[row] for row in rows],
            self.left_out and self.left_out.take(rows),
            None if relevances is None else relevances.take(rows).values,
        )

    @property
    def _relevances(self) -> Ragged | None:
        return None if self.relevances is None else Ragged(self.relevances, self.labels.offsets)

    def numbered_as(self, labels: Labels) -> Split:
        """The same documents with the rows of these labels; others get rows from len(labels) on."""
        rows = dict(labels.rows)
        new_rows = np.array([rows.setdefault(label, len(rows)) for label in self.label_ids], np.int64)
        return self._renumbered(new_rows, list(rows))

    def _renumbered(self, new_rows: np.ndarray, label_ids: list[str]) -> Split:
        order = _order(self.labels, new_rows)
        return replace(
            self,
            labels=Ragged(new_rows[self.labels.values][order], self.labels.offsets),
            label_ids=label_ids,
            left_out=self.left_out
            and Ragged(
                new_rows[self.left_out.values][_order(self.left_out, new_rows)], self.left_out.offsets
            ),
            relevances=None if self.relevances is None else self.relevances[order],
        )


@dataclass(frozen=True)
class Corpus:
    """What a model is trained on and, where there is a test split, measured on.

    Rows from len(labels) on in `test` stand for true labels that no model of this corpus can predict.
    """

    name: str
    labels: Labels
    train: Split
    test: Split | None
    source: str | None = None  # the folder or file that it was read from, or `demo`
    dialect: Dialect = PLAIN  # how it was read
    format: str | None = None  # as what
    files: tuple[Path, ...] = ()  # which ones

    @property
    def splits(self) -> dict[str, Split]:
        """Those that are there, by name."""
        return {"train": self.train} if self.test is None else {"train": self.train, "test": self.test}

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

    def check_same(self, digest: str, what: str | Path) -> None:
        """Raises UserError where what was made from a corpus of this digest was made from another one."""
        if self.digest != digest:
            source = self.source or self.name
            raise UserError(f"{what} was trained on other documents or labels than {source} holds")

    @cached_property
    def names_digest(self) -> str:
        """A key for what labels are called, which a model may be trained on."""
        return digest(self.labels.text(row) for row in range(len(self.labels)))

    def reordered(self, order_L: np.ndarray) -> Corpus:
        """The same corpus with label `order_L[r]` in row r."""
        labels = self.labels.take(order_L)
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


def load_corpus(data: str | Path, dialect: Dialect = PLAIN) -> Corpus:
    """Reads the word "demo" (the embedded corpus), a folder, whose format is found by its files, or one file.

    The documents of one file are training documents. Labels are those that the vocabulary in the folder (as
    `labels.tsv`) has names for, in its order, then the other labels of train in sorted order.
    """
    if data == DEMO:
        splits = _demo_splits()
        names = demo_names(splits["train"])
        labels = Labels(list(names), list(names.values()))
        return replace(_corpus(DEMO, DEMO, labels, splits["train"], splits["test"]), source=DEMO)
    path = Path(data)
    if not is_unicode(str(path)):
        raise UserError(f"{path!r}: a name that is not UTF-8 can't be noted in a run; rename it")
    train: _Found | None
    if path.is_file():
        train, test = _find_file(path, dialect), None
        name, vocabulary = path.name.removesuffix(".gz").rpartition(".")[0], _find_vocabulary(path.parent)
    else:
        train, test = (_find_split(path, split, dialect) for split in ("train", "test"))
        if train is None:
            raise UserError(f"{path}: no training documents; {_what_lacks(path, 'train')}")
        name, vocabulary = path.resolve().name, _find_vocabulary(path)
    labels = _read_vocabulary(vocabulary, dialect)
    corpus = _corpus(
        name,
        str(path),
        labels,
        train.documents(labels),
        test and test.documents(labels),
    )
    files = (*train.paths, *(test.paths if test else ()), *([vocabulary[1]] if vocabulary else ()))
    return replace(corpus, source=str(path.resolve()), dialect=dialect, format=train.format.NAME, files=files)


def load_split(data: str | Path, labels: Labels, split: str = "test", dialect: Dialect = PLAIN) -> Split:
    """Reads a split ("train" or "test") of a folder or of "demo", or one file, for a model of these labels.

    Labels that are not among them get rows from len(labels) on.
    """
    return _split(documents_of(data, split, dialect, labels), dict(labels.rows), str(data), split)


def documents_of(
    data: str | Path, split: str = "test", dialect: Dialect = PLAIN, labels: Labels | None = None
) -> Iterable[Document]:
    """The same, one after the other; without `labels`, those that come by name are not looked up.

    Raises UserError where there is no such split.
    """
    if data == DEMO:
        return _demo_splits()[split]
    path = Path(data)
    found = _find_split(path, split, dialect) if not path.is_file() else _find_file(path, dialect)
    if found is None:
        raise UserError(f"{data}: no {split} split; {_what_lacks(path, split)}")
    return found.documents(labels)


def validation_rows(texts: Sequence[str], share: float, most: int) -> np.ndarray:
    """Marks the documents to validate on: about `share` of all, `most` at most, never all of them.

    Drawn by a hash of the text, so that equal texts stay on one side, and the same ones in every run.
    """
    count = min(most, round(share * len(texts)), len(texts) - 1)
    if count <= 0:
        return np.zeros(len(texts), bool)
    hashes = hashes_of(texts)
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
    labels = known.and_more(added)
    train = train._renumbered(np.array([labels.rows[label] for label in rows]), labels.ids)
    test = None if test_documents is None else _split(test_documents, dict(labels.rows), source, "test")
    return Corpus(name, labels, train, test)


def _split(documents: Iterable[Document], rows: dict[str, int], source: str, split: str) -> Split:
    """Adds each label that is not in `rows` to it, with the next row."""
    ids: list[str | None] = []
    all_left_out: list[tuple[str, ...]] = []
    of_column: list[str] = []
    graded = array("d")  # relevances of the first values; of those behind it is 1
    values, offsets = array("q"), array("q", [0])

    def texts_alone() -> Iterator[str]:
        for text, labels, id, left_out, _, relevant, value in counted(documents, f"reading {source}"):
            ids.append(id)
            all_left_out.append(left_out)
            if value is not None:
                of_column.append(value)
            found = [rows.setdefault(label, len(rows)) for label in labels]
            ascending = sorted(set(found))
            if relevant is not None:
                best: dict[int, float] = {}
                for row, relevance in zip(found, relevant):
                    best[row] = max(relevance, best.get(row, 0.0))
                graded.extend([1.0] * (len(values) - len(graded)))
                graded.extend(best[row] for row in ascending)
            values.extend(ascending)
            offsets.append(len(values))
            yield text

    texts = Texts.of(texts_alone())
    if not texts:
        raise UserError(f"{source}: no documents in the {split} split; add some or remove its file")
    relevances_V = np.ones(len(values))
    relevances_V[: len(graded)] = graded
    return Split(
        texts,
        Ragged(np.array(values, np.int64), np.array(offsets, np.int64)),
        list(rows),
        ids if any(id is not None for id in ids) else None,
        _left_out(all_left_out, rows) if any(all_left_out) else None,
        relevances_V if (relevances_V != 1).any() else None,
        of_column if len(of_column) == len(texts) else None,
    )


def _left_out(of_documents: Sequence[tuple[str, ...]], rows: dict[str, int]) -> Ragged:
    """Their rows; a label that is none of these is in no ranking, so that nothing is to be left out."""
    found = [sorted({rows[label] for label in labels if label in rows}) for labels in of_documents]
    offsets = np.cumsum([0, *map(len, found)])
    return Ragged(np.array([row for some in found for row in some], np.int64), offsets)


def _order(labels: Ragged, rows: np.ndarray) -> np.ndarray:
    """Of the values, so that each document's new rows ascend."""
    documents = np.repeat(np.arange(len(labels)), labels.lengths)
    return np.lexsort((rows[labels.values], documents))


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
        names = list(names)
        if not all(isinstance(name, str) and name for name in names):
            raise UserError(f"{labels_name}[{row}]: {names!r}; a label is a string that is not empty")
        if not is_unicode(text):
            raise UserError(f"{texts_name}[{row}]: {HALF_A_PAIR}")
        if not all(map(is_unicode, names)):
            raise UserError(f"{labels_name}[{row}]: {HALF_A_PAIR}")
        yield Document(text, names)


def _demo_splits() -> dict[str, list[Document]]:
    documents = demo_documents()
    in_test = validation_rows([document.text for document in documents], DEMO_TEST_SHARE, len(documents))
    return {
        "train": [document for document, test in zip(documents, in_test) if not test],
        "test": [document for document, test in zip(documents, in_test) if test],
    }


class _Found(NamedTuple):
    format: Format
    paths: tuple[Path, ...]
    dialect: Dialect

    def documents(self, labels: Labels | None) -> Iterator[Document]:
        """Those that can be read; labels that come by name are some of these."""
        found = self.format.read(self.paths, self.dialect)
        if labels is not None:
            found = looked_up(found, labels, str(self.paths[0]) if self.dialect.labels_by_name else None)
        return readable(found, self.dialect, str(self.paths[0]))


def _find_split(folder: Path, split: str, dialect: Dialect) -> _Found | None:
    if not folder.is_dir():
        problem = "neither a folder nor a file" if folder.exists() else "no such file or folder"
        raise UserError(f"{folder}: {problem}; {_expected_files()}")
    found: list[_Found] = []
    for format in formats():
        paths = format.find(folder, split, dialect)
        if paths:
            found.append(_Found(format, paths, dialect))
    if len(found) > 1:
        names = " and ".join(one.paths[0].name for one in found)
        raise UserError(f"{folder}: {names} are two formats of one split; keep one of them")
    return found[0] if found else None


def _find_file(path: Path, dialect: Dialect) -> _Found:
    for format in formats():
        if format.takes(path, dialect):
            return _Found(format, (path,), dialect)
    if holds_features(path):
        raise UserError(f"{path.parent}: {of_features(path)}")
    if has_suffix(path, (".json",)):
        raise UserError(
            f"{path}: labels of such a file are in lbl.json: give the folder; one whose lines are objects "
            "with their labels is called .jsonl"
        )
    suffixes = sorted({suffix for format in formats() for suffix in format.SUFFIXES})
    raise UserError(
        f"{path}: unknown kind of file, or other lines than its name says; a single file ends in "
        f"{' or '.join(suffixes)} (or .gz added)"
    )


def _what_lacks(folder: Path, split: str) -> str:
    return features_instead(folder, split) or (HOW_TO_TEST if split == "test" else _expected_files())


def _expected_files() -> str:
    return (
        "give a folder with train.tsv, a text, a tab and <label> <label> a line, or files of another format "
        f"(xmlkit data formats lists them), or one such file, or the word {DEMO}"
    )


def _find_vocabulary(folder: Path) -> tuple[Vocabulary, Path] | None:
    found: list[tuple[Vocabulary, Path]] = []
    for vocabulary in vocabularies():
        if (path := vocabulary.find(folder)) is not None:
            found.append((vocabulary, path))
    if len(found) > 1:
        names = " and ".join(path.name for _, path in found)
        raise UserError(f"{folder}: {names} are two lists of labels; keep one of them")
    return found[0] if found else None


def _read_vocabulary(found: tuple[Vocabulary, Path] | None, dialect: Dialect) -> Labels:
    """No labels where the folder has none.

    One without a name, as those have that are not in use any more, is a label if a document has it.
    """
    if found is None:
        return Labels([], None)
    vocabulary, path = found
    every = list(vocabulary.read(path, dialect))
    listed = [label for label in every if label.name]
    if len(listed) < len(every):
        say(f"{path}: {len(every) - len(listed):,} labels have no name, and count where documents have them")
    return Labels(
        [label.id for label in listed],
        [label.name for label in listed],
        [label.alternatives for label in listed] if any(label.alternatives for label in listed) else None,
        [label.notation for label in listed] if any(label.notation for label in listed) else None,
    )
