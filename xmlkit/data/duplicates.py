"""Texts that are nearly the same, found by MinHash with banding (Broder, 1997; Leskovec et al., Mining of
Massive Datasets, chapter 3).

N texts, H hash functions, S shingles of some texts, E pairs of texts that are one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from xmlkit.console import track

BANDS, ROWS = 16, 4  # of hash functions: two texts meet with 0.64 if they share half, with 0.99 if 0.7
LEAST = 0.7  # share of hash functions that agree, an estimate of the shingles' Jaccard
SHINGLES = 2**31 - 1
WORD = r"[\u3040-\u30ff\u3400-\u9fff]|\w+"  # or a character, in scripts without spaces
TEXTS_AT_ONCE = 4096


def near_duplicates(texts: Sequence[str]) -> np.ndarray:
    """(N,) The number of the group of each text; the same words in the same order are always of one group.

    A text's shingles are its words and pairs of words, in lower case. Groups are chains: the first text of
    one need not be near the last.
    """
    signatures_NH = _signatures(texts)
    bands = np.split(signatures_NH, BANDS, axis=1)
    first_E, second_E = np.concatenate(
        [_neighbours(part, signatures_NH) for part in (*bands, signatures_NH)], axis=1
    )
    shape = (len(texts), len(texts))
    graph = sparse.coo_array((np.ones(len(first_E), bool), (first_E, second_E)), shape=shape)
    return np.asarray(connected_components(graph, directed=False)[1])


def _in_one_form(text: str) -> str:
    """In lower case; letters with their accents in one character, where there is one."""
    return unicodedata.normalize("NFC", text).lower()


def _signatures(texts: Sequence[str]) -> np.ndarray:
    """(N, H) uint32: the least hash of a shingle, by each hash function; the largest where there is none."""
    from sklearn.feature_extraction.text import HashingVectorizer  # slow to import

    words = HashingVectorizer(
        preprocessor=_in_one_form,
        token_pattern=WORD,
        ngram_range=(1, 2),
        n_features=SHINGLES,
        alternate_sign=False,
        norm=None,
    )
    rng = np.random.default_rng(0)
    factors = rng.integers(2**63, size=BANDS * ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    found_NH = np.full((len(texts), BANDS * ROWS), np.iinfo(np.uint32).max, np.uint32)
    for start in track(range(0, len(texts), TEXTS_AT_ONCE), "looking for near-duplicates"):
        counts = words.transform(texts[start : start + TEXTS_AT_ONCE])
        rows = start + np.flatnonzero(np.diff(counts.indptr))
        begins = counts.indptr[:-1][np.diff(counts.indptr) > 0]
        if not len(rows):
            continue
        shingles_S = _mixed(counts.indices.astype(np.uint64))
        for number, factor in enumerate(factors):
            hashes_S = ((shingles_S * factor) >> np.uint64(32)).astype(np.uint32)
            found_NH[rows, number] = np.minimum.reduceat(hashes_S, begins)
    return found_NH


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Spread over 64 bits, one to one (the finaliser of MurmurHash3): products alone keep neighbours near."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        numbers = (numbers ^ (numbers >> np.uint64(33))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(33))


def _neighbours(keys_NB: np.ndarray, signatures_NH: np.ndarray) -> np.ndarray:
    """(2, E) Texts of one key, each with the one before it, where they are near enough."""
    order_N = np.lexsort(keys_NB.T)
    same = (keys_NB[order_N[1:]] == keys_NB[order_N[:-1]]).all(1)
    first_E, second_E = order_N[:-1][same], order_N[1:][same]
    near_E = (signatures_NH[first_E] == signatures_NH[second_E]).mean(1) >= LEAST
    return np.stack([first_E[near_E], second_E[near_E]])
