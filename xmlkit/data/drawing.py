"""Corpora that are drawn from another: a test split of its own, a sample.

N documents.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from xmlkit.data.corpus import Corpus, Split
from xmlkit.data.duplicates import near_duplicates
from xmlkit.errors import UserError

DATE = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?)?)?)?")  # in order as text


class Parted(NamedTuple):
    """A corpus with a test split, and what is to be known of it."""

    corpus: Corpus
    near_duplicates: int
    """Documents of groups of more than one; of those parted by a column, test documents with one in train."""


def parted(corpus: Corpus, share: float, seed: int) -> Parted:
    """About this share of the documents becomes the test split; near-duplicates lie on one side.

    Groups are drawn whole, in random order, as long as they fit: a very large one stays in train. Documents
    keep their order. Raises UserError where there is a test split, or nothing comes to lie on one side.
    """
    _check_whole(corpus)
    groups_N = near_duplicates(corpus.train.texts)
    sizes = np.bincount(groups_N)
    found = _sides(corpus, _drawn_whole(groups_N, share, seed), f"a test share of {share:g}")
    return Parted(found, int(sizes[sizes > 1].sum()))


def parted_by_value(corpus: Corpus, share: float, seed: int) -> Parted:
    """The same with documents of one value of the dialect's column on one side."""
    number_of: dict[str, int] = {}
    groups_N = np.array([number_of.setdefault(value, len(number_of)) for value in _values(corpus)])
    return _watched(corpus, _drawn_whole(groups_N, share, seed), f"a test share of {share:g}")


def parted_by_time(corpus: Corpus, share: float) -> Parted:
    """The latest documents by the dialect's column become the test split; those of one time stay together.

    As many of the last times as come nearest to the share. Raises UserError for values that are neither all
    numbers nor all dates, besides what `parted` does.
    """
    times, which_N, counts = np.unique(
        _times(_values(corpus), corpus), return_inverse=True, return_counts=True
    )
    in_test = np.cumsum(counts[::-1])[: len(times) - 1]  # documents, by the number of last times
    last = 1 + int(np.argmin(np.abs(in_test - share * len(which_N)))) if len(in_test) else 0
    return _watched(corpus, which_N >= len(times) - last, f"a test share of {share:g}")


def parted_where(corpus: Corpus, values: Collection[str]) -> Parted:
    """The documents with one of these values of the dialect's column become the test split."""
    there = _values(corpus)
    for value in values:
        if value not in there:
            where = f"{corpus.source or corpus.name}: column {corpus.dialect.column}"
            raise UserError(f"{where}: no document has {value!r}; one has {there[0][:80]!r}")
    return _watched(corpus, np.array([value in values for value in there]), "this")


def _check_whole(corpus: Corpus) -> None:
    if corpus.test is not None:
        name = corpus.source or corpus.name
        raise UserError(f"{name}: there is a test split already; to part train alone, give its file")


def _values(corpus: Corpus) -> list[str]:
    _check_whole(corpus)
    if corpus.train.values is None:
        raise UserError(f"{corpus.source or corpus.name}: {corpus.format or corpus.name} has no columns")
    return corpus.train.values


def _times(values: list[str], corpus: Corpus) -> list[float] | list[str]:
    if all(map(_is_number, values)):
        return [float(value) for value in values]
    if odd := [value for value in values if not DATE.fullmatch(value)]:
        told = next((value for value in odd if not _is_number(value)), odd[0])
        where = f"{corpus.source or corpus.name}: column {corpus.dialect.column}"
        raise UserError(f"{where}: {told!r}; write numbers alone, or dates alone as 2024-05-31")
    return [value.replace("T", " ").removesuffix("Z") for value in values]


def _is_number(value: str) -> bool:
    with suppress(ValueError):
        return math.isfinite(float(value))
    return False


def _drawn_whole(groups_N: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Bool (N,): whole groups in random order, as long as they fit."""
    sizes = np.bincount(groups_N)
    in_test = np.zeros(len(sizes), bool)
    room = round(share * len(groups_N))
    for group in np.random.default_rng(seed).permutation(len(sizes)).tolist():
        if sizes[group] <= room:
            in_test[group] = True
            room -= int(sizes[group])
    found_N: np.ndarray = in_test[groups_N]
    return found_N


def _watched(corpus: Corpus, test_N: np.ndarray, what: str) -> Parted:
    """With the number of test documents that have a near-duplicate in train."""
    found = _sides(corpus, test_N, what)
    groups_N = near_duplicates(corpus.train.texts)
    return Parted(found, int(np.isin(groups_N[test_N], groups_N[~test_N]).sum()))


def _sides(corpus: Corpus, test_N: np.ndarray, what: str) -> Corpus:
    """The marked documents as the test split, the others as train, in their order."""
    name = corpus.source or corpus.name
    if test_N.all() or not test_N.any():
        raise UserError(f"{name}: of {len(test_N):,} documents {what} leaves one side empty")
    train = corpus.train.take(np.flatnonzero(~test_N))
    if not len(train.labels.values):
        raise UserError(f"{name}: no training document would have a label; choose a smaller test split")
    return replace(corpus, train=train, test=corpus.train.take(np.flatnonzero(test_N)))


def sampled(corpus: Corpus, documents: int, seed: int) -> Corpus:
    """So many training documents, and the same share of the test split, at least one; their order stays.

    Raises UserError where there are not so many, or none that was drawn has a label.
    """
    name, count = corpus.source or corpus.name, len(corpus.train)
    if documents > count:
        raise UserError(f"{name}: {count:,} training documents, fewer than --documents {documents:,}")
    rng = np.random.default_rng(seed)
    train = _drawn(corpus.train, documents, rng)
    test = corpus.test
    if test is not None:
        test = _drawn(test, max(1, round(documents / count * len(test))), rng)
    if not len(train.labels.values):
        raise UserError(f"{name}: none of the documents drawn has a label; draw more, or with another --seed")
    return replace(corpus, train=train, test=test)


def _drawn(split: Split, count: int, rng: np.random.Generator) -> Split:
    return split.take(np.sort(rng.choice(len(split), count, replace=False)))
