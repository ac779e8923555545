"""An ensemble as a model, and what it or a run was made from.

N texts, K labels of each, V pairs of a text and a label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xmlkit.blend.calibration import calibration_error
from xmlkit.blend.folder import Whole, describe
from xmlkit.blend.held_out import held_out_by
from xmlkit.blend.member import NAMED, Candidates, Member, checked
from xmlkit.data.corpus import HOW_TO_TEST, Corpus, Labels, Split
from xmlkit.data.dialect import Source
from xmlkit.errors import UserError
from xmlkit.inference.predict import (
    TEXTS_AT_ONCE,
    Predictor,
)
from xmlkit.measures.left_out import depth_for, without
from xmlkit.measures.scoring import Ranking, Scoring
from xmlkit.metrics import hits
from xmlkit.model.folder import is_ensemble, run_source, source_there


@dataclass(frozen=True)
class Evaluated:
    """What an ensemble and its members make of a split's documents."""

    ranking: Ranking
    members: list[tuple[str, np.ndarray]]  # by name, own best labels (N, K), as `ranking` has the whole's
    error_before: float  # expected calibration error of the whole's first labels, in percent
    error: float  # and after calibration


class Ensemble(Predictor):
    """Members and how their words are weighed."""

    def __init__(self, whole: Whole):
        self.whole = whole

    @property
    def labels(self) -> Labels:
        """All labels of the corpus."""
        return self.whole.labels

    @property
    def num_parameters(self) -> int:
        """Of all models that read texts."""
        return sum(p.numel() for tower in self.whole.towers.all() for p in tower.model.parameters())

    @property
    def members(self) -> list[tuple[str, Member]]:
        """By their names."""
        named = zip(self.whole.described.members, self.whole.members, strict=True)
        return [(about.name, member) for about, member in named]

    @property
    def scoring(self) -> Scoring:
        """As the runs among the members have it."""
        return self.whole.scoring

    def held_out(self, corpus: Corpus) -> Split:
        """Those that no member has learnt from; its weights were fitted on them."""
        described = self.whole.described
        corpus.check_same(described.corpus, "the ensemble")
        if not described.validation:
            raise UserError("the ensemble does not say which documents it held out: make it again")
        return corpus.train.take(np.flatnonzero(held_out_by(corpus, described.validation)))

    @property
    def shortlists(self) -> bool:
        """What members name."""
        return True

    def rank(
        self,
        texts: Sequence[str],
        k: int,
        kept: bool = False,
        seen: bool = False,
        allowed_L: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores are chances."""
        z_NK, ids_NK = self.logits(texts, k, seen, allowed_L)
        return self._chances(z_NK, ids_NK), ids_NK

    def _chances(self, z_NK: np.ndarray, ids_NK: np.ndarray) -> np.ndarray:
        return np.where(ids_NK < 0, 0.0, self.whole.calibration(z_NK))

    def logits(
        self, texts: Sequence[str], k: int, seen: bool = False, allowed_L: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """What chances are made of (N, k), and the label rows."""
        found = [(z_NK, ids_NK) for z_NK, ids_NK, _ in self._read(texts, k, seen, allowed_L)]
        if not found:
            return np.zeros((0, k)), np.zeros((0, k), np.int64)
        z, ids = zip(*found)
        return np.concatenate(z), np.concatenate(ids)

    def _read(
        self, texts: Sequence[str], k: int, seen: bool = False, allowed_L: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, list[Candidates]]]:
        """The same of some texts at a time, and what the members say."""
        whole = self.whole
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            some = texts[start : start + TEXTS_AT_ONCE]
            said = []
            for name, member in self.members:
                candidates = member.candidates_of_seen if seen else member.candidates
                found = candidates(some, max(k, NAMED))
                said.append(checked(found, name, len(some), len(self.labels)))
            pairs, z_V = whole.fusion.read(said, whole.seen_L)
            if allowed_L is not None:
                pairs, z_V = pairs.only(allowed_L), z_V[allowed_L[pairs.labels_V]]
            ids_NK, z_NK = pairs.ranked(z_V, k)
            yield z_NK, ids_NK, said

    def evaluated(self, split: Split, k: int) -> Evaluated:
        """As `ranking`, of the members alone, too. Raises UserError where the split has no document.

        Calibration errors are of the first labels, as many as the largest k of the settings.
        """
        if not len(split):
            raise UserError("no documents to score: give a split with at least one document")
        split, depth = split.numbered_as(self.labels), depth_for(k, split.left_out)
        read = self._read(split.texts, depth)
        z, ids, own = zip(*((z, ids, [one.ranked(depth) for one in said]) for z, ids, said in read))
        z_NK, ids_NK = without(np.concatenate(z), np.concatenate(ids), split.left_out, k)
        names = [name for name, _ in self.members]
        alone = [np.concatenate(one) for one in zip(*own)]
        alone = [without(np.zeros(one.shape), one, split.left_out, k)[1] for one in alone]
        ranking = Ranking(self._chances(z_NK, ids_NK), ids_NK, split.labels)
        first = max(self.scoring.ks)
        there_NK = ids_NK[:, :first] >= 0
        right_V, z_V = hits(ids_NK[:, :first], split.labels)[there_NK], z_NK[:, :first][there_NK]
        before = calibration_error(1 / (1 + np.exp(-z_V)), right_V)
        after = calibration_error(self.whole.calibration(z_V), right_V)
        return Evaluated(ranking, list(zip(names, alone, strict=True)), before, after)


def source_of(folder: Path) -> Source:
    """The corpus that a run or an ensemble was made from. Raises UserError where it can't be found."""
    if not is_ensemble(folder):
        return run_source(folder)
    described = describe(folder)
    return source_there(folder, described.source, described.dialect)


def tested_on(folder: Path) -> Source:
    """The same, to read its test split. Raises UserError where it is one file, of training documents."""
    found = source_of(folder)
    if Path(found.path).is_file():
        raise UserError(f"{found.path}: one file of training documents has no test split; {HOW_TO_TEST}")
    return found
