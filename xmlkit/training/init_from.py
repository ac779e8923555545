"""Starting from another run's weights instead of fresh ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from xmlkit.config import SHARED, Config
from xmlkit.data.corpus import Corpus
from xmlkit.errors import UserError
from xmlkit.model.encoder import Encoder
from xmlkit.model.folder import open_encoder, read_config, read_labels, read_weights
from xmlkit.model.model import Model
from xmlkit.tables import ClusterTable
from xmlkit.training.checkpoint import below


def shared_settings(run: Path) -> dict[str, Any]:
    """The settings that a run which starts from this one takes over."""
    config = read_config(run)
    return {name: getattr(config, name) for name in SHARED}


def check_settings(run: Path, config: Config) -> None:
    """Raises UserError where settings differ that a run shares with the one that it starts from."""
    for name, theirs in shared_settings(run).items():
        ours = getattr(config, name)
        if ours != theirs:
            raise UserError(f"{name}={ours}: --init-from {run} has {theirs}; leave {name} out")


def in_order_of(run: Path, corpus: Corpus) -> tuple[Corpus, ClusterTable | None]:
    """The corpus with its labels in the rows that they have in the run, and the run's clusters.

    Raises UserError where the labels are not the same.
    """
    labels, _, clusters = read_labels(run)
    if odd := set(labels.ids) ^ set(corpus.labels.ids):
        raise UserError(
            f"--init-from {run}: it has {len(labels):,} labels and {corpus.name} has {len(corpus.labels):,}, "
            f"which are not the same ({min(odd)!r} is on one side alone)"
        )
    return corpus.reordered(np.array([corpus.labels.rows[label] for label in labels.ids])), clusters


def encoder_of(run: Path, config: Config) -> tuple[PreTrainedTokenizerBase, Encoder]:
    """The run's tokenizer, and its encoder with its weights: parts may use it before `take_weights`."""
    tokenizer, encoder = open_encoder(run, config)
    encoder.backbone.load_state_dict(below("encoder/", read_weights(run)))
    return tokenizer, encoder


def take_weights(run: Path, model: Model) -> None:
    """Raises UserError where the run's weights do not fit the model."""
    try:
        model.adopt_weights(read_weights(run))
    except UserError as error:
        raise UserError(f"--init-from {run}: {error}") from None
