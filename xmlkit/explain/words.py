"""The words of a text, by the places of their characters."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")

Place = tuple[int, int]  # the first character, and the one behind the last


def words(text: str) -> list[Place]:
    """Each of them in order."""
    return [found.span() for found in WORD.finditer(text)]


def windows(places: Sequence[Place], most: int) -> list[Place]:
    """At most so many runs of words, each as long as the others but for the last."""
    length = max(-(-len(places) // most), 1)
    runs = (places[start : start + length] for start in range(0, len(places), length))
    return [(run[0][0], run[-1][1]) for run in runs]


def widened(places: Sequence[Place], begin: int, end: int) -> Place:
    """To whole words, where a piece of one is touched."""
    first = bisect_right(places, begin, key=lambda place: place[1])
    behind = bisect_left(places, end, key=lambda place: place[0])
    touched = places[first:behind]
    return min([begin, *(place[0] for place in touched[:1])]), max(
        [end, *(place[1] for place in touched[-1:])]
    )
