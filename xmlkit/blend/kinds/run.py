"""A run: what its model ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from scipy.special import logit

from xmlkit.blend.member import Candidates, Making, Member, floor_N
from xmlkit.blend.towers import RunTower, Towers, read_number, rows_of, write_number
from xmlkit.data.corpus import Labels
from xmlkit.doors import Head
from xmlkit.model.folder import check_is_run

LEAST = 1e-6  # of a score whose logarithm counts
NEAREST = 1e-15  # to 1: votes of neighbours add up to 23 to a logit


class OfRun(Member):
    """The logits of a run's scores: near 1 their logarithms would tell nothing apart."""

    of_score = "logit"

    def __init__(self, number: str, tower: RunTower, labels: Labels):
        self.tower_number, self.tower = number, tower
        self._rows = rows_of(tower.described.labels, labels)

    @classmethod
    def make(cls, what: str, making: Making) -> Self:
        """`what` is a run's folder."""
        check_is_run(Path(what))
        number, _ = making.tower(what)
        return cls(number, making.towers.run(number), making.corpus.labels)

    def candidates(self, texts: Sequence[str], top_k: int) -> Candidates:
        """What the run's model ranks first."""
        return self._ranked(texts, top_k, False)

    def candidates_of_seen(self, texts: Sequence[str], top_k: int) -> Candidates:
        """The same, told to parts that look documents up."""
        return self._ranked(texts, top_k, True)

    def _ranked(self, texts: Sequence[str], top_k: int, seen: bool) -> Candidates:
        scores_NK = np.zeros((len(texts), min(top_k, len(self._rows) - 1)), np.float64)
        ids_NK = np.full(scores_NK.shape, -1, np.int64)
        model, most = self.tower.model, scores_NK.shape[1]
        for at, documents, vectors in self.tower.read(texts):
            documents = replace(documents, seen=seen)
            scores, ids = model.rank_vectors(vectors, documents, most, self._head)
            scores_NK[at, : ids.shape[1]] = scores.cpu().numpy()
            ids_NK[at, : ids.shape[1]] = ids.cpu().numpy()
        evidence_NK = logit(scores_NK.clip(LEAST, 1 - NEAREST)).astype(np.float32)
        floors_N = floor_N(evidence_NK, len(self._rows) - 1, logit(LEAST))
        return Candidates(self._rows[ids_NK], evidence_NK, floors_N)

    @cached_property
    def _head(self) -> Head:
        return self.tower.model.head_for_prediction()

    def save(self, folder: Path) -> None:
        """Which run it is."""
        write_number(folder, self.tower_number)

    @classmethod
    def open(cls, folder: Path, labels: Labels, towers: Towers) -> Self:
        """The run of this number."""
        number = read_number(folder)
        return cls(number, towers.run(number), labels)
