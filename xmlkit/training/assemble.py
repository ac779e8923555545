"""A model and its training documents, of a corpus and settings."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from xmlkit.config import Config
from xmlkit.console import say
from xmlkit.data.corpus import Corpus, validation_rows
from xmlkit.data.template import Template
from xmlkit.data.tokens import token_store, tokenise
from xmlkit.data.unlabelled import read_unlabelled
from xmlkit.data.wordpiece import corpus_tokenizer
from xmlkit.errors import UserError
from xmlkit.hub import proposal
from xmlkit.labels.clusters import Clustering, clusters_of_corpus, clusters_of_vectors
from xmlkit.model.device import use_bfloat16
from xmlkit.model.encoder import (
    NONE,
    SCRATCH,
    SCRATCH_VOCABULARY,
    Encoder,
    NoEncoder,
    load_backbone,
    load_tokenizer,
    longest_input,
    new_backbone,
    scratch_config,
)
from xmlkit.model.folder import (
    Opened,
    Recorded,
    describe_run,
)
from xmlkit.model.inputs import Reader
from xmlkit.model.model import Model
from xmlkit.model.parts import build_representation, seeded
from xmlkit.model.vectoriser import Vectoriser
from xmlkit.tables import ClusterTable
from xmlkit.training.checked import Checked
from xmlkit.training.feed import TrainingData
from xmlkit.training.freeze import with_means
from xmlkit.training.ingredients import Ingredients
from xmlkit.training.init_from import (
    encoder_of,
    in_order_of,
    take_weights,
)
from xmlkit.training.name_documents import name_documents
from xmlkit.training.unlabelled import Unlabelled
from xmlkit.training.warm import label_vectors, warm_start

VectoriserT = TypeVar("VectoriserT", bound=Vectoriser)


def new_model(folder: Path, corpus: Corpus, checked: Checked) -> tuple[Opened, TrainingData]:
    """Makes it, and fills the folder with all but its weights."""
    config, active, device, start = checked.config, checked.active, checked.device, checked.start
    tokenizer, encoder = encoder_of(start, config) if start else _encoder(corpus, config)
    _check_window(encoder, config)
    made_of = Ingredients(config, active, tokenizer, encoder, device)
    corpus_digest, clusters = corpus.digest, None
    if start:
        corpus, clusters = in_order_of(start, corpus)
    elif config.clustered:
        by = _clusters_by_vectors if config.start == "warm" else _clusters_by_words
        found = by(corpus, made_of)
        corpus, clusters = corpus.reordered(found.order_L), ClusterTable(torch.from_numpy(found.starts))
    data = read(corpus, tokenizer, encoder.template, config)
    model = Model(encoder, made_of.context(corpus, data, clusters), active, config.seed)
    if start:
        take_weights(start, model)
    elif config.start == "warm":
        data = with_means(make_ready(model, config, device), data, config)
        warm_start(model, data, made_of.names(corpus.labels), config)
    known = (corpus.labels, data.counts_L, data.num_documents, corpus_digest, clusters)
    recorded = Recorded(encoder, active, tokenizer, config, *known)
    describe_run(folder, recorded, corpus, start, device)
    return Opened.of(recorded, model), data


def make_ready(model: VectoriserT, config: Config, device: torch.device) -> VectoriserT:
    """Moves the model to the device, to be used there as the settings have it."""
    model.to(device)
    model.encoder.in_bfloat16 = use_bfloat16(config.precision, device)
    if config.freeze:
        model.encoder.freeze()
    # Sizes are symbols, so that a batch of another length does not begin it again.
    if config.compile and model.encoder.backbone._compiled_call_impl is None:
        model.encoder.backbone.compile(dynamic=True)
    return model


def read(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, template: Template, config: Config
) -> TrainingData:
    """The training documents, tokenised, with the validation part apart."""
    store = token_store(corpus.train.texts, tokenizer, config.text_cap)
    apart = held_out(corpus, config)
    labels, train_rows, names, unlabelled = corpus.train.labels, np.flatnonzero(~apart), None, None
    if config.name_documents:
        tokens_of = partial(tokenise, tokenizer=tokenizer, cap=config.text_cap)
        names = name_documents(corpus.labels, labels.take(train_rows), config.name_documents, tokens_of)
    if config.unlabelled:
        texts = read_unlabelled(config.unlabelled, corpus)
        unlabelled = Unlabelled(texts, token_store(texts, tokenizer, config.text_cap))
    return TrainingData(
        Reader(store, template, config.max_len),
        labels,
        train_rows,
        np.flatnonzero(apart),
        np.bincount(labels.values, minlength=len(corpus.labels)),
        names,
        unlabelled,
    )


def held_out(corpus: Corpus, config: Config) -> np.ndarray:
    """Which training documents are the validation part: an array of bool."""
    return validation_rows(corpus.train.texts, config.validation, config.validation_max)


def _clusters_by_words(corpus: Corpus, made_of: Ingredients) -> Clustering:
    """Clusters of the labels by the words of what is trained on."""
    config = made_of.config
    trained_on = corpus.train.take(np.flatnonzero(~held_out(corpus, config)))
    sizes = (len(corpus.labels), config.cluster_size, config.seed)
    return clusters_of_corpus(trained_on.texts, trained_on.labels, *sizes)


def _clusters_by_vectors(corpus: Corpus, made_of: Ingredients) -> Clustering:
    """The same by the vectors that the model begins with, made by the parts that it will have."""
    config = made_of.config
    documents_alone = config.model_copy(update={"name_documents": None, "unlabelled": None})
    data = read(corpus, made_of.tokenizer, made_of.encoder.template, documents_alone)
    representation = build_representation(made_of.context(corpus, data, None), made_of.active, config.seed)
    model = make_ready(Vectoriser(made_of.encoder, representation), config, made_of.device)
    data = with_means(model, data, documents_alone)
    vectors_LD = label_vectors(model, data, made_of.names(corpus.labels), config)
    return clusters_of_vectors(vectors_LD, config.cluster_size, config.seed)


def _encoder(corpus: Corpus, config: Config) -> tuple[PreTrainedTokenizerBase, Encoder]:
    if config.encoder == NONE:
        tokenizer = corpus_tokenizer(corpus.train.texts, SCRATCH_VOCABULARY)
        return tokenizer, NoEncoder(Template.of(tokenizer))
    if config.encoder == SCRATCH:
        say(f"encoder: a small transformer from random weights; better: {proposal()}")
        tokenizer = corpus_tokenizer(corpus.train.texts, SCRATCH_VOCABULARY)
        with seeded(config.seed, "encoder"):
            backbone = new_backbone(scratch_config(tokenizer))
    else:
        tokenizer = load_tokenizer(config.encoder)
        backbone = load_backbone(config.encoder, tokenizer)
    return tokenizer, Encoder(backbone, Template.of(tokenizer), config.layers)


def _check_window(encoder: Encoder, config: Config) -> None:
    limit = None if config.encoder == NONE else longest_input(encoder.backbone.config)
    if limit is not None and config.max_len > limit:
        raise UserError(f"--set max_len={config.max_len}: this encoder reads {limit} tokens at most")
    if config.max_len <= encoder.template.special:
        special = encoder.template.special
        raise UserError(f"--set max_len={config.max_len}: the special tokens alone take {special}")
