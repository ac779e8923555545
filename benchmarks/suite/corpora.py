"""Corpora that parts are given."""

from __future__ import annotations

import sys

from benchmarks.suite.part import LEFT_OUT
from xmlkit.data.corpus import Corpus, load_corpus


def tested(corpus: str) -> Corpus:
    """Read whole. One without test documents has nothing to score a part on, which is then left out."""
    found = load_corpus(corpus)
    if found.test is None:
        print(f"{found.name} has no test documents; add a test file", file=sys.stderr)
        sys.exit(LEFT_OUT)
    return found
