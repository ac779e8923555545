"""Labelling texts, and how well that is done: what every opened model can do, and a run's.

N texts, K labels of each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from xmlkit.config import Config, Precision
from xmlkit.data.corpus import Corpus, Labels, Split, validation_rows
from xmlkit.data.lines import HALF_A_PAIR, is_unicode
from xmlkit.data.ragged import Ragged
from xmlkit.data.tokens import token_store, tokenise
from xmlkit.doors import Head
from xmlkit.errors import UserError
from xmlkit.measures.left_out import depth_for, without
from xmlkit.measures.scoring import Ranking, Scoring
from xmlkit.metrics import Terms
from xmlkit.model.device import choose_device, use_bfloat16
from xmlkit.model.folder import Opened, open_run
from xmlkit.model.inputs import Reader
from xmlkit.model.ranking import rank_documents
from xmlkit.model.sharded import shard_encoder
from xmlkit.model.split import split_over_ranks

TEXTS_AT_ONCE = 4096  # of a stream: enough to form batches of like length, little enough to wait for


@dataclass(frozen=True)
class Prediction:
    """A label of a text: its id in the data, its name (the id where there is no name), a score in 0..1."""

    label: str
    name: str
    score: float


class Predictor(ABC):
    """A model that is ready to label texts: a run's, or an ensemble."""

    @property
    @abstractmethod
    def labels(self) -> Labels:
        """All labels that it can give."""

    @property
    @abstractmethod
    def num_parameters(self) -> int:
        """Of the whole model, its encoders included."""

    @property
    @abstractmethod
    def scoring(self) -> Scoring:
        """How it is scored."""

    @abstractmethod
    def held_out(self, corpus: Corpus) -> Split:
        """The documents of its training corpus that it has not learnt from.

        Raises UserError where there are none, or the corpus is another.
        """

    @property
    @abstractmethod
    def shortlists(self) -> bool:
        """Whether a text's labels are looked for among a few, by which `allowed` leaves it fewer still."""

    @abstractmethod
    def rank(
        self,
        texts: Sequence[str],
        k: int,
        kept: bool = False,
        seen: bool = False,
        allowed_L: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores (N, k) in 0..1 and label rows (N, k), best first; -1 where a text has fewer.

        `kept`: these texts will be asked about again, so that work on them may be put into the cache.
        `seen`: it may be made from them, and what looks documents up leaves out each of them itself.
        `allowed_L` (bool): the labels that may be there. Where every label is scored these are the best of
        them; where there is a shortlist, those of them that it holds.
        """

    def predict(
        self,
        texts: Iterable[str],
        top_k: int = 5,
        threshold: float = 0.0,
        allowed: np.ndarray | None = None,
    ) -> list[list[Prediction]]:
        """The best labels of each text, best first, at most `top_k`, with a score of at least `threshold`.

        `allowed` (bool, a label of `labels` each) says which may be given; None: all.
        """
        if isinstance(texts, str):
            raise UserError("predict takes a list of texts; for one text: predict([text])")
        texts = list(texts)
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise UserError(f"texts[{row}]: {text!r} is not a string; give the text itself")
            if not is_unicode(text):
                raise UserError(f"texts[{row}]: {HALF_A_PAIR}")
        return list(self.stream(texts, top_k, threshold, allowed))

    def stream(
        self,
        texts: Iterable[str],
        top_k: int = 5,
        threshold: float = 0.0,
        allowed: np.ndarray | None = None,
    ) -> Iterator[list[Prediction]]:
        """Like `predict`, text by text, for streams of any length in constant memory."""
        if not isinstance(top_k, Integral) or top_k < 1:
            raise UserError(f"top_k={top_k!r}: must be a number, at least 1")
        if not isinstance(threshold, Real) or not 0 <= threshold <= 1:
            raise UserError(f"threshold={threshold!r}: expected a number, and scores lie between 0 and 1")
        allowed = None if allowed is None else np.asarray(allowed)
        if allowed is not None and (allowed.dtype != bool or allowed.shape != (len(self.labels),)):
            raise UserError(f"allowed: expected an array of {len(self.labels):,} bools, one a label")
        texts, top_k = iter(texts), min(top_k, len(self.labels))
        while chunk := list(islice(texts, TEXTS_AT_ONCE)):
            scores_NK, ids_NK = self.rank(chunk, top_k, allowed_L=allowed)
            for scores, ids in zip(scores_NK.tolist(), ids_NK.tolist(), strict=True):
                yield [
                    Prediction(self.labels.ids[row], self.labels.name(row), score)
                    for score, row in zip(scores, ids, strict=True)
                    if row >= 0 and score >= threshold
                ]

    def evaluate(self, split: Split) -> dict[str, float]:
        """The metrics of the settings, in percent; labels that the model does not know count as missed."""
        return self.scoring.of(self.ranking(split, max(self.scoring.ks)))

    def terms(self, split: Split, ks: tuple[int, ...]) -> dict[str, Terms]:
        """The same metrics at these k, document by document, coverage left out."""
        found = self.ranking(split, max(ks))
        return self.scoring.terms(found.ids_NK, found.truth, ks)

    def ranking(self, split: Split, k: int) -> Ranking:
        """The best k labels of each document, without those that a ranking is not asked about."""
        split = split.numbered_as(self.labels)
        ranked = self.rank(split.texts, depth_for(k, split.left_out), kept=True)
        return Ranking(*without(*ranked, split.left_out, k), split.labels)


class RunPredictor(Predictor):
    """A run's model."""

    def __init__(self, opened: Opened, precision: Precision | None = None):
        self.opened = opened  # all that its folder holds
        ready_to_predict(opened, precision)
        opened.model.encoder.round_weights()

    @property
    def config(self) -> Config:
        """The settings that it was trained with."""
        return self.opened.config

    @property
    def labels(self) -> Labels:
        """All labels of its corpus."""
        return self.opened.labels

    @property
    def num_parameters(self) -> int:
        """Of the whole model, the encoder's included."""
        return sum(parameter.numel() for parameter in self.opened.model.parameters())

    @property
    def scoring(self) -> Scoring:
        """As its settings and its corpus have it."""
        opened, config = self.opened, self.config
        propensity = (config.propensity_a, config.propensity_b)
        return Scoring(opened.counts_L, opened.num_documents, config.ks, *propensity)

    def held_out(self, corpus: Corpus) -> Split:
        """Its validation part."""
        corpus.check_same(self.opened.corpus_digest, "the model")
        rows = validation_rows(corpus.train.texts, self.config.validation, self.config.validation_max)
        if not rows.any():
            share, most = self.config.validation, self.config.validation_max
            how = f"validation={share:g}, validation_max={most:,}"
            raise UserError(f"the run held out none of {len(rows):,} documents ({how})")
        return corpus.train.take(np.flatnonzero(rows))

    @property
    def shortlists(self) -> bool:
        """Where it has clusters, or a plugin chooses the candidates."""
        return not self.opened.model.shortlister.every_label

    def rank(
        self,
        texts: Sequence[str],
        k: int,
        kept: bool = False,
        seen: bool = False,
        allowed_L: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of what is `kept` go into the cache."""
        opened, config = self.opened, self.config
        store: Ragged = (token_store if kept else tokenise)(texts, opened.tokenizer, config.text_cap)
        reader = Reader(store, opened.model.encoder.template, config.max_len, seen=seen)
        rows = np.arange(len(store))
        return rank_documents(opened.model, self._head, reader, rows, k, config.tokens_at_once, allowed_L)

    @cached_property
    def _head(self) -> Head:
        """Made at the first text: a plugin may have all label vectors to compute."""
        return self.opened.model.head_for_prediction()


def ready_to_predict(opened: Opened, precision: Precision | None = None) -> None:
    """Moves the model to where it predicts: one that was trained on CUDA can be used without.

    The encoder's `precision`, as the setting; None: as it was trained.
    """
    device = choose_device("cpu" if opened.config.device == "cpu" else "auto")
    opened.model.encoder.in_bfloat16 = use_bfloat16(precision or opened.config.precision, device)
    split_over_ranks(opened.model)
    shard_encoder(opened.model, opened.config, device)
    opened.model.to(device)


def load_run(run: str | Path, precision: Precision | None = None) -> RunPredictor:
    """Opens a run's folder. Raises UserError where it is not one, or needs a plugin that is missing."""
    return RunPredictor(open_run(Path(run)), precision)
