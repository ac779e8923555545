"""Which labels stand together on documents.

Shape suffixes: V labels of all documents, end to end, L labels, G groups of labels, P neighbours.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from xmlkit.data.ragged import Ragged


def cooccurring_labels(
    values_V: np.ndarray,
    offsets: np.ndarray,
    num_labels: int,
    top: int,
    group_of_L: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The `top` labels that share most documents with each label, or with any label of each group.

    Args:
        values_V: The documents' labels; those of document i are `values_V[offsets[i]:offsets[i + 1]]`.
        offsets: One more than documents.
        num_labels: L.
        top: P.
        group_of_L: The group of each label, 0 to G - 1; without it each label is its own, and no neighbour
            of itself. A group's own labels are neighbours like any other.

    Returns:
        Label ids (G, P), the most frequent first, of equals the smaller; and their shares (G, P), which sum
        to 1, or are all 0 where there is no neighbour. Where there are fewer than P, the rest repeats the
        first, or label 0, with a share of 0.
    """
    ones = np.ones(len(values_V), np.float32)
    truth_NL = sparse.csr_array((ones, values_V, offsets), shape=(len(offsets) - 1, num_labels))
    if group_of_L is None:
        counts_GL = (truth_NL.T.tocsr() @ truth_NL).tocsr()
        counts_GL.setdiag(0)
    else:
        shape = (truth_NL.shape[0], group_of_L.max() + 1)
        groups_NG = sparse.csr_array((ones, group_of_L[values_V], offsets), shape=shape, copy=True)
        groups_NG.sum_duplicates()
        groups_NG.data[:] = 1
        counts_GL = (groups_NG.T.tocsr() @ truth_NL).tocsr()
    counts_GL.eliminate_zeros()
    return _heaviest(counts_GL, top)


def labels_given(labels: Ragged, num_labels: int, least: float) -> tuple[Ragged, Ragged]:
    """The labels that documents of each label have, and the share of its documents that have them.

    Args:
        labels: Of each document, ascending and unique.
        num_labels: L.
        least: Smaller shares are left out.

    Returns:
        For each label l the ascending ids of labels, and in the same places P(l' | l) = count(l, l') /
        count(l), from `least` to 1, in float32. Each label is there itself, with 1, be it on no document.
    """
    ones = np.ones(len(labels.values), np.float32)
    shape = (len(labels), num_labels)
    truth_NL = sparse.csr_array((ones, labels.values, labels.offsets), shape=shape)
    shares_LL = (truth_NL.T.tocsr() @ truth_NL).tocsr()
    counts_L = shares_LL.diagonal()
    shares_LL = (shares_LL + sparse.diags_array((counts_L == 0).astype(np.float32))).tocsr()
    shares_LL.data /= np.repeat(np.maximum(counts_L, 1), np.diff(shares_LL.indptr))
    shares_LL.data[shares_LL.data < least] = 0
    shares_LL.eliminate_zeros()
    shares_LL.sort_indices()
    offsets = shares_LL.indptr.astype(np.int64)
    return Ragged(shares_LL.indices.astype(np.int64), offsets), Ragged(shares_LL.data, offsets)


def _heaviest(counts_GL: sparse.csr_array, top: int) -> tuple[np.ndarray, np.ndarray]:
    groups = np.repeat(np.arange(counts_GL.shape[0]), np.diff(counts_GL.indptr))
    order = np.lexsort((counts_GL.indices, -counts_GL.data, groups))
    rank = np.arange(len(order)) - counts_GL.indptr[groups]  # groups are in order already
    kept = rank < top
    ids_GP = np.zeros((counts_GL.shape[0], top), np.int64)
    shares_GP = np.zeros((counts_GL.shape[0], top), np.float32)
    ids_GP[groups[kept], rank[kept]] = counts_GL.indices[order][kept]
    shares_GP[groups[kept], rank[kept]] = counts_GL.data[order][kept]
    ids_GP = np.where(shares_GP > 0, ids_GP, ids_GP[:, :1])
    return ids_GP, shares_GP / np.maximum(shares_GP.sum(1, keepdims=True), 1)
