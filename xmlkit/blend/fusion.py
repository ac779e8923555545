"""How much each member's word counts: weights of what members say, fitted on documents that none has seen.

A pair of a text n and a label l that any member names has a number from each member: what it says above its
floor for that text, 0 where that is nothing or it does not name the label. The whole's logit is

    z_nl = b + sum over members s of (w_s + d_ls) e_nls + w_0 log(1 + n_l) + d_l0

with n_l the label's training documents; `w` counts for all labels, `d` is a label's own and shrunk: Annif's
ensemble of 2025 has one weight a source and label, which start at those for all. It is a logistic regression,

    sum over pairs of g (log(1 + exp(z)) - y z) + |w - p|^2 / 200 + shrink / 2 |d|^2

with g how much a true label counts (1 where it is false), p = 1/S for members and 0 for the frequency and b,
and so convex: one answer, whatever it starts from.

N texts, V pairs, S members, L labels, F numbers of a pair: S, the frequency and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy.special import expit

from xmlkit.blend.member import Candidates
from xmlkit.data.ragged import Ragged

STEPS = 200  # of L-BFGS, at most: shrunk as strongly as here it ends by itself long before


@dataclass(frozen=True)
class Pairs:
    """What all members say of N texts, ascending by text and label."""

    num_texts: int
    texts_V: np.ndarray
    labels_V: np.ndarray
    numbers_VF: np.ndarray  # float32, or float64 where what is said is
    below_V: np.ndarray | None = None  # by how much floors are above what is said, in all; None: nowhere

    def without(self, member: int) -> Pairs:
        """The same as if this member's word did not count: its candidates stay."""
        numbers_VF = self.numbers_VF.copy()
        numbers_VF[:, member] = 0
        return replace(self, numbers_VF=numbers_VF)

    def take(self, keep_N: np.ndarray) -> Pairs:
        """Those of some texts (bool), which keep their numbers."""
        return self._kept(keep_N[self.texts_V])

    def only(self, allowed_L: np.ndarray) -> Pairs:
        """Those of some labels (bool)."""
        return self._kept(allowed_L[self.labels_V])

    def _kept(self, keep_V: np.ndarray) -> Pairs:
        below_V = None if self.below_V is None else self.below_V[keep_V]
        kept = (self.texts_V[keep_V], self.labels_V[keep_V], self.numbers_VF[keep_V])
        return Pairs(self.num_texts, *kept, below_V)

    def true_V(self, truth: Ragged) -> np.ndarray:
        """Bool: is it a true label of its text?"""
        rows = np.repeat(np.arange(len(truth)), truth.lengths)
        width = 1 + max(truth.values.max(initial=0), self.labels_V.max(initial=0))
        return np.isin(self.texts_V * width + self.labels_V, rows * width + truth.values)

    def gain_V(self, true_V: np.ndarray, gain_L: np.ndarray | None) -> np.ndarray:
        """How much each counts in fitting: as its label says where it is true, None: 1, and else 1."""
        return np.where(true_V, 1.0 if gain_L is None else gain_L[self.labels_V], 1.0)

    def ranked(self, z_V: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Labels (N, k) and their z, best first; -1 and -inf where a text has fewer.

        Of equal z that comes first of which least is below a floor.
        """
        below_V = () if self.below_V is None else (self.below_V,)
        order = np.lexsort((self.labels_V, *below_V, -z_V, self.texts_V))
        begins_N = np.searchsorted(self.texts_V, np.arange(self.num_texts))
        place_V = np.arange(len(order)) - begins_N[self.texts_V]
        ids_Nk = np.full((self.num_texts, k), -1, np.int64)
        z_Nk = np.full((self.num_texts, k), -np.inf, np.float64)
        kept = place_V < k
        at = self.texts_V[kept], place_V[kept]
        ids_Nk[at], z_Nk[at] = self.labels_V[order[kept]], z_V[order[kept]]
        return ids_Nk, z_Nk


def pairs_of(said: Sequence[Candidates], counts_L: np.ndarray) -> Pairs:
    """The union of what members name."""
    num_texts, num_labels = len(said[0].ids_NK), len(counts_L)
    assert all(found.ids_NK.max(initial=-1) < num_labels for found in said), "a member names what is no label"
    keys = []
    for found in said:
        texts = np.broadcast_to(np.arange(num_texts)[:, None], found.ids_NK.shape)
        keys.append((texts * num_labels + found.ids_NK)[found.ids_NK >= 0])
    keys_V = np.unique(np.concatenate(keys))
    texts_V, labels_V = np.divmod(keys_V, num_labels)
    numbers_VF = np.zeros(
        (len(keys_V), len(said) + 2), np.result_type(*(found.evidence_NK for found in said))
    )
    below_V = np.zeros(len(keys_V))
    for member, (found, keys_of) in enumerate(zip(said, keys, strict=True)):
        above_NK = found.evidence_NK - found.floor_N[:, None]
        at_V, above_V = np.searchsorted(keys_V, keys_of), above_NK[found.ids_NK >= 0]
        numbers_VF[at_V, member] = above_V.clip(min=0)
        below_V[at_V] -= above_V.clip(max=0)
    numbers_VF[:, -2] = np.log1p(counts_L[labels_V])
    numbers_VF[:, -1] = 1
    return Pairs(num_texts, texts_V, labels_V, numbers_VF, below_V if below_V.any() else None)


class Fusion(Protocol):
    """How members' words become one: by weights, by these and trees, or as a sum."""

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What is written."""

    def read(self, said: Sequence[Candidates], counts_L: np.ndarray) -> tuple[Pairs, np.ndarray]:
        """The pairs, and the logit of each."""

    def adds_VF(self, pairs: Pairs) -> np.ndarray:
        """What is said of each pair, a part of it for each member, (V, S), and the rest, if any, behind."""


@dataclass(frozen=True)
class Weights:
    """What was fitted."""

    w_F: np.ndarray
    known_U: np.ndarray  # labels with weights of their own, ascending
    d_UF: np.ndarray

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What is written."""
        return vars(self)

    @classmethod
    def of_one(cls) -> Weights:
        """Of a single member, whose ranking it is."""
        return cls(np.array([1.0, 0.0, 0.0]), np.zeros(0, np.int64), np.zeros((0, 3)))

    def read(self, said: Sequence[Candidates], counts_L: np.ndarray) -> tuple[Pairs, np.ndarray]:
        """The pairs, and the logit of each."""
        pairs = pairs_of(said, counts_L)
        return pairs, self.z_V(pairs)

    def adds_VF(self, pairs: Pairs) -> np.ndarray:
        """What the logit of each pair is a sum of, (V, S + 1): members, and the rest."""
        w_VF = np.repeat(self.w_F[None], len(pairs.labels_V), 0)
        at_V = np.searchsorted(self.known_U, pairs.labels_V)
        own_V = np.append(self.known_U, -1)[at_V] == pairs.labels_V
        w_VF[own_V] += self.d_UF[at_V[own_V]]
        adds_VF = pairs.numbers_VF * w_VF
        return np.column_stack([adds_VF[:, :-2], adds_VF[:, -2:].sum(1)])

    def z_V(self, pairs: Pairs) -> np.ndarray:
        """The whole's logit of each pair."""
        z_V: np.ndarray = pairs.numbers_VF @ self.w_F
        if len(self.known_U):
            at_V = np.searchsorted(self.known_U, pairs.labels_V).clip(max=len(self.known_U) - 1)
            own_V = self.known_U[at_V] == pairs.labels_V
            z_V = z_V + own_V * np.einsum("vf,vf->v", pairs.numbers_VF, self.d_UF[at_V])
        return z_V


def fit(
    pairs: Pairs, truth: Ragged, shrink: float | None = None, gain_L: np.ndarray | None = None
) -> Weights:
    """The weights, by pairs' documents in `truth`.

    `shrink` is how strongly labels' own weights are held at 0, None: there are none; `gain_L` how much a true
    label counts, None: 1.
    """
    from scipy.optimize import minimize  # not needed to predict, and slow to import

    x_VF, y_V = pairs.numbers_VF.astype(np.float64), pairs.true_V(truth)
    gain_V = pairs.gain_V(y_V, gain_L)
    num = x_VF.shape[1]
    known_U, at_V = np.zeros(0, np.int64), np.zeros(0, np.int64)
    if shrink is not None:
        known_U, at_V = np.unique(pairs.labels_V, return_inverse=True)
    prior_F = np.array([1 / (num - 2)] * (num - 2) + [0.0, 0.0])

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        w_F, d_UF = theta[:num], theta[num:].reshape(-1, num)
        z_V = x_VF @ w_F
        if shrink is not None:
            z_V = z_V + np.einsum("vf,vf->v", x_VF, d_UF[at_V])
        g_V = gain_V * (expit(z_V) - y_V)
        value = float(gain_V @ (np.logaddexp(0, z_V) - z_V * y_V))
        gradient = np.zeros_like(theta)
        gradient[:num] = g_V @ x_VF + 0.01 * (w_F - prior_F)
        value += 0.005 * ((w_F - prior_F) ** 2).sum()
        if shrink is not None:
            own_UF = np.stack([np.bincount(at_V, g_V * x_V, len(known_U)) for x_V in x_VF.T], 1)
            gradient[num:] = (own_UF + shrink * d_UF).ravel()
            value += shrink / 2 * (d_UF**2).sum()
        return value, gradient

    start = np.concatenate([prior_F, np.zeros(len(known_U) * num)])
    theta = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
    return Weights(theta[:num], known_U, theta[num:].reshape(-1, num))
