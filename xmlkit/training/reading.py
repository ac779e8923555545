"""What a plugin may read once its run is trained: `Reading` of hooks.py, over a run's own documents.

N documents, B of a batch, C candidates, D document width, K ranks, L labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xmlkit.config import Config
from xmlkit.doors import Head
from xmlkit.model.inputs import ragged_labels
from xmlkit.model.model import Model
from xmlkit.passing import Documents, RaggedLabels, Vectors
from xmlkit.training.feed import TrainingData
from xmlkit.training.vectors import Unkept, VectorStore, vectors_if_kept

READING = "reading documents again"


class EncodedDocuments:
    """Some rows of the training file, encoded by the model as it is when they are asked for."""

    def __init__(self, model: Model, data: TrainingData, rows: np.ndarray, source: VectorStore | Unkept):
        self._rows, self._source = rows, source
        self.labels: RaggedLabels = ragged_labels(data.labels.take(rows), model.num_labels)

    def batches(self, places: Tensor | None = None) -> Iterator[tuple[Tensor, Documents, Vectors]]:
        """All of them, or those at these places, in batches of like length."""
        chosen = np.arange(len(self._rows)) if places is None else places.numpy()
        for batch, documents, vectors in self._source.batches(self._rows[chosen], READING):
            yield torch.from_numpy(chosen[batch]), documents, vectors


class RunReading:
    """The documents of a run, and what its model says of them."""

    def __init__(self, model: Model, data: TrainingData, config: Config):
        self._model, self._data, self._config = model, data, config
        is_trained = config.epochs > 0 or data.reader.means is not None
        kept = None if is_trained or model.is_split else vectors_if_kept(model, data.reader, config)
        source = kept or Unkept(model, data.reader, config)
        self.training = EncodedDocuments(model, data, data.train_rows, source)
        self.held_out = EncodedDocuments(model, data, data.validation_rows, source)

    @cached_property
    def _head(self) -> Head:
        return self._model.head_for_prediction()

    def logits_BC(self, rank_BD: Tensor, ids_BC: Tensor) -> Tensor:
        """The head's."""
        return self._model.logits_BC(rank_BD, ids_BC, self._head)

    def rank(self, vectors: Vectors, documents: Documents, k: int) -> tuple[Tensor, Tensor]:
        """As the model is now, but for label vectors that a head computes: those of the first call."""
        score_Bk, ids_Bk = self._model.rank_vectors(vectors, documents, k, self._head)
        return score_Bk.float(), ids_Bk

    def metrics(self, ids_NK: Tensor) -> dict[str, float]:
        """At the k of the settings and 5; ranks that are missing are no hits."""
        data, by = self._data, self._data.scoring(self._config)
        padded_NK = F.pad(ids_NK, (0, max(max(by.ks) - ids_NK.shape[1], 0)), value=-1)
        return by.scores(padded_NK.cpu().numpy(), data.labels.take(data.validation_rows))
