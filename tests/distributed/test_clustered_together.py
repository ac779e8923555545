"""Clusters that ranks make together are those of one process, and each halves a part of the labels."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from ranks_here import on_ranks
from scipy import sparse

from xmlkit.labels import clusters as module
from xmlkit.labels.clusters import cluster_labels, clusters_of_vectors
from xmlkit.training.clusters import clusters_together

CASES = [(300, 7, 0), (301, 1, 1), (64, 64, 2), (65, 64, 0), (5, 1, 3), (3, 1, 0), (1, 1, 0)]


def rows(num_labels: int) -> list:
    """Of each label, densely and with some words."""
    rows_LF = np.random.default_rng(num_labels).standard_normal((num_labels, 12)).astype(np.float32)
    return [rows_LF, sparse.csr_array(np.where(rows_LF > 0.5, rows_LF, 0))]


def made(folder: Path) -> tuple[list, int, list[int]]:
    """All cases, how many labels this rank has halved, and the same where they are in the cache."""
    os.environ["XMLKIT_CACHE"] = str(folder)
    found, halved, real = [], [], module._halve

    def noted(node, *rest):
        halved.append(len(node))
        return real(node, *rest)

    module._halve = noted
    for case in CASES:
        for rows_LF in rows(case[0]):
            found.append(clusters_together(lambda cluster, a=rows_LF: cluster(a), *case))

    def find(cluster):
        return clusters_of_vectors(rows(300)[0], 7, 0, cluster)

    kept = [clusters_together(find, 300, 7, 0), len(halved), clusters_together(find, 300, 7, 0), len(halved)]
    return [(one.order_L, one.starts) for one in (*found, kept[0], kept[2])], sum(halved), kept[1::2]


@pytest.mark.parametrize(
    ("count", "most"), [(2, 1 / 2), (3, 2 / 4), pytest.param(5, 2 / 8, marks=pytest.mark.slow)]
)
def test_they_are_those_of_one_process(tmp_path, count, most):
    """Of 2, 4 and 8 nodes a rank has 1, 2 and 2 at the most."""
    expected = [cluster_labels(rows_LF, *case[1:]) for case in CASES for rows_LF in rows(case[0])]
    expected += [expected[0]] * 2
    (_, whole, _), *_ = on_ranks(1, made, tmp_path / "one")
    several = on_ranks(count, made, tmp_path / "several")
    for found, _, (before, after) in several:
        assert before == after  # what was in the cache was not halved again
        for (order_L, starts), one in zip(found, expected, strict=True):
            np.testing.assert_array_equal(order_L, one.order_L)
            np.testing.assert_array_equal(starts, one.starts)
    first, *others = (halved for _, halved, _ in several)
    assert first + sum(others) == whole and 0 < max(others) < most * whole
