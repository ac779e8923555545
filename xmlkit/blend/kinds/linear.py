"""`linear`: a tree of linear models over words and pairs of words, as Omikuji trains it.

What Omikuji has as its Bonsai (Khandagale, Xiao, Babbar, "Bonsai: diverse and shallow trees for extreme
multi-label classification", Machine Learning, 2020; https://github.com/tomtung/omikuji). A score p_l is the
product of chances from the root to a label's leaf, the mean of three trees, and

    e_l = log(max(p_l, 1e-6))

Omikuji takes no seed, and two trees of the same documents differ a little: the cache is what makes a second
ensemble equal the first.

N texts, B of them at once, K labels that a text gets, M training documents, F words and pairs of words.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import torch
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from xmlkit.blend.kinds.growing import grow
from xmlkit.blend.kinds.run import LEAST
from xmlkit.blend.member import NAMED, Candidates, Making, Member, floor_N
from xmlkit.blend.towers import Towers
from xmlkit.console import say, unsaid
from xmlkit.data.cache import cache_folder, cache_in, cached, digest
from xmlkit.data.corpus import Corpus, Labels, Split
from xmlkit.data.ragged import Ragged
from xmlkit.errors import UserError
from xmlkit.model.tensor_file import load_tensors, save_tensors

KIND = "linear"
VERSION = 1  # of what is in the cache
WORDS: dict[str, Any] = {"sublinear_tf": True, "ngram_range": (1, 2), "dtype": np.float32}
FEW = 1000  # documents: with fewer, words that only one of them has count, too
TREE = {"cluster_k": 100, "max_depth": 3, "cluster_balanced": False}
BEAM = 20
AT_ONCE = 1024
TRIED = 2048  # documents of a trial
VOCABULARY, IDF, FOREST = "words.json", "idf.safetensors", "tree"


class Linear(Member):
    """The logarithms of a tree's scores."""

    of_score = "logarithm"
    needs = ("omikuji",)

    def __init__(self, words: TfidfVectorizer, tree: Any, labels: Labels):
        self.words, self.tree, self.labels = words, tree, labels

    @classmethod
    def make(cls, what: str, making: Making) -> Self:
        """`what` is empty; a tree that is in the cache is not trained again."""
        if what:
            raise UserError(f"linear:{what}: linear takes nothing behind it; write linear alone")
        load_omikuji()
        corpus, key = making.corpus, _key(making.corpus, making.held_out_N)

        def train(folder: Path) -> None:
            documents = corpus.train.take(np.flatnonzero(~making.held_out_N))
            _train(folder, documents, len(corpus.labels), corpus.source or corpus.name)

        return cls.open(cached(KIND, key, train), corpus.labels, making.towers)

    def candidates(self, texts: Sequence[str], top_k: int) -> Candidates:
        """Those that the tree scores best; none where it knows no word of a text."""
        ids_NK = np.full((len(texts), top_k), -1, np.int64)
        evidence_NK = np.full((len(texts), top_k), np.log(LEAST), np.float32)
        for start in range(0, len(texts), AT_ONCE):
            x_BF = self.words.transform(texts[start : start + AT_ONCE])
            for row, pairs in enumerate(_rows(x_BF), start):
                if not pairs:
                    continue
                found = self.tree.predict(pairs, top_k=top_k, beam_size=BEAM)
                found.sort(key=lambda best: (-best[1], best[0]))  # equal scores come in no order
                ids_NK[row, : len(found)] = [label for label, _ in found]
                scores_K = np.array([score for _, score in found])
                evidence_NK[row, : len(found)] = np.log(scores_K.clip(min=LEAST))
        if ids_NK.max(initial=-1) >= len(self.labels):
            raise UserError("linear: its tree names labels that the ensemble hasn't: put its files back")
        return Candidates(ids_NK, evidence_NK, floor_N(evidence_NK, len(self.labels), np.log(LEAST)))

    def save(self, folder: Path) -> None:
        """Words, their weights, and the tree as Omikuji writes it: nothing that is run when it is read."""
        _write_words(folder, self.words, self.tree.n_trees)
        path = folder / FOREST
        try:
            with quiet():
                self.tree.save(str(path))
        except RuntimeError:
            raise UserError(f"{path}: Omikuji can't write it; is there room on the disk?") from None

    @classmethod
    def open(cls, folder: Path, labels: Labels, towers: Towers) -> Self:
        """What was saved. Raises UserError where it is damaged."""
        omikuji = load_omikuji()
        words, trees = _read_words(folder)
        path = folder / FOREST
        try:
            with quiet():
                tree = omikuji.Model.load(str(path))
        except RuntimeError:
            raise UserError(f"{path} is damaged, or another version's: put the folder back") from None
        # Omikuji opens what is left of a forest without a word.
        if (tree.n_features, tree.n_trees) != (len(words.idf_), trees):
            raise UserError(f"{path} and {VOCABULARY} are not of one member: put both back")
        return cls(words, tree, labels)


def price_of_linear(corpus: Corpus, held_out_N: np.ndarray, asked: int) -> float:
    """Seconds to train a tree that is not in the cache, and to ask it about so many texts, by a trial.

    A tree of more documents has more labels and words, and takes longer for each. On 40,000 library records
    the time of training went as the 1.19th power of their number (from 1,024 to 38,000 of them), that of a
    question as the 0.47th.
    """
    few = Making.of_few(corpus, held_out_N, TRIED)
    with TemporaryDirectory(prefix="xmlkit-") as folder, cache_in(Path(folder)), unsaid():
        begun = time.perf_counter()
        member = Linear.make("", few)
        trained = time.perf_counter() - begun
        texts = few.corpus.train.texts[: TRIED // 8]
        begun = time.perf_counter()
        member.candidates(texts, NAMED)
        question = (time.perf_counter() - begun) / len(texts)
    if (cache_folder() / KIND / _key(corpus, held_out_N)).is_dir():
        trained = 0.0
    more = float((~held_out_N).sum() / len(few.held_out_N))
    return trained * more**1.19 + asked * question * more**0.47


def _key(corpus: Corpus, held_out_N: np.ndarray) -> str:
    """Of all that a tree follows from."""
    settings = f"{VERSION} {version('omikuji')} {WORDS} {FEW} {TREE}"
    return digest(corpus.digest, held_out_N.tobytes().hex(), settings)


def load_omikuji() -> Any:
    """The library. Raises UserError where it is not installed."""
    try:
        import omikuji
    except ImportError:
        raise UserError("linear needs omikuji: pip install omikuji") from None
    return omikuji


@contextmanager
def quiet() -> Iterator[None]:
    """Omikuji's log goes to descriptor 1 and its bars to descriptor 2, whatever Python has for them."""
    kept = {number: os.dup(number) for number in (1, 2)}
    try:
        with open(os.devnull, "wb") as nowhere:
            for number in kept:
                os.dup2(nowhere.fileno(), number)
        yield
    finally:
        for number, was in kept.items():
            os.dup2(was, number)
            os.close(was)


def lines_for_omikuji(x_MF: sparse.csr_matrix, labels: Ragged, num_labels: int) -> Iterator[str]:
    """The file that it trains from: sizes, then a line a document, of labels and of words with weights."""
    yield f"{x_MF.shape[0]} {x_MF.shape[1]} {num_labels}\n"
    for row, pairs in enumerate(_rows(x_MF)):
        weights = " ".join(f"{word}:{weight:.7g}" for word, weight in pairs)
        yield f"{','.join(map(str, labels[row].tolist()))} {weights}\n"


def _rows(x_NF: sparse.csr_matrix) -> Iterator[list[tuple[int, float]]]:
    """Columns, ascending, and weights of each row."""
    x_NF.sort_indices()
    for begin, end in zip(x_NF.indptr[:-1], x_NF.indptr[1:]):
        yield list(zip(x_NF.indices[begin:end].tolist(), x_NF.data[begin:end].tolist()))


def _train(folder: Path, train: Split, num_labels: int, source: str) -> None:
    words = TfidfVectorizer(**WORDS, min_df=1 if len(train) < FEW else 2)
    try:
        x_MF = words.fit_transform(train.texts)
    except ValueError:  # no word is left
        x_MF = sparse.csr_matrix((len(train), 0), dtype=np.float32)
    # Omikuji fails on a line without words.
    rows = np.flatnonzero((np.diff(x_MF.indptr) > 0) & (train.labels.lengths > 0))
    if not len(rows):
        raise UserError(
            f"{source}: linear has nothing to learn from: of the documents that are not held out none has "
            "words and labels; add some, or hold out fewer"
        )
    say(f"linear: Omikuji trains on {len(rows):,} documents and {x_MF.shape[1]:,} words and pairs of words")
    path = folder / "train.txt"
    with path.open("w", encoding="ascii") as file:
        file.writelines(lines_for_omikuji(x_MF[rows], train.labels.take(rows), num_labels))
    _write_words(folder, words, load_omikuji().Model.default_hyper_param().n_trees)
    grow(path, folder / FOREST, TREE)
    path.unlink()


def _write_words(folder: Path, words: TfidfVectorizer, trees: int) -> None:
    in_order = words.get_feature_names_out().tolist()
    (folder / VOCABULARY).write_text(json.dumps(in_order), encoding="utf-8")
    save_tensors(folder / IDF, {"idf_F": torch.from_numpy(words.idf_)}, {"trees": trees})


def _read_words(folder: Path) -> tuple[TfidfVectorizer, int]:
    """The words, and how many trees there are."""
    tensors, note = load_tensors(folder / IDF)
    path = folder / VOCABULARY
    try:
        words = TfidfVectorizer(**WORDS, vocabulary=list(json.loads(path.read_text(encoding="utf-8"))))
        words.idf_ = tensors["idf_F"].numpy()
        return words, int(note["trees"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UserError(f"{path} is damaged, or not that of {IDF}: put both back") from None
