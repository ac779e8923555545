"""In which ways a blend can be fitted; on held-out documents is seen which one ranks best."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xmlkit.blend.fusion import Pairs, Weights, fit
from xmlkit.blend.reranking import Reranked, reranked
from xmlkit.data.ragged import Ragged


class Form(NamedTuple):
    """How members' words are put together."""

    shrink: float | None = None  # how strongly labels' own weights are held at 0; None: there are none
    trees: bool = False  # whether trees look again at what comes first
    rare: float = 0.0  # the part of what a true label counts that goes by its inverse propensity

    def fit(self, pairs: Pairs, truth: Ragged, gain_L: np.ndarray) -> Weights | Reranked:
        """By pairs' documents in `truth`; `gain_L` is how much a true label counts."""
        return reranked(pairs, truth, gain_L) if self.trees else fit(pairs, truth, self.shrink, gain_L)


RARE = (0.5, 0.0, 1.0)  # forms are tried with the first, the best one of them with the others
# The plainest first: of equal ones it is taken.
FORMS = tuple(form._replace(rare=RARE[0]) for form in (Form(), Form(1000.0), Form(300.0), Form(trees=True)))
