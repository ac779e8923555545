"""Occlusion (Zeiler and Fergus, ECCV 2014): how far a label's score falls when words are left out.

N variants of a text, W runs of words, U labels, K ranks, X numbers of a label, its score first, L labels of
the model.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np

from xmlkit.explain.words import Place, windows, words
from xmlkit.inference.predict import Predictor

MOST = 64  # words that are left out one by one; of longer texts as many runs of words
AT_ONCE, CHARACTERS_AT_ONCE = 8, 2**18  # of variants: what else is asked of the model waits so long

Numbers = Callable[[Sequence[str]], np.ndarray]  # of texts, (N, U, X)


@dataclass(frozen=True)
class Fall:
    """What a number loses without these characters; below 0 where it rises."""

    text: str
    begin: int
    end: int
    fall: float


@dataclass(frozen=True)
class Occluded:
    """Numbers of a text's labels, and what they lose."""

    text: str
    left_out: list[Place]
    numbers_UX: np.ndarray
    lost_WUX: np.ndarray

    def falls(self, label: int, number: int = 0) -> tuple[Fall, ...]:
        """In the order of the text."""
        lost = self.lost_WUX[:, label, number].tolist()
        return tuple(
            Fall(self.text[b:e], b, e, fall) for (b, e), fall in zip(self.left_out, lost, strict=True)
        )


def occluded(text: str, numbers: Numbers) -> Generator[None, None, Occluded]:
    """Yields between parts of the variants."""
    left_out = windows(words(text), MOST)
    variants = [text, *(text[:begin] + text[end:] for begin, end in left_out)]
    few = max(1, min(AT_ONCE, CHARACTERS_AT_ONCE // max(len(text), 1)))
    found = []
    for start in range(0, len(variants), few):
        found.append(numbers(variants[start : start + few]))
        yield
    numbers_NUX = np.concatenate(found)
    return Occluded(text, left_out, numbers_NUX[0], numbers_NUX[:1] - numbers_NUX[1:])


def scores_of(model: Predictor, rows: Sequence[int]) -> Numbers:
    """The scores of these labels alone. A label that a shortlist does not hold has 0."""
    allowed_L = np.zeros(len(model.labels), bool)
    allowed_L[list(rows)] = True

    def numbers(texts: Sequence[str]) -> np.ndarray:
        scores_NK, ids_NK = model.rank(texts, len(rows), allowed_L=allowed_L)
        return np.stack([np.where(ids_NK == row, scores_NK, 0.0).sum(1) for row in rows], 1)[..., None]

    return numbers
