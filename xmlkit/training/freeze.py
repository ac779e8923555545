"""`freeze`: an encoder that stays as it is reads each text once; steps read what it said.

H encoder width.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xmlkit.config import Config
from xmlkit.doors import Representation
from xmlkit.model.inputs import Reader
from xmlkit.model.parts import chain
from xmlkit.model.vectoriser import Vectoriser
from xmlkit.training.feed import TrainingData
from xmlkit.training.vectors import kept_means

READING = "reading all documents once"


def with_means(model: Vectoriser, data: TrainingData, config: Config) -> TrainingData:
    """The same documents, with the mean states of a frozen encoder, where no part asks for more."""
    reader = reader_with_means(model, data.reader, config)
    if reader is data.reader:
        return data
    names, unlabelled = data.names, data.unlabelled
    if names is not None:
        of_names = reader_with_means(model, replace(data.reader, store=names.texts), config, "reading names")
        names = replace(names, means=of_names.means)
    if unlabelled is not None:
        of_texts = reader_with_means(model, replace(data.reader, store=unlabelled.texts), config)
        unlabelled = replace(unlabelled, means=of_texts.means)
    return replace(data, reader=reader, names=names, unlabelled=unlabelled)


def reader_with_means(model: Vectoriser, reader: Reader, config: Config, what: str = READING) -> Reader:
    """The same for what is read; the states are in the cache folder, or go there while `what` is shown."""
    if reader.means is not None or not means_suffice(model, config):
        return reader
    store = kept_means(model.encoder, reader, config.tokens_at_once)
    store.encode(np.arange(len(reader.store)), what)
    return replace(reader, means=store.rank)


def means_suffice(model: Vectoriser, config: Config) -> bool:
    """Whether the encoder is frozen, and no part asks for more than the mean of its states."""
    parts = [part for part in chain(model.representation) if isinstance(part, Representation)]
    return config.freeze and model.encoder.hidden > 0 and not any(part.reads_states for part in parts)
