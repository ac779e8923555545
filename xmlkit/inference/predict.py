"""Opening a run and labelling texts with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from xmlkit.config import Config
from xmlkit.data.corpus import Labels, Split
from xmlkit.data.lines import HALF_A_PAIR, is_unicode
from xmlkit.data.ragged import Ragged
from xmlkit.data.tokens import token_store, tokenise
from xmlkit.doors import Head
from xmlkit.errors import UserError
from xmlkit.metrics import Terms, ranking_terms, score_ranking
from xmlkit.model.device import choose_device, use_bfloat16
from xmlkit.model.folder import Opened, open_run
from xmlkit.model.inputs import Reader
from xmlkit.model.ranking import rank_documents

TEXTS_AT_ONCE = 4096  # of a stream: enough to form batches of like length, little enough to wait for


@dataclass(frozen=True)
class Prediction:
    """A label of a text: its id in the data, its name (the id where there is no name), a score in 0..1."""

    label: str
    name: str
    score: float


class Predictor:
    """A trained model, ready to label texts."""

    def __init__(self, opened: Opened):
        self._opened = opened
        ready_to_predict(opened)

    @property
    def config(self) -> Config:
        """The settings that it was trained with."""
        return self._opened.config

    @property
    def labels(self) -> Labels:
        """All labels that it can give."""
        return self._opened.labels

    @property
    def num_parameters(self) -> int:
        """Of the whole model, the encoder's included."""
        return sum(parameter.numel() for parameter in self._opened.model.parameters())

    def predict(self, texts: Iterable[str], top_k: int = 5, threshold: float = 0.0) -> list[list[Prediction]]:
        """The best labels of each text, best first, at most `top_k`, with a score of at least `threshold`."""
        if isinstance(texts, str):
            raise UserError("predict takes a list of texts; for one text: predict([text])")
        texts = list(texts)
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise UserError(f"texts[{row}]: {text!r} is not a string; give the text itself")
            if not is_unicode(text):
                raise UserError(f"texts[{row}]: {HALF_A_PAIR}")
        return list(self.stream(texts, top_k, threshold))

    def stream(
        self, texts: Iterable[str], top_k: int = 5, threshold: float = 0.0
    ) -> Iterator[list[Prediction]]:
        """Like `predict`, text by text, for streams of any length in constant memory."""
        if top_k < 1:
            raise UserError(f"top_k={top_k}: must be at least 1")
        if not 0 <= threshold <= 1:
            raise UserError(f"threshold={threshold}: scores lie between 0 and 1")
        texts, top_k = iter(texts), min(top_k, len(self.labels))
        while chunk := list(islice(texts, TEXTS_AT_ONCE)):
            store = tokenise(chunk, self._opened.tokenizer, self.config.text_cap)
            scores_NK, ids_NK = rank_documents(
                self._opened.model,
                self._head,
                self._reader(store),
                np.arange(len(store)),
                top_k,
                self.config.tokens_at_once,
            )
            for scores, ids in zip(scores_NK.tolist(), ids_NK.tolist(), strict=True):
                yield [
                    Prediction(self.labels.ids[row], self.labels.name(row), score)
                    for score, row in zip(scores, ids, strict=True)
                    if row >= 0 and score >= threshold
                ]

    def evaluate(self, split: Split) -> dict[str, float]:
        """The metrics of the settings, in percent; labels that the model does not know count as missed."""
        return score_ranking(*self._ranked(split, self.config.ks))

    def terms(self, split: Split, ks: tuple[int, ...]) -> dict[str, Terms]:
        """The same metrics at these k, document by document, coverage left out."""
        return ranking_terms(*self._ranked(split, ks))

    def _ranked(self, split: Split, ks: tuple[int, ...]) -> tuple[Any, ...]:
        """The best labels of each document, and all else that the metrics are computed from."""
        config, opened = self.config, self._opened
        split = split.numbered_as(self.labels)
        store = token_store(split.texts, opened.tokenizer, config.text_cap)
        _, ids_NK = rank_documents(
            opened.model,
            self._head,
            self._reader(store),
            np.arange(len(store)),
            max(ks),
            config.tokens_at_once,
        )
        propensity = (config.propensity_a, config.propensity_b)
        return ids_NK, split.labels, opened.counts_L, opened.num_documents, ks, *propensity

    @cached_property
    def _head(self) -> Head:
        """Made at the first text: a plugin may have all label vectors to compute."""
        return self._opened.model.head_for_prediction()

    def _reader(self, store: Ragged) -> Reader:
        return Reader(store, self._opened.model.encoder.template, self.config.max_len)


def ready_to_predict(opened: Opened) -> None:
    """Moves the model to where it predicts: one that was trained on CUDA can be used without."""
    device = choose_device("cpu" if opened.config.device == "cpu" else "auto")
    opened.model.encoder.in_bfloat16 = use_bfloat16(opened.config.precision, device)
    opened.model.to(device)


def load(run: str | Path) -> Predictor:
    """Opens a run's folder. Raises UserError where it is not one, or needs a plugin that is missing."""
    return Predictor(open_run(Path(run)))
