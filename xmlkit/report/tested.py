"""What a model makes of test documents, for people to look at: nothing is chosen by it.

N documents, K ranks, L labels of the model, V predictions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from xmlkit.blend.calibration import Bin, bins, calibration_error
from xmlkit.data.corpus import Labels, Split
from xmlkit.errors import UserError
from xmlkit.inference.predict import Predictor
from xmlkit.measures.assigned import Assigned
from xmlkit.measures.by_frequency import parts
from xmlkit.measures.by_label import Decile, deciles
from xmlkit.measures.cut import DEEPEST, Cut
from xmlkit.measures.scoring import Ranking
from xmlkit.metrics import hits, usual_k

SHOWN = 10  # predictions of a document
MOST = 20_000  # documents, of more every so many-th
LONGEST = 1_000  # characters of a text


@dataclass(frozen=True)
class Tenth:
    """A tenth of the labels: what it brings to the metrics, in points, and how its labels are assigned."""

    parts: dict[str, float]
    of: Decile


class Tested:
    """A ranking of a split, looked at from all sides."""

    def __init__(self, model: Predictor, split: Split, source: str, fitted: Cut | None):
        """`fitted`: what is assigned; None: the first `first` of each document.

        Raises UserError where the model knows none of the true labels.
        """
        if len(true := split.labels.values) and true.min() >= len(model.labels):
            raise UserError(f"{source}: the model knows none of its labels: are these ids of another kind?")
        self.source, self.split, self.fitted = source, split, fitted
        self.scoring = scoring = model.scoring
        self.num_parameters, self.num_known = model.num_parameters, len(model.labels)
        self.labels: Labels = model.labels.and_more(split.label_ids[len(model.labels) :])
        self.first = usual_k(scoring.ks)
        self.cut = fitted or Cut(0.0, self.first)
        deep = min(max(SHOWN, min(self.cut.limit, DEEPEST)), self.num_known)
        self.ranking: Ranking = model.ranking(split, max(*scoring.ks, deep))
        self.metrics = scoring.of(self.ranking)

    @cached_property
    def assigned(self) -> Assigned:
        """Labels that documents are given, beside the true ones."""
        ids_NK, scores_NK = self.ranking.ids_NK, self.ranking.scores_NK
        return Assigned(ids_NK, self.cut.assigned_NK(scores_NK, ids_NK), self.ranking.truth, self.num_known)

    @property
    def tenths(self) -> list[Tenth]:
        """From rare to frequent labels."""
        counts_L, ids_Nk = self.scoring.counts_L, self.ranking.ids_NK[:, : max(self.scoring.ks)]
        brought = parts(ids_Nk, self.ranking.truth, counts_L, self.scoring.scores)
        return [Tenth(*both) for both in zip(brought, deciles(self.assigned, counts_L), strict=True)]

    @cached_property
    def bins(self) -> list[Bin]:
        """Of the scores of the first predictions, as many as the metrics look at."""
        return list(bins(*self._scored))

    @property
    def calibration_error(self) -> float:
        """Of the same, in percent."""
        return calibration_error(*self._scored)

    @cached_property
    def rows(self) -> np.ndarray:
        """The documents that are listed."""
        count = len(self.split)
        return np.arange(count) if count <= MOST else np.linspace(0, count - 1, MOST).astype(np.int64)

    @property
    def unknown(self) -> int:
        """True labels that the model cannot give."""
        return len(np.unique(self.split.labels.values[self.split.labels.values >= self.num_known]))

    def listed(self) -> dict[str, Any]:
        """Documents and labels as the page's tables have them.

        A label is a number from 0 there; those are listed that are true of a listed document or predicted for
        one, with what holds of all documents.
        """
        ids_NK, scores_NK = (
            array[self.rows, :SHOWN] for array in (self.ranking.ids_NK, self.ranking.scores_NK)
        )
        truth = self.ranking.truth.take(self.rows)
        used = np.unique(np.concatenate([ids_NK[ids_NK >= 0], truth.values]))
        documents: dict[str, Any] = {
            "texts": [_cut(self.split.texts[row]) for row in self.rows],
            "truth": [np.searchsorted(used, truth[row]).tolist() for row in range(len(truth))],
            "predicted": [np.searchsorted(used, ids[ids >= 0]).tolist() for ids in ids_NK],
            "scores": [scores[ids >= 0].round(4).tolist() for scores, ids in zip(scores_NK, ids_NK)],
        }
        if self.split.ids is not None:
            documents["ids"] = [self.split.ids[row] for row in self.rows]
        counts, named = self.assigned.of_labels.take(used), self.labels.take(used)
        training = np.pad(self.scoring.counts_L, (0, len(self.labels) - self.num_known))[used]
        names = None if named.names is None else named.names
        columns = {
            "ids": named.ids,
            "names": None if names == named.ids else names,
            "training": training.tolist(),
            "support": counts.support_G.tolist(),
            "right": counts.right_G.tolist(),
            "wrong": counts.wrong_G.tolist(),
            **{name: figure.round(2).tolist() for name, figure in zip(("p", "r", "f1"), counts.figures)},
        }
        return {"first": self.first, "documents": documents, "labels": columns}

    @property
    def labels_each(self) -> float:
        """True labels of a document, on average."""
        return float(self.split.labels.lengths.mean())

    @property
    def is_cut(self) -> bool:
        """Whether a listed text is longer than what is listed of it."""
        return any(len(self.split.texts[row]) > LONGEST for row in self.rows)

    @cached_property
    def _scored(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores (V) and bool: is the label true?"""
        ids_Nk, scores_Nk = (
            array[:, : max(self.scoring.ks)] for array in (self.ranking.ids_NK, self.ranking.scores_NK)
        )
        there_Nk = ids_Nk >= 0
        return scores_Nk[there_Nk], hits(ids_Nk, self.ranking.truth)[there_Nk]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST].rstrip() + " …"
