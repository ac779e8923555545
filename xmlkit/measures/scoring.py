"""A ranking, and all that its metrics are computed with.

N documents, K ranks, L labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmlkit.data.ragged import Ragged
from xmlkit.metrics import Terms, ranking_terms, score_ranking


@dataclass(frozen=True)
class Scoring:
    """What metrics are computed with, beside rankings and truth."""

    counts_L: np.ndarray  # training documents of each label, the validation part included
    num_documents: int  # training documents, the validation part included
    ks: tuple[int, ...]
    propensity_a: float
    propensity_b: float

    def scores(self, ids_NK: np.ndarray, truth: Ragged) -> dict[str, float]:
        """All metrics of a ranking, in percent."""
        return score_ranking(ids_NK, truth, *self._counted, self.ks, *self._propensity)

    def of(self, ranking: Ranking) -> dict[str, float]:
        """The same of the first ranks of a ranking, as many as count."""
        return self.scores(ranking.ids_NK[:, : max(self.ks)], ranking.truth)

    def terms(self, ids_NK: np.ndarray, truth: Ragged, ks: tuple[int, ...] | None = None) -> dict[str, Terms]:
        """The same document by document, at these k or its own; coverage left out."""
        return ranking_terms(ids_NK, truth, *self._counted, ks or self.ks, *self._propensity)

    @property
    def _counted(self) -> tuple[np.ndarray, int]:
        return self.counts_L, self.num_documents

    @property
    def _propensity(self) -> tuple[float, float]:
        return self.propensity_a, self.propensity_b


@dataclass(frozen=True)
class Ranking:
    """What a model ranks first of a split's documents, without what they are not asked about."""

    scores_NK: np.ndarray  # in 0..1
    ids_NK: np.ndarray  # rows of the model's labels, best first; -1 where there are fewer
    truth: Ragged  # in rows of the model's labels; others follow behind them
