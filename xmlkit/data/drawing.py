"""Corpora that are drawn from another: a test split of its own, a sample."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from xmlkit.data.corpus import Corpus, Split
from xmlkit.data.duplicates import near_duplicates
from xmlkit.errors import UserError


class Parted(NamedTuple):
    """A corpus with a test split, and what it was parted by."""

    corpus: Corpus
    near_duplicates: int
    """Documents of groups of more than one."""


def parted(corpus: Corpus, share: float, seed: int) -> Parted:
    """About this share of the documents becomes the test split; near-duplicates lie on one side.

    Groups are drawn whole, in random order, as long as they fit: a very large one stays in train. Documents
    keep their order. Raises UserError where there is a test split, or nothing comes to lie on one side.
    """
    name = corpus.source or corpus.name
    if corpus.test is not None:
        raise UserError(f"{name}: there is a test split already; to part train alone, give its file")
    groups = near_duplicates(corpus.train.texts)
    sizes = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(len(sizes))
    in_test = np.zeros(len(sizes), bool)
    room = round(share * len(groups))
    for group in order.tolist():
        if sizes[group] <= room:
            in_test[group] = True
            room -= int(sizes[group])
    test = in_test[groups]
    if test.all() or not test.any():
        raise UserError(
            f"{name}: of {len(groups):,} documents a test share of {share:g} leaves one side empty"
        )
    train = corpus.train.take(np.flatnonzero(~test))
    if not len(train.labels.values):
        raise UserError(f"{name}: no training document would have a label; choose a smaller test share")
    found = replace(corpus, train=train, test=corpus.train.take(np.flatnonzero(test)))
    return Parted(found, int(sizes[sizes > 1].sum()))


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
