"""What a run or an ensemble says of texts, for a student to learn, be they texts that it has learnt from.

It is kept in the cache folder some thousand texts at a time: what was broken off is gone on with, and a
second student asks nothing anew. N texts, K labels of each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from xmlkit.blend.folder import files_of
from xmlkit.blend.load import load
from xmlkit.console import track
from xmlkit.data.cache import cached, digest
from xmlkit.files import digests
from xmlkit.inference.predict import TEXTS_AT_ONCE, Predictor

VERSION = 1  # of what a run says of seen texts: another one finds no old answers in the cache


def lessons(run: str | Path, texts: Sequence[str], top_k: int = 20) -> Iterator[dict[str, float]]:
    """The scores of each text's best labels, `top_k` at most, by label.

    Of a text that the run has learnt from, what is looked up is told without it: it does not vote for itself.
    All else knows it, and is the surer of its labels. Raises UserError for what is no run, or damaged.
    """
    folder = Path(run)
    key = digest(f"{VERSION} {top_k}", json.dumps(digests(folder, files_of(folder))))
    model = load(folder)
    for start in track(range(0, len(texts), TEXTS_AT_ONCE), f"asking {folder.name}"):
        some = texts[start : start + TEXTS_AT_ONCE]
        kept = cached("lessons", digest(key, some), partial(_ask, model, some, top_k))
        scores_NK, ids_NK = np.load(kept / "scores.npy"), np.load(kept / "labels.npy")
        for scores, ids in zip(scores_NK.tolist(), ids_NK.tolist(), strict=True):
            yield {model.labels.ids[row]: score for score, row in zip(scores, ids, strict=True) if row >= 0}


def _ask(model: Predictor, texts: Sequence[str], top_k: int, folder: Path) -> None:
    scores_NK, ids_NK = model.rank(texts, min(top_k, len(model.labels)), seen=True)
    np.save(folder / "scores.npy", scores_NK.astype(np.float32))
    np.save(folder / "labels.npy", ids_NK.astype(np.int32))
