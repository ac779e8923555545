"""Label features and balanced clusters, against slow references and by their promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from xmlkit.data.ragged import Ragged
from xmlkit.labels import clusters as module
from xmlkit.labels.clusters import (
    cluster_labels,
    clusters_of_corpus,
    clusters_of_vectors,
    label_features,
)

TEXTS = ["red green red", "green blue", "cold north cold", "north wind", "", "red"]
LABELS = Ragged.of([[0, 1], [1], [2, 3], [3], [1], []])


def features(num_labels, seed=0, words=30, density=0.2):
    rng = np.random.default_rng(seed)
    is_there = rng.random((num_labels, words)) < density
    return sparse.csr_array(np.where(is_there, rng.random((num_labels, words), np.float32), 0))


def slow_halves(rows_nF, first, second):
    """Balanced spherical 2-means, densely, document by document."""
    centres = [rows_nF[first], rows_nF[second]]
    before = -np.inf
    for _ in range(20):
        gain = [row @ centres[0] - row @ centres[1] for row in rows_nF]
        order = sorted(range(len(rows_nF)), key=lambda i: -gain[i])
        chosen = set(order[: (len(rows_nF) + 1) // 2])
        now = np.mean([row @ centres[i not in chosen] for i, row in enumerate(rows_nF)])
        if now - before < 1e-4:
            break
        before = now
        for side in (0, 1):
            total = sum(row for i, row in enumerate(rows_nF) if (i not in chosen) == side)
            centres[side] = total / (np.linalg.norm(total) or 1)
    return chosen


@given(st.integers(1, 120), st.integers(1, 40), st.integers(0, 5))
def test_every_label_in_one_cluster_and_sizes_differ_by_one(num_labels, largest, seed):
    found = cluster_labels(features(num_labels, seed), largest, seed)
    sizes = np.diff(found.starts)
    assert sorted(found.order_L.tolist()) == list(range(num_labels))
    assert found.starts[0] == 0 and found.starts[-1] == num_labels
    assert sizes.min() >= 1 and sizes.max() <= largest and sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize(
    ("num_labels", "largest", "expected"),
    [
        (201, 100, [50, 50, 50, 51]),  # a level that is above and below 100 at once
        (4000, 32, [31] * 96 + [32] * 32),
        (3, 1, [1, 1, 1]),
        (3, 2, [1, 2]),
        (7, 100, [7]),
        (1, 1, [1]),
    ],
)
def test_sizes(num_labels, largest, expected):
    found = cluster_labels(features(num_labels, words=200), largest, 0)
    assert sorted(np.diff(found.starts).tolist()) == expected


def test_a_split_is_that_of_the_slow_reference():
    whole = features(31, seed=3)
    found = cluster_labels(whole, 16, seed=7)
    first, second = np.random.default_rng(7).choice(31, 2, replace=False)
    assert set(found.order_L[: found.starts[1]].tolist()) == slow_halves(whole.toarray(), first, second)


@pytest.mark.parametrize("seed", range(5))
def test_labels_of_one_subject_stay_together(seed):
    rows = np.zeros((8, 4), np.float32)
    rows[::2, :2] = [[1, 0.1], [0.9, 0.2], [1, 0.3], [0.8, 0.1]]
    rows[1::2, 2:] = [[1, 0.1], [0.9, 0.2], [1, 0.3], [0.8, 0.1]]
    found = cluster_labels(sparse.csr_array(rows), 4, seed)
    assert {frozenset(half.tolist()) for half in np.split(found.order_L, [4])} == {
        frozenset({0, 2, 4, 6}),
        frozenset({1, 3, 5, 7}),
    }


def test_features_are_normalised_sums_of_tfidf():
    """Their inner products are those of scikit-learn's own TF-IDF, summed by hand."""
    found = label_features(TEXTS, LABELS, 5)
    tfidf = TfidfVectorizer(sublinear_tf=True).fit_transform(TEXTS).toarray()
    sums = np.stack([tfidf[0], tfidf[0] + tfidf[1] + tfidf[4], tfidf[2], tfidf[2] + tfidf[3], 0 * tfidf[0]])
    expected = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
    np.testing.assert_allclose((found @ found.T).toarray(), expected @ expected.T, atol=1e-6)


def test_a_label_without_documents_and_texts_without_words():
    found = clusters_of_corpus(TEXTS, LABELS, 9, 3, 0)  # labels 4 to 8 have none
    assert sorted(found.order_L.tolist()) == list(range(9))
    bare = clusters_of_corpus(["", "?!"], Ragged.of([[0], [1, 2]]), 3, 2, 0)
    assert sorted(np.diff(bare.starts).tolist()) == [1, 2]


def test_the_seed_decides_and_the_cache_remembers(monkeypatch):
    whole = features(100)
    a, b, c = (cluster_labels(whole, 9, seed).order_L for seed in (1, 1, 2))
    assert np.array_equal(a, b) and not np.array_equal(a, c)
    first = clusters_of_corpus(TEXTS, LABELS, 4, 2, 11)
    monkeypatch.setattr(module, "cluster_labels", None)
    again = clusters_of_corpus(TEXTS, LABELS, 4, 2, 11)
    assert np.array_equal(first.order_L, again.order_L) and np.array_equal(first.starts, again.starts)
    with pytest.raises(TypeError):  # another seed is another entry
        clusters_of_corpus(TEXTS, LABELS, 4, 2, 12)


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 5))
def test_dense_vectors_are_clustered_as_the_same_ones_that_are_sparse(num_labels, largest, seed):
    vectors_LD = np.random.default_rng(seed).normal(size=(num_labels, 6)).astype(np.float32)
    vectors_LD[seed % num_labels] = 0  # nothing is known of it
    dense, thin = (cluster_labels(some, largest, seed) for some in (vectors_LD, sparse.csr_array(vectors_LD)))
    assert dense.order_L.tolist() == thin.order_L.tolist() and dense.starts.tolist() == thin.starts.tolist()


def test_clusters_of_vectors_are_kept_by_content(tmp_path, monkeypatch):
    monkeypatch.setenv("XMLKIT_CACHE", str(tmp_path))
    vectors_LD = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    first = clusters_of_vectors(vectors_LD, 8, 0)
    monkeypatch.setattr(module, "cluster_labels", None)  # it would be called
    again = clusters_of_vectors(vectors_LD, 8, 0)
    assert first.order_L.tolist() == again.order_L.tolist() and first.starts.tolist() == again.starts.tolist()
    with pytest.raises(TypeError):
        clusters_of_vectors(vectors_LD + 1, 8, 0)
