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
from xmlkit.distributed import ranks
from xmlkit.errors import UserError
from xmlkit.hub import proposal
from xmlkit.labels.clusters import Cluster, Clustering, clusters_of_corpus, clusters_of_vectors
from xmlkit.model.device import use_bfloat16
from xmlkit.model.encoder import (
    NONE,
    SCRATCH,
    SCRATCH_VOCABULARY,
    Encoder,
    NoEncoder,
    load_backbone,
    load_tokenizer,
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
from xmlkit.model.sharded import shard_encoder
from xmlkit.model.split import begin_alike, without_rows
from xmlkit.model.vectoriser import Vectoriser
from xmlkit.tables import ClusterTable
from xmlkit.training.checked import Checked
from xmlkit.training.clusters import clusters_together
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
from xmlkit.training.warm import Names, label_vectors, read_ahead, warm_start

VectoriserT = TypeVar("VectoriserT", bound=Vectoriser)


def new_model(folder: Path, corpus: Corpus, checked: Checked) -> tuple[Opened, TrainingData]:
    """Makes it, and fills the folder with all but its weights.

    Several ranks read together what the first makes clusters and weights of, which are everybody's.
    """
    config, active, device, start = checked.config, checked.active, checked.device, checked.start
    corpus_digest, clusters = corpus.digest, None
    ranks.check_alike(f"a corpus with the digest {corpus_digest}")
    with ranks.first_then_rest():
        tokenizer, encoder = encoder_of(start, config) if start else _encoder(corpus, config)
    _check_window(encoder, config)
    made_of = Ingredients(config, active, tokenizer, encoder, device)
    if start:
        corpus, clusters = in_order_of(start, corpus)
    elif config.clustered:
        by = _clusters_by_vectors if config.start == "warm" else _clusters_by_words
        found = by(corpus, made_of)
        corpus, clusters = corpus.reordered(found.order_L), ClusterTable(torch.from_numpy(found.starts))
    with ranks.first_then_rest() as is_first:
        data = read(corpus, tokenizer, encoder.template, config)
        build = made_of.context(corpus, data, clusters, is_first)
        make = partial(Model, encoder, build, active, config.seed)
        model = make() if is_first else without_rows(make)
        if start and is_first:
            take_weights(start, model)
    if data.unlabelled and not model.combiner.loss_names:
        raise UserError(
            f"unlabelled={config.unlabelled}: no loss learns from texts without labels: add --plugin distil "
            "and its teacher, or leave it out"
        )
    if not start and config.start == "warm":
        names = made_of.names(corpus.labels)
        data = _ready_and_read(Vectoriser(encoder, model.representation), data, names, config, device)
        with ranks.first_then_rest() as is_first:
            if is_first:
                warm_start(make_ready(model, config, device), data, names, config)
    known = (corpus.labels, data.counts_L, data.num_documents, corpus_digest, clusters)
    recorded = Recorded(encoder, active, tokenizer, config, *known)
    if ranks.is_first():
        describe_run(folder, recorded, corpus, start, device)
    return Opened.of(recorded, model), data


def _ready_and_read(
    model: Vectoriser, data: TrainingData, names: Names, config: Config, device: torch.device
) -> TrainingData:
    """Makes the model ready to read both, and has several ranks do so; the data as steps read them."""
    begin_alike(model.encoder)
    begin_alike(model.representation)
    data = with_means(make_ready(model, config, device), data, config)
    read_ahead(model, data, names, config)
    return data


def make_ready(model: VectoriserT, config: Config, device: torch.device) -> VectoriserT:
    """Moves the model to the device, to be used there as the settings have it."""
    model.encoder.in_bfloat16 = use_bfloat16(config.precision, device)
    if config.freeze:
        model.encoder.freeze()
    shard_encoder(model, config, device)
    model.to(device)
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

    def find(cluster: Cluster) -> Clustering:
        trained_on = corpus.train.take(np.flatnonzero(~held_out(corpus, config)))
        sizes = (len(corpus.labels), config.cluster_size, config.seed)
        return clusters_of_corpus(trained_on.texts, trained_on.labels, *sizes, cluster)

    return clusters_together(find, len(corpus.labels), config.cluster_size, config.seed)


def _clusters_by_vectors(corpus: Corpus, made_of: Ingredients) -> Clustering:
    """The same by the vectors that the model begins with, made by the parts that it will have."""
    config, device = made_of.config, made_of.device
    documents_alone = config.model_copy(update={"name_documents": None, "unlabelled": None})
    with ranks.first_then_rest():
        data = read(corpus, made_of.tokenizer, made_of.encoder.template, documents_alone)
        build = made_of.context(corpus, data, None)
        representation = build_representation(build, made_of.active, config.seed)
    model, names = Vectoriser(made_of.encoder, representation), made_of.names(corpus.labels)
    data = _ready_and_read(model, data, names, documents_alone, device)

    def find(cluster: Cluster) -> Clustering:
        vectors_LD = label_vectors(model, data, names, config)
        return clusters_of_vectors(vectors_LD, config.cluster_size, config.seed, cluster)

    return clusters_together(find, len(corpus.labels), config.cluster_size, config.seed)


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
    limit = encoder.longest_input
    if limit is not None and config.max_len > limit:
        raise UserError(f"--set max_len={config.max_len}: this encoder reads {limit} tokens at most")
    if config.max_len <= encoder.template.special:
        special = encoder.template.special
        raise UserError(f"--set max_len={config.max_len}: the special tokens alone take {special}")
