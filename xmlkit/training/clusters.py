"""Clusters of labels that several ranks make together.

The first rank halves the labels until there is a node for each rank, and deals their features; each halves
its nodes on. All know the tree's shape, and which labels halves begin with, from numbers alone: so the
clusters are those of one process. Each has the features of its own labels, the first those of all.

L labels, F features, N nodes, U labels of a rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from xmlkit.distributed import collectives, ranks
from xmlkit.distributed.share import Share
from xmlkit.labels.clusters import (
    Cluster,
    Clustering,
    Features,
    Level,
    cluster_labels,
    halve,
    halvings,
    starts_of,
)


def clusters_together(
    find: Callable[[Cluster], Clustering], num_labels: int, largest: int, seed: int
) -> Clustering:
    """What `find` gives, with what it is to cluster by; of several ranks the first finds them, for all.

    The others wait until it has the features, however long that takes, and help with the rest.
    """
    if not ranks.are_several():
        return find(partial(cluster_labels, largest=largest, seed=seed))
    levels, found, are_asked = halvings(num_labels, largest, seed), None, False
    top = _top(levels, ranks.count())
    with ExitStack() as alone:
        if alone.enter_context(ranks.first_then_rest()):

            def cluster(features_LF: Features) -> Clustering:
                nonlocal are_asked
                nodes = [np.arange(num_labels)]
                for level in levels[:top]:
                    nodes = halve(features_LF, nodes, level.begins_N2)
                are_asked = True
                alone.close()
                ranks.of_first(None)
                return _halved(levels[top:], _parts(features_LF, nodes))

            found = find(cluster)
    if are_asked:
        assert found is not None
        return found
    told = ranks.of_first(found)
    return _halved(levels[top:], None) if told is None else told


def _top(levels: Sequence[Level], count: int) -> int:
    """The first level with so many nodes, else the last."""
    enough = (depth for depth, level in enumerate(levels) if len(level.sizes_N) >= count)
    return next(enough, len(levels) - 1)


def _parts(features_LF: Features, nodes: Sequence[np.ndarray]) -> Iterator[list[Tensor]]:
    """Of each rank its labels, and their features."""
    for number in range(ranks.count()):
        run = Share(len(nodes), number, ranks.count()).run
        labels_U = np.concatenate([*nodes[run], np.zeros(0, int)])
        own = features_LF[labels_U]
        arrays = [own] if isinstance(own, np.ndarray) else [own.data, own.indices, own.indptr]
        yield [torch.from_numpy(array) for array in (labels_U, np.array(own.shape), *arrays)]


def _halved(levels: Sequence[Level], parts: Iterator[list[Tensor]] | None) -> Clustering:
    """Each rank's nodes down to the leaves, put together for all; the first has the parts."""
    sizes_N, count = levels[0].sizes_N, ranks.count()
    labels_U, shape, *arrays = (tensor.numpy() for tensor in collectives.dealt(parts))
    features_UF = arrays[0] if len(arrays) == 1 else sparse.csr_array(tuple(arrays), shape=tuple(shape))
    run = Share.of(len(sizes_N)).run
    nodes = np.split(np.arange(len(labels_U)), np.cumsum(sizes_N[run])[:-1])[: run.stop - run.start]
    for level in levels[:-1]:
        nodes, run = halve(features_UF, nodes, level.begins_N2[run]), level.below(run)
    order_U = labels_U[np.concatenate([*nodes, np.zeros(0, int)])]
    ranks.wait_for_all()  # one may have twice the labels of another
    runs = (Share(len(sizes_N), number, count).run for number in range(count))
    order_L = collectives.gathered(
        torch.from_numpy(order_U), [int(sizes_N[run].sum()) for run in runs]
    ).numpy()
    return Clustering(order_L, starts_of(levels))
