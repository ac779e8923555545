"""Trees as arrays say what scikit-learn says of the trees that it has grown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from xmlkit.blend import trees as module
from xmlkit.blend.trees import Trees, grown


def pairs(count=3000, seed=0):
    """Numbers of which many are equal, and truth that a sum of them does not tell."""
    rng = np.random.default_rng(seed)
    x_VF = rng.normal(size=(count, 5)).astype(np.float32)
    x_VF[:, 1:3] = x_VF[:, 1:3].round()
    true_V = x_VF[:, 0] * x_VF[:, 1] + rng.normal(0, 0.3, count) > 0.5
    return x_VF, true_V, np.where(true_V, rng.uniform(0.5, 3, count), 1.0)


def theirs(x_VF, true_V, gain_V):
    return HistGradientBoostingClassifier(**module.SETTINGS).fit(x_VF, true_V, gain_V)


def test_logits_are_those_of_the_library(monkeypatch):
    x_VF, true_V, gain_V = pairs()
    trees, other_VF = grown(x_VF, true_V, gain_V), pairs(777, seed=1)[0]
    expected = theirs(x_VF, true_V, gain_V)
    for read_VF in (x_VF, other_VF, other_VF[:1], other_VF[:0]):
        wanted_V = expected.decision_function(read_VF) if len(read_VF) else []
        np.testing.assert_allclose(trees.z_V(read_VF), wanted_V, atol=1e-12)
    monkeypatch.setattr(module, "AT_ONCE", 50)
    np.testing.assert_allclose(trees.z_V(other_VF), expected.decision_function(other_VF), atol=1e-12)
    assert trees.number_TM.shape[0] == module.SETTINGS["max_iter"] and trees.fits(5) and not trees.fits(1)


def test_they_tell_apart_what_a_sum_does_not():
    x_VF, true_V, gain_V = pairs()
    other_VF, other_true_V, _ = pairs(3000, seed=1)
    right = (grown(x_VF, true_V, gain_V).z_V(other_VF) > 0) == other_true_V
    assert right.mean() > 0.85 > max(other_true_V.mean(), 1 - other_true_V.mean()) + 0.05


def test_the_same_trees_each_time():
    first, second = grown(*pairs()), grown(*pairs())
    for name, array in vars(first).items():
        np.testing.assert_array_equal(array, getattr(second, name))


def by_hand():
    """Number 1 up to 0.5, then number 0 up to -1; and a tree that is a leaf."""
    return Trees(
        np.array([0.25]),
        np.array([[1, 0, 0, 0, 0], [0, 0, 0, 0, 0]], np.int32),
        np.array([[0.5, -1, 0, 0, 0], [0, 0, 0, 0, 0]], np.float64),
        np.array([[1, 3, 2, 3, 4], [0, 1, 2, 3, 4]], np.int32),
        np.array([[2, 4, 2, 3, 4], [0, 1, 2, 3, 4]], np.int32),
        np.array([[0, 0, 5, 7, 11], [1, 0, 0, 0, 0]], np.float64),
    )


def test_by_hand():
    x_VF = np.array([[0, 1], [0, 0.5], [-1, 0.5], [-1, 0.6]], np.float32)
    assert by_hand().z_V(x_VF).tolist() == [6.25, 12.25, 8.25, 6.25]
    assert by_hand().fits(2)


@pytest.mark.parametrize(
    "change",
    [
        {"number_TM": np.full((2, 5), 2, np.int32)},
        {"left_TM": np.full((2, 5), 5, np.int32)},
        {"right_TM": np.full((2, 5), -1, np.int32)},
        {"left_TM": np.zeros((2, 5), np.int64)},
        {"right_TM": np.zeros((2, 4), np.int32)},
        {"value_TM": np.zeros((1, 5))},
        {"most_TM": np.zeros(5)},
        {"base": np.zeros(2)},
        {"number_TM": np.zeros(5, np.int32)},
    ],
)
def test_what_is_no_tree_does_not_fit(change):
    assert not replace(by_hand(), **change).fits(2)
