"""Label clusters: balanced spherical 2-means on what the labels' documents are about.

That is the labels' vectors where an encoder makes some, else TF-IDF of their documents.

Shape suffixes: N documents or nodes of the tree, L labels, F hashed words, K clusters, n labels of a node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from scipy import sparse

from xmlkit.data.cache import cached, digest
from xmlkit.data.ragged import Ragged

VERSION = 1  # of everything below: another one finds no old clusters in the cache
NUM_HASHES = 2**20
WORD = r"[\u3040-\u30ff\u3400-\u9fff]|\w\w+"  # or a character, in scripts without spaces
SMALLEST_GAIN = 1e-4  # in mean similarity, as in LightXML's code
MOST_ROUNDS = 20
Features: TypeAlias = "sparse.csr_array | np.ndarray"  # (L, F), a row of length one or zero a label
Cluster: TypeAlias = "Callable[[Features], Clustering]"  # into those of a size and a seed


@dataclass(frozen=True)
class Clustering:
    """Cluster k holds the labels `order_L[starts[k]:starts[k + 1]]`; every label stands in exactly one."""

    order_L: np.ndarray
    starts: np.ndarray  # (K + 1,)


def clusters_of_corpus(
    texts: Sequence[str],
    labels: Ragged,
    num_labels: int,
    largest: int,
    seed: int,
    cluster: Cluster | None = None,
) -> Clustering:
    """Clusters of at most `largest` labels by the training documents, kept in the cache folder.

    `cluster` does what `cluster_labels` does, where that is not to do it.
    """
    rows = (array.tobytes().hex() for array in (labels.values, labels.offsets))
    key = digest(texts, rows, f"{VERSION} {num_labels} {largest} {seed}")
    return _kept(key, lambda: label_features(texts, labels, num_labels), largest, seed, cluster)


def clusters_of_vectors(
    vectors_LD: np.ndarray, largest: int, seed: int, cluster: Cluster | None = None
) -> Clustering:
    """The same by vectors of length one or zero."""
    content = hashlib.sha256(np.ascontiguousarray(vectors_LD).data).hexdigest()
    key = digest(content, f"{VERSION} {vectors_LD.shape} {largest} {seed}")
    return _kept(key, lambda: vectors_LD, largest, seed, cluster)


def _kept(
    key: str, features: Callable[[], Features], largest: int, seed: int, cluster: Cluster | None
) -> Clustering:
    def make(folder: Path) -> None:
        found = cluster(features()) if cluster else cluster_labels(features(), largest, seed)
        np.save(folder / "order.npy", found.order_L)
        np.save(folder / "starts.npy", found.starts)

    folder = cached("clusters", key, make)
    return Clustering(np.load(folder / "order.npy"), np.load(folder / "starts.npy"))


def label_features(texts: Sequence[str], labels: Ragged, num_labels: int) -> sparse.csr_array:
    """(L, F) float32: the L2-normalised sum of the TF-IDF vectors of each label's documents.

    (LightXML, 2021, 3.1; PIFA in PECOS, 2022.) A label that no document carries has a row of zeros.
    Words are hashed, so that memory does not grow with the vocabulary.
    """
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer  # slow to import
    from sklearn.preprocessing import normalize

    words = HashingVectorizer(
        token_pattern=WORD, n_features=NUM_HASHES, alternate_sign=False, norm=None, dtype=np.float32
    )
    tfidf_NF = TfidfTransformer(sublinear_tf=True).fit_transform(words.transform(texts))
    ones = np.ones(len(labels.values), np.float32)
    truth_NL = sparse.csr_array((ones, labels.values, labels.offsets), shape=(len(labels), num_labels))
    return sparse.csr_array(normalize(truth_NL.T.tocsr() @ sparse.csr_array(tfidf_NF)))


def cluster_labels(features_LF: Features, largest: int, seed: int) -> Clustering:
    """Halves all nodes, level by level, until none holds more than `largest` labels.

    Sizes differ by at most one on every level; a node of one label stays whole. The same features and
    seed give the same clusters.
    """
    nodes, levels = [np.arange(features_LF.shape[0])], halvings(features_LF.shape[0], largest, seed)
    for level in levels[:-1]:
        nodes = halve(features_LF, nodes, level.begins_N2)
    return Clustering(np.concatenate(nodes), starts_of(levels))


@dataclass(frozen=True)
class Level:
    """Nodes of the tree, of which only the numbers of labels are known."""

    sizes_N: np.ndarray
    begins_N2: np.ndarray  # places of two labels in each, which its halves begin with; none in the leaves

    def below(self, run: slice) -> slice:
        """Where the halves of a run of these nodes are among those of the next level."""
        ends_N = np.cumsum(np.minimum(self.sizes_N, 2))
        first, last = (int(ends_N[end - 1]) if end else 0 for end in (run.start, run.stop))
        return slice(first, last)


def halvings(num_labels: int, largest: int, seed: int) -> list[Level]:
    """The levels of the tree from the root to the clusters, which depend on numbers alone."""
    rng, sizes_N, levels = np.random.default_rng(seed), np.array([num_labels]), list[Level]()
    while sizes_N.max() > largest:
        begins = [rng.choice(size, 2, replace=False) if size > 2 else (0, 0) for size in sizes_N]
        levels.append(Level(sizes_N, np.array(begins)))
        sizes_N = np.stack([(sizes_N + 1) // 2, sizes_N // 2], 1).ravel()
        sizes_N = sizes_N[sizes_N > 0]
    return [*levels, Level(sizes_N, np.zeros((0, 2), int))]


def starts_of(levels: Sequence[Level]) -> np.ndarray:
    """Where the clusters begin, and the last one ends."""
    return np.concatenate([[0], np.cumsum(levels[-1].sizes_N)])


def halve(features_LF: Features, nodes: Sequence[np.ndarray], begins_N2: np.ndarray) -> list[np.ndarray]:
    """The halves of these nodes, of rows of the features, in order."""
    halves = (_halve(node, features_LF, pair) for node, pair in zip(nodes, begins_N2, strict=True))
    return [half for pair in halves for half in pair if len(half)]


def _own_words(features_nF: sparse.csr_array) -> sparse.csr_array:
    """The same without the words that no label of the node has, so that centres are small."""
    columns, indices = np.unique(features_nF.indices, return_inverse=True)
    shape = (features_nF.shape[0], len(columns))
    return sparse.csr_array((features_nF.data, indices, features_nF.indptr), shape=shape)


def _halve(node: np.ndarray, features_LF: Features, begins_2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spherical 2-means from two of its labels, each half exactly half (the first the larger by one)."""
    if len(node) < 3:
        return node[:1], node[1:]
    features = features_LF[node]
    is_sparse = sparse.issparse(features)
    features_nF = _own_words(features) if is_sparse and features.nnz <= NUM_HASHES else features
    centres_2F = features_nF[begins_2]
    centres_F2 = (centres_2F.toarray() if is_sparse else centres_2F).T
    in_first_n = np.zeros(len(node), bool)
    before = -np.inf
    for _ in range(MOST_ROUNDS):
        similarity_n2 = features_nF @ centres_F2
        order_n = np.argsort(similarity_n2[:, 1] - similarity_n2[:, 0], kind="stable")
        in_first_n[:] = False
        in_first_n[order_n[: (len(node) + 1) // 2]] = True
        now = np.where(in_first_n, *similarity_n2.T).mean()
        if now - before < SMALLEST_GAIN:
            break
        before = now
        sides_n2 = np.stack([in_first_n, ~in_first_n], 1).astype(np.float32)
        sums_F2 = features_nF.T @ sides_n2
        centres_F2 = sums_F2 / np.maximum(np.linalg.norm(sums_F2, axis=0), np.finfo(np.float32).tiny)
    return node[in_first_n], node[~in_first_n]
