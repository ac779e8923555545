"""Gradient-boosted trees for what is true of few, as arrays: the logit is a sum of many small trees.

    z_v = base + sum over trees of the value of the leaf that v falls into

(Friedman, Annals of Statistics 2001), grown over histograms as by LightGBM (Ke et al., NeurIPS 2017).
scikit-learn grows them; what it keeps them in runs code when it is opened, so that their nodes are taken out
and read here.

V pairs, F numbers of each, T trees, M nodes of the largest tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

DEPTH = 4
SETTINGS: dict[
    str, Any
] = {  # chosen on held-out documents of yso-en-4k, where what was tried beside ranks alike
    "max_iter": 150,
    "learning_rate": 0.06,
    "max_depth": DEPTH,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 100,
    "max_features": 0.3,  # drawn for each split
    "l2_regularization": 10.0,
    "early_stopping": False,
    "random_state": 0,
}
AT_ONCE = 2048  # pairs, so that what is at work for them stays in the processor's cache


@dataclass(frozen=True)
class Trees:
    """Nodes by their number in a tree; the first is the root, and a leaf leads to itself."""

    base: np.ndarray  # (1,)
    number_TM: np.ndarray  # int32, which of F is looked at
    most_TM: np.ndarray  # float64, up to where it goes left
    left_TM: np.ndarray  # int32
    right_TM: np.ndarray  # int32
    value_TM: np.ndarray  # float64

    def z_V(self, x_VF: np.ndarray) -> np.ndarray:
        """The logits."""
        (num_trees, width), z_V = self.number_TM.shape, np.empty(len(x_VF))
        first_T = np.arange(num_trees, dtype=np.int32) * width
        number, most, value = self.number_TM.ravel(), self.most_TM.ravel(), self.value_TM.ravel()
        left, right = (self.left_TM + first_T[:, None]).ravel(), (self.right_TM + first_T[:, None]).ravel()
        for start in range(0, len(x_VF), AT_ONCE):
            x_BF = x_VF[start : start + AT_ONCE]
            at_BT = np.broadcast_to(first_T, (len(x_BF), num_trees))
            for _ in range(DEPTH):
                x_BT = np.take_along_axis(x_BF, number[at_BT], 1)
                at_BT = np.where(x_BT <= most[at_BT], left[at_BT], right[at_BT])
            z_V[start : start + AT_ONCE] = self.base + value[at_BT].sum(1)
        return z_V

    def fits(self, count: int) -> bool:
        """Whether they can be read, with so many numbers of a pair."""
        places = (self.number_TM, self.left_TM, self.right_TM)
        shape = self.number_TM.shape
        whole = len(shape) == 2 and all(part.dtype == np.int32 and part.shape == shape for part in places)
        if not whole or self.base.shape != (1,) or {self.most_TM.shape, self.value_TM.shape} != {shape}:
            return False
        bounds = (count, shape[1], shape[1])
        return all(
            bool(((part >= 0) & (part < most)).all()) for part, most in zip(places, bounds, strict=True)
        )


def grown(x_VF: np.ndarray, true_V: np.ndarray, gain_V: np.ndarray) -> Trees:
    """Of pairs, some true and some not, the same trees each time; `gain_V` is how much each counts."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # a second and 70 MB, not needed to predict
    from threadpoolctl import threadpool_limits

    model = HistGradientBoostingClassifier(**SETTINGS)
    with threadpool_limits(1):  # sums in one order, and no waiting for each other over so few numbers
        model.fit(x_VF, true_V, gain_V)
    nodes = [predictor.nodes for (predictor,) in model._predictors]
    width = max(map(len, nodes))

    def table(column: str, kind: type) -> np.ndarray:
        return np.stack([np.pad(tree[column].astype(kind), (0, width - len(tree))) for tree in nodes])

    leaf_TM, own_M = table("is_leaf", bool), np.arange(width, dtype=np.int32)
    return Trees(
        np.asarray(model._baseline_prediction, np.float64).reshape(1),
        table("feature_idx", np.int32).clip(min=0),
        table("num_threshold", np.float64),
        np.where(leaf_TM, own_M, table("left", np.int32)),
        np.where(leaf_TM, own_M, table("right", np.int32)),
        np.where(leaf_TM, table("value", np.float64), 0),
    )
