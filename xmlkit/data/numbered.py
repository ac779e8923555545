"""What layouts share in which documents call labels by their numbers from 0, in a list beside them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from xmlkit.data.dialect import Dialect
from xmlkit.data.vocabularies import Vocabulary
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus, Labels


SHORT = {"train": "trn", "test": "tst"}  # how their files call a split


class Listed(NamedTuple):
    """The ids by number, and the list that says them."""

    ids: list[str]
    path: Path

    def check(self, count: int, there: str) -> None:
        """Raises UserError where there are not so many; `there` is what says otherwise."""
        if len(self.ids) != count:
            raise UserError(f"{self.path} has {len(self.ids)} labels and {there} {count}; is it another one?")


def read_listed(folder: Path, vocabulary: Vocabulary, dialect: Dialect) -> Listed | None:
    """None where the folder has none of this kind."""
    path = vocabulary.find(folder)
    return None if path is None else Listed([label.id for label in vocabulary.read(path, dialect)], path)


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
