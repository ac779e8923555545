"""PECOS (https://github.com/amzn/pecos): XR-Transformer, which learns level by level of a tree of labels.

Its linear ranker reads TF-IDF beside what the encoder says. What is not given is as the library has it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.given import TOP, Given
from benchmarks.peers.kinds.words import WORDS

# What 1.2.8 imports of transformers left it in 4.47; torch is pinned to what was tried with NumPy 1.
REQUIREMENTS = (
    *("torch==2.13.0", "transformers>=4.46,<4.47"),
    *("scikit-learn>=1.6,<1.8", "scipy<1.14", "numpy<2"),
)
ALONE = ("libpecos==1.2.8",)  # peft, datasets and sentencepiece, which it asks for too, are for other models

LONGEST = 128  # tokens


def train(given: Given, folder: Path, steps: int, batch: int) -> None:
    """`steps` a level; all texts are padded to the length that one in twenty is longer than."""
    import joblib
    import numpy as np
    from pecos.xmc.xtransformer.model import XTransformer
    from pecos.xmc.xtransformer.module import MLProblemWithText
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer
    from transformers import AutoTokenizer

    words = TfidfVectorizer(**WORDS, dtype=np.float32)
    x_NF = words.fit_transform(given.texts)
    joblib.dump(words, folder / "words.joblib")
    columns = [label for labels in given.labels for label in labels]
    offsets = np.cumsum([0, *map(len, given.labels)])
    ones = np.ones(len(columns), np.float32)
    y_NL = csr_matrix((ones, columns, offsets), (len(given.texts), len(given.names)))
    tokens = AutoTokenizer.from_pretrained(given.encoder)(given.texts)["input_ids"]
    learn = XTransformer.TrainParams.from_dict({}, recursive=True)
    learn.matcher_params_chain.model_shortcut = given.encoder
    learn.matcher_params_chain.max_steps = steps
    learn.matcher_params_chain.batch_size = batch
    ask = XTransformer.PredParams.from_dict({}, recursive=True)
    ask.matcher_params_chain.truncate_length = min(LONGEST, int(np.quantile([*map(len, tokens)], 0.95)))
    problem = MLProblemWithText(given.texts, y_NL, X_feat=x_NF)
    model = XTransformer.train(problem, train_params=learn, pred_params=ask)
    model.save(str(folder / "model"))


def load(folder: Path) -> Any:
    """Words, encoder and tree."""
    import joblib
    from pecos.xmc.xtransformer.model import XTransformer

    return joblib.load(folder / "words.joblib"), XTransformer.load(str(folder / "model"))


def predict(model: Any, texts: list[str]) -> list[list[int]]:
    """All at once."""
    words, transformer = model
    found_NL = transformer.predict(texts, words.transform(texts), only_topk=TOP)
    spans = zip(found_NL.indptr[:-1], found_NL.indptr[1:])
    rows = ((found_NL.indices[start:end], found_NL.data[start:end]) for start, end in spans)
    return [labels[(-scores).argsort(kind="stable")].tolist() for labels, scores in rows]
