"""napkinXC (https://github.com/mwydmuch/napkinXC): its probabilistic label tree, default settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.given import TOP, Given
from benchmarks.peers.kinds.words import WORDS

REQUIREMENTS = ("napkinxc==0.7.2", "scikit-learn>=1.6", "numpy>=2")


def train(given: Given, folder: Path) -> None:
    """From a matrix."""
    import joblib
    from napkinxc.models import PLT
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(**WORDS)
    PLT(str(folder / "plt")).fit(words.fit_transform(given.texts), given.labels)
    joblib.dump(words, folder / "words.joblib")


def load(folder: Path) -> Any:
    """Words and tree."""
    import joblib
    from napkinxc.models import PLT

    tree = PLT(str(folder / "plt"))
    tree.load()
    return joblib.load(folder / "words.joblib"), tree


def predict(model: Any, texts: list[str]) -> list[list[int]]:
    """All at once."""
    words, tree = model
    return tree.predict(words.transform(texts), top_k=TOP)
