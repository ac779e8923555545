"""Occlusion (Zeiler and Fergus, ECCV 2014): how far a label's score falls when words are left out.

N variants of a text, K labels, L labels of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xmlkit.explain.words import windows, words
from xmlkit.inference.predict import Predictor

MOST = 64  # words that are left out one by one; of longer texts as many runs of words


@dataclass(frozen=True)
class Fall:
    """What a label's score loses without these characters; below 0 where it rises."""

    text: str
    begin: int
    end: int
    fall: float


def falls(model: Predictor, text: str, rows: Sequence[int]) -> list[list[Fall]]:
    """Of each of these labels, in the order of the text.

    All variants are one ranking. A label that a shortlist holds no longer has the score 0.
    """
    left_out = windows(words(text), MOST)
    variants = [text, *(text[:begin] + text[end:] for begin, end in left_out)]
    allowed_L = np.zeros(len(model.labels), bool)
    allowed_L[list(rows)] = True
    scores_NK, ids_NK = model.rank(variants, len(rows), allowed_L=allowed_L)
    found = []
    for row in rows:
        scores_N = np.where(ids_NK == row, scores_NK, 0.0).sum(1)
        lost = (float(scores_N[0] - score) for score in scores_N[1:])
        found.append([Fall(text[b:e], b, e, fall) for (b, e), fall in zip(left_out, lost, strict=True)])
    return found
