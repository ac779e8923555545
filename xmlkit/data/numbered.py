"""What layouts share in which documents call labels by their numbers from 0, in a list beside them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from xmlkit.data.dialect import Dialect
from xmlkit.data.vocabularies import Vocabulary
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus, Labels

SHORT = {"train": "trn", "test": "tst"}  # how their files call a split
MOST_LABELS = 10**8  # whose numbers alone take some gigabytes


class Listed(NamedTuple):
    """The ids by number, and the list that says them."""

    ids: list[str]
    path: Path


def read_listed(folder: Path, vocabulary: Vocabulary, dialect: Dialect) -> Listed | None:
    """None where the folder has none of this kind."""
    path = vocabulary.find(folder)
    return None if path is None else Listed([label.id for label in vocabulary.read(path, dialect)], path)


def ids_of(folder: Path, vocabulary: Vocabulary, dialect: Dialect, count: int, there: str) -> list[str]:
    """The ids by number: those of the list or, where the folder has none, the numbers.

    Raises UserError where the list has not so many, or none could; `there` is what says how many.
    """
    names = read_listed(folder, vocabulary, dialect)
    if names and len(names.ids) != count:
        raise UserError(f"{names.path} has {len(names.ids)} labels and {there} {count}; is it another one?")
    if count > MOST_LABELS:
        most = f"more than the {MOST_LABELS:,} that are read; is the file damaged?"
        raise UserError(f"{folder}: {there} {count:,} labels, {most}")
    return names.ids if names else [str(number) for number in range(count)]


class Relevant(NamedTuple):
    """Labels of a document, as it calls them, and the relevance of each."""

    labels: list[int]
    relevances: tuple[float, ...]


def numbers_in(items: Iterable[str], kind: re.Pattern[str], advice: str, count: int) -> Relevant:
    """Of labels that come with a relevance, or without where `kind` lets them; one of 0 is no label.

    Raises UserError for an item that is not of this kind, and a number that is not below `count`.
    """
    labels, relevances = [], []
    for item in items:
        match = kind.fullmatch(item)
        try:
            label, relevance = int(match[1]), float(match[2] or 1)  # type: ignore[index]
        except (TypeError, ValueError):
            raise UserError(f"{item[:40]!r} is no label; {advice}") from None
        if label >= count:
            raise UserError(f"label {label}, where the last one is {count - 1}")
        if not math.isfinite(relevance):
            raise UserError(f"{item[:40]!r}: a relevance is a finite number")
        if relevance > 0:
            labels.append(label)
            relevances.append(relevance)
    return Relevant(labels, tuple(relevances))


def lose_notes(labels: Labels, lost: Counter[str]) -> None:
    """Counts what such lists have no room for."""
    lost["labels whose further names are left out"] += sum(map(bool, labels.alternatives or ()))
    lost["notations of labels that are left out"] += sum(map(bool, labels.notations or ()))


def labels_to_list(corpus: Corpus, lost: Counter[str]) -> Labels:
    """Those of the corpus, and behind them the ones that its test split alone has, which are counted."""
    known = len(corpus.labels)
    if corpus.test is None:
        return corpus.labels
    rows = np.unique(corpus.test.labels.values)
    added = [corpus.test.label_ids[row] for row in rows[rows >= known].tolist()]
    lost["labels that only the test split has, and that join the list"] += len(added)
    return corpus.labels.and_more(added)
