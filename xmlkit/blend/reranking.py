"""A second look at the likeliest labels of a text: by trees, which see what a sum of words cannot.

Stacked generalization (Wolpert, Neural Networks 1992): weights say which labels come first, and trees give
those new logits, by each member's number, its rank in the text and the text's best, how many members name the
label, and its frequency. So a member can count for more where it is sure, or alone, or where labels are rare.
What comes after stays after, as far behind the last of these as it was.

N texts, V pairs, S members, X numbers that trees are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xmlkit.blend.fusion import Pairs, Weights, fit
from xmlkit.blend.member import Candidates
from xmlkit.blend.trees import Trees, grown
from xmlkit.data.ragged import Ragged

FIRST = 20  # labels of a text that are looked at again: on held-out documents 30 and 50 rank hardly better


@dataclass(frozen=True)
class Reranked:
    """What was fitted."""

    weights: Weights
    trees: Trees

    def read(self, said: Sequence[Candidates], counts_L: np.ndarray) -> tuple[Pairs, np.ndarray]:
        """The pairs, and the logit of each."""
        pairs, z_V = self.weights.read(said, counts_L)
        return pairs, self._again_V(pairs, z_V)

    def z_V(self, pairs: Pairs) -> np.ndarray:
        """The whole's logit of each pair."""
        return self._again_V(pairs, self.weights.z_V(pairs))

    def adds_VF(self, pairs: Pairs) -> np.ndarray:
        """What the logit of each pair is a sum of, (V, S + 1): members by their weights, and the rest."""
        adds_VF, z_V = self.weights.adds_VF(pairs), self.weights.z_V(pairs)
        adds_VF[:, -1] += self._again_V(pairs, z_V) - z_V
        return adds_VF

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What is written."""
        return self.weights.arrays | vars(self.trees)

    def _again_V(self, pairs: Pairs, z_V: np.ndarray) -> np.ndarray:
        first_V = more_V(pairs.texts_V, z_V) < FIRST
        again_V = np.where(first_V, 0.0, z_V)
        again_V[first_V] = self.trees.z_V(shown_VX(pairs, z_V)[first_V])
        lowest_N2 = np.full((pairs.num_texts, 2), np.inf)
        np.minimum.at(lowest_N2, pairs.texts_V[first_V], np.stack([again_V, z_V], 1)[first_V])
        again_V[~first_V] += lowest_N2[pairs.texts_V[~first_V]] @ np.array([1.0, -1.0])
        return again_V


def reranked(pairs: Pairs, truth: Ragged, gain_L: np.ndarray | None = None) -> Reranked | Weights:
    """By pairs' documents in `truth`; weights alone where there is nothing to tell apart.

    `gain_L` is how much a true label counts, None: 1.
    """
    weights = fit(pairs, truth, None, gain_L)
    z_V, true_V = weights.z_V(pairs), pairs.true_V(truth)
    first_V = more_V(pairs.texts_V, z_V) < FIRST
    if len(set(true_V[first_V].tolist())) < 2:
        return weights
    gain_V = pairs.gain_V(true_V, gain_L)
    return Reranked(weights, grown(shown_VX(pairs, z_V)[first_V], true_V[first_V], gain_V[first_V]))


def shown_VX(pairs: Pairs, z_V: np.ndarray) -> np.ndarray:
    """What trees see of each pair (float32): see above."""
    said_VS = pairs.numbers_VF[:, :-2]
    own_VX = np.column_stack([said_VS, z_V]).astype(np.float32)
    _, begins_U, at_V = np.unique(pairs.texts_V, return_index=True, return_inverse=True)
    best_VX = np.maximum.reduceat(own_VX, begins_U)[at_V] if len(at_V) else own_VX
    more_VX = np.column_stack([more_V(pairs.texts_V, one_V) for one_V in own_VX.T])
    parts = [pairs.numbers_VF[:, -2], own_VX, best_VX, more_VX, (said_VS > 0).sum(1)]
    return np.column_stack(parts).astype(np.float32)


def num_shown(members: int) -> int:
    """X."""
    return 3 * (members + 1) + 2


def more_V(texts_V: np.ndarray, x_V: np.ndarray) -> np.ndarray:
    """How many pairs of the same text have more; `texts_V` is ascending."""
    order = np.lexsort((-x_V, texts_V))
    text_V, value_V = texts_V[order], x_V[order]
    new_V = np.ones(len(order), bool)
    new_V[1:] = (text_V[1:] != text_V[:-1]) | (value_V[1:] != value_V[:-1])
    places_V = np.maximum.accumulate(np.where(new_V, np.arange(len(order)), 0))
    more_V = np.empty(len(order), np.int64)
    more_V[order] = places_V - np.searchsorted(text_V, text_V)
    return more_V
