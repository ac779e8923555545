"""Omikuji (https://github.com/tomtung/omikuji): as its Parabel with default settings, or as its Bonsai."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.given import TOP, Given
from benchmarks.peers.kinds.words import WORDS

REQUIREMENTS = ("omikuji>=0.5.1,<0.6", "scikit-learn>=1.6", "numpy>=2")


def train(given: Given, folder: Path, **settings: Any) -> None:
    """By way of a file of the Extreme Classification Repository's kind, which it reads."""
    import joblib
    import omikuji
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(**WORDS)
    x_NF = words.fit_transform(given.texts)
    joblib.dump(words, folder / "words.joblib")
    kept = [row for row in range(x_NF.shape[0]) if x_NF[row].nnz and given.labels[row]]
    with (folder / "train.txt").open("w") as file:
        print(len(kept), x_NF.shape[1], len(given.names), file=file)
        for row in kept:
            pairs = (f"{column}:{value:.7g}" for column, value in _pairs(x_NF[row]))
            print(",".join(map(str, given.labels[row])), *pairs, file=file)
    chosen = omikuji.Model.default_hyper_param()
    for name, value in settings.items():
        setattr(chosen, name, value)
    omikuji.Model.train_on_data(str(folder / "train.txt"), chosen).save(str(folder / "tree"))
    (folder / "train.txt").unlink()


def load(folder: Path) -> Any:
    """Words and tree."""
    import joblib
    import omikuji

    return joblib.load(folder / "words.joblib"), omikuji.Model.load(str(folder / "tree"))


def predict(model: Any, texts: list[str]) -> list[list[int]]:
    """A document a call."""
    words, tree = model
    x_NF = words.transform(texts)
    rows = (_pairs(x_NF[row]) for row in range(len(texts)))
    return [[label for label, _ in tree.predict(pairs, top_k=TOP)] if pairs else [] for pairs in rows]


def _pairs(x_F: Any) -> list[tuple[int, float]]:
    x_F.sort_indices()
    return list(zip(x_F.indices.tolist(), x_F.data.tolist()))
