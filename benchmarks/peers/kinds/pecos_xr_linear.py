"""PECOS (https://github.com/amzn/pecos): XR-Linear, clusters by PIFA, negatives tfn+man."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.given import TOP, Given
from benchmarks.peers.kinds.words import WORDS

REQUIREMENTS = ("scikit-learn>=1.6,<1.8", "scipy<1.14", "numpy<2")
ALONE = ("libpecos==1.2.8",)  # of the torch and transformers that it asks for, XR-Linear uses nothing


def train(given: Given, folder: Path) -> None:
    """Clusters of labels first."""
    import joblib
    import numpy as np
    from pecos.xmc import Indexer, LabelEmbeddingFactory
    from pecos.xmc.xlinear.model import XLinearModel
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(**WORDS, dtype=np.float32)
    x_NF = words.fit_transform(given.texts)
    joblib.dump(words, folder / "words.joblib")
    columns = [label for labels in given.labels for label in labels]
    offsets = np.cumsum([0, *map(len, given.labels)])
    ones = np.ones(len(columns), np.float32)
    y_NL = csr_matrix((ones, columns, offsets), (len(given.texts), len(given.names)))
    clusters = Indexer.gen(LabelEmbeddingFactory.create(y_NL, x_NF, method="pifa"))
    XLinearModel.train(x_NF, y_NL, C=clusters, negative_sampling_scheme="tfn+man").save(str(folder / "tree"))


def load(folder: Path) -> Any:
    """Words and tree."""
    import joblib
    from pecos.xmc.xlinear.model import XLinearModel

    tree = XLinearModel.load(str(folder / "tree"), is_predict_only=True)
    return joblib.load(folder / "words.joblib"), tree


def predict(model: Any, texts: list[str]) -> list[list[int]]:
    """All at once."""
    words, tree = model
    found_NL = tree.predict(words.transform(texts), only_topk=TOP)
    spans = zip(found_NL.indptr[:-1], found_NL.indptr[1:])
    rows = ((found_NL.indices[start:end], found_NL.data[start:end]) for start, end in spans)
    return [labels[(-scores).argsort(kind="stable")].tolist() for labels, scores in rows]
