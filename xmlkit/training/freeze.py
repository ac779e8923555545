"""`freeze`: an encoder that stays as it is reads each text once; steps read what it said.

H encoder width.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xmlkit.config import Config
from xmlkit.doors import Representation
from xmlkit.model.inputs import Means, Reader
from xmlkit.model.parts import chain
from xmlkit.model.representation import TokenMean
from xmlkit.model.vectoriser import Vectoriser
from xmlkit.training.feed import TrainingData
from xmlkit.training.vectors import VectorStore, kept_vectors


def with_means(model: Vectoriser, data: TrainingData, config: Config) -> TrainingData:
    """The same documents, with the mean states of a frozen encoder, where no part asks for more."""
    if not config.freeze or data.reader.means is not None or not model.encoder.hidden or _reads_states(model):
        return data
    alone = Vectoriser(model.encoder, TokenMean(model.encoder.hidden, 0.0))

    def means_of(reader: Reader) -> Means:
        store = kept_vectors(alone, reader, config)
        assert isinstance(store, VectorStore)
        store.encode(np.arange(len(reader.store)), "reading all documents once")
        return store.rank

    names = data.names
    if names is not None:
        names = replace(names, means=means_of(replace(data.reader, store=names.texts)))
    return replace(data, reader=replace(data.reader, means=means_of(data.reader)), names=names)


def _reads_states(model: Vectoriser) -> bool:
    return any(isinstance(part, Representation) and part.reads_states for part in chain(model.representation))
