"""TF-IDF of words and pairs of words, the same for all linear peers that bring none of their own."""

from __future__ import annotations

from typing import Any

WORDS: dict[str, Any] = {"ngram_range": (1, 2), "sublinear_tf": True, "min_df": 2}
