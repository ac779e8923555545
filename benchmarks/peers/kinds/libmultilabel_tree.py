"""LibMultiLabel (https://github.com/ntumlgroup/LibMultiLabel): its linear tree, default settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.given import TOP, Given
from benchmarks.peers.kinds.words import WORDS

REQUIREMENTS = ("libmultilabel==0.10.0", "scikit-learn>=1.6", "numpy>=2", "python-graphblas")
AT_ONCE = 512  # texts: the scores are a dense matrix


def train(given: Given, folder: Path) -> None:
    """From two matrices."""
    import joblib
    import libmultilabel.linear as linear
    import numpy as np
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(**WORDS)
    x_NF = words.fit_transform(given.texts)
    columns = [label for labels in given.labels for label in labels]
    offsets = np.cumsum([0, *map(len, given.labels)])
    y_NL = csr_matrix((np.ones(len(columns)), columns, offsets), (len(given.texts), len(given.names)))
    joblib.dump((words, linear.train_tree(y_NL, x_NF, verbose=False)), folder / "model.joblib")


def load(folder: Path) -> Any:
    """Words and tree."""
    import joblib

    return joblib.load(folder / "model.joblib")


def predict(model: Any, texts: list[str]) -> list[list[int]]:
    """The best of all labels' scores."""
    words, tree = model
    found: list[list[int]] = []
    for start in range(0, len(texts), AT_ONCE):
        scores_BL = tree.predict_values(words.transform(texts[start : start + AT_ONCE]))
        found += (-scores_BL).argsort(axis=1, kind="stable")[:, :TOP].tolist()
    return found
