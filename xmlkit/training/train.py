"""From a corpus and settings to a run's folder."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from xmlkit.config import Config, merge
from xmlkit.console import say
from xmlkit.data.corpus import Corpus, validation_rows
from xmlkit.data.template import Template
from xmlkit.data.tokens import token_store, tokenise
from xmlkit.data.wordpiece import corpus_tokenizer
from xmlkit.errors import UserError
from xmlkit.hooks import Run
from xmlkit.inference.predict import Predictor, load_run
from xmlkit.labels.clusters import Clustering, clusters_of_corpus, clusters_of_vectors
from xmlkit.model.device import check_compiler, choose_device, use_bfloat16
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
    check_is_run,
    describe_run,
    open_description,
    run_machine,
    save_weights,
    write_json,
)
from xmlkit.model.inputs import Reader
from xmlkit.model.machine import differences, machine
from xmlkit.model.model import Model
from xmlkit.model.parts import build_representation, chains, seeded
from xmlkit.model.vectoriser import Vectoriser
from xmlkit.plugins import Active, settled
from xmlkit.tables import ClusterTable
from xmlkit.training.checkpoint import CHECKPOINT
from xmlkit.training.claim import LOG, claimed, new_folder
from xmlkit.training.feed import TrainingData
from xmlkit.training.freeze import with_means
from xmlkit.training.ingredients import Ingredients
from xmlkit.training.init_from import (
    check_settings,
    encoder_of,
    in_order_of,
    shared_settings,
    take_weights,
)
from xmlkit.training.name_documents import check_names, name_documents
from xmlkit.training.report import Outcome, outcome_of
from xmlkit.training.trainer import Trainer, count_steps
from xmlkit.training.warm import label_vectors, warm_start

MANY_LABELS = 50_000  # above it labels are clustered unless the settings say otherwise
METRICS = "metrics.json"
TOKENS_AT_ONCE = {"cpu": 2048, "cuda": 32_768}  # what a processor's memory and a device's load ask for


VectoriserT = TypeVar("VectoriserT", bound=Vectoriser)


@dataclass(frozen=True)
class Trained:
    """How a training run ended, and where."""

    folder: Path
    outcome: Outcome
    model: Predictor  # with the best weights, or where it was interrupted with the best so far
    metrics: dict[str, float] | None = None  # on the corpus's test split, in percent; None without one
    seconds: float = 0.0  # of training steps
    stop_asked: bool = False  # by Ctrl-C, be it when all was done; other signals end the process


def train(
    corpus: Corpus,
    config: Config | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    init_from: str | Path | None = None,
) -> Trained:
    """Trains on a corpus, fills a new folder `out` (by default `runs/CORPUS`) and scores the test split.

    `config` is a document of settings as a config file holds it; `init_from` is a run whose weights are the
    start. Raises UserError for bad settings, a corpus that cannot be trained on, a folder that is in use and
    weights that do not fit.
    """
    checked = _check(corpus, config, init_from)
    with new_folder(out, corpus.folder_name) as folder:
        return _finish(_trainer(folder, *_new_model(folder, corpus, checked)), corpus)


def store_start(
    corpus: Corpus, config: Config | Mapping[str, Any] | None = None, out: str | Path | None = None
) -> Path:
    """Fills a new run folder with the weights that a training run of these settings would begin with."""
    checked = _check(corpus, config, None)
    with new_folder(out, corpus.folder_name) as folder:
        opened, _ = _new_model(folder, corpus, checked)
        save_weights(folder, opened.model)
        return folder


def prepare(
    corpus: Corpus,
    config: Config | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    init_from: str | Path | None = None,
) -> Trainer:
    """All of `train` that comes before the first step."""
    checked = _check(corpus, config, init_from)
    with new_folder(out, corpus.folder_name) as folder:
        return _trainer(folder, *_new_model(folder, corpus, checked))


@dataclass(frozen=True)
class _Checked:
    """Settings that can be trained with, as far as that can be told before the work."""

    config: Config
    active: Active
    device: torch.device
    start: Path | None  # of `init_from`


def _check(
    corpus: Corpus, config: Config | Mapping[str, Any] | None, init_from: str | Path | None
) -> _Checked:
    if not isinstance(corpus, Corpus):
        raise UserError(
            f"train takes a Corpus; for a folder: xmlkit.train(xmlkit.load_corpus({str(corpus)!r}))"
        )
    start = None if init_from is None else Path(init_from).resolve()
    given = config.as_given() if isinstance(config, Config) else config or {}
    config, active = settled(merge(shared_settings(start) if start else {}, given), corpus.source)
    device = _device(config)
    if config.compile:
        check_compiler()
    config = _settled(config, len(corpus.labels), device).model_copy(
        update={"options": active.options_as_document}
    )
    if config.name_documents:
        check_names(corpus.labels, config.name_documents, corpus.name)
    if start:
        check_settings(start, config)
    return _Checked(config, active, device, start)


def _new_model(folder: Path, corpus: Corpus, checked: _Checked) -> tuple[Opened, TrainingData]:
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
    data = _read(corpus, tokenizer, encoder.template, config)
    model = Model(encoder, made_of.context(corpus, data, clusters), active, config.seed)
    if start:
        take_weights(start, model)
    elif config.start == "warm":
        data = with_means(make_ready(model, config, device), data, config)
        warm_start(model, data, made_of.names(corpus.labels), config)
    known = (corpus.labels, data.counts_L, data.num_documents, corpus_digest, clusters)
    recorded = Recorded(encoder, active, tokenizer, config, *known)
    describe_run(folder, recorded, corpus.source, start, device)
    return Opened.of(recorded, model), data


def _settled(config: Config, num_labels: int, device: torch.device) -> Config:
    """With the settings decided that depend on the corpus, the device or the present folder."""
    clustered, tokens = config.clustered, config.micro_batch_tokens
    local = Path(config.encoder)
    return config.model_copy(
        update={
            "encoder": str(local.resolve()) if local.is_dir() else config.encoder,
            "clustered": num_labels > MANY_LABELS if clustered is None else clustered,
            "micro_batch_tokens": tokens or TOKENS_AT_ONCE[device.type],
        }
    )


def resume(folder: Path, corpus: Corpus) -> Trained:
    """Goes on with a run from its checkpoint, with its settings, to the weights of an unbroken run.

    Where its training is over and its test split was not scored, that is done. Raises UserError where there
    is no checkpoint, or the corpus is another one.
    """
    check_is_run(folder)
    with claimed(folder):
        return _resume(folder, corpus)


def _resume(folder: Path, corpus: Corpus) -> Trained:
    recorded = open_description(folder)
    config = recorded.config
    if config.compile:
        check_compiler()
    if corpus.digest != recorded.corpus_digest:
        raise UserError(f"{folder} was trained on other documents than {corpus.source or corpus.name} holds")
    if len(corpus.labels) != len(recorded.labels):
        raise UserError(f"{folder} was given labels after its training, which is over: there is no way on")
    corpus = corpus.reordered(np.array([corpus.labels.rows[label] for label in recorded.labels.ids]))
    corpus = replace(corpus, labels=recorded.labels)  # the names that it began with
    outcome = None if (folder / CHECKPOINT).is_file() else outcome_of(folder / LOG)
    if outcome is not None and corpus.test is not None and not (folder / METRICS).is_file():
        return _scored(Trained(folder, outcome, load_run(folder)), corpus)
    data = _read(corpus, recorded.tokenizer, recorded.encoder.template, config)
    made_of = Ingredients(config, recorded.active, recorded.tokenizer, recorded.encoder, _device(config))
    build = made_of.context(corpus, data, recorded.clusters, is_pretrained=False)
    model = Model(recorded.encoder, build, recorded.active, config.seed)
    trainer = _trainer(folder, Opened.of(recorded, model), data)
    trainer.restore()
    if other := differences(machine(trainer.device), run_machine(folder)):
        say(f"{', '.join(other)}: it will end close to an unbroken run, not with its very weights")
    return _finish(trainer, corpus)


def _held_out(corpus: Corpus, config: Config) -> np.ndarray:
    return validation_rows(corpus.train.texts, config.validation, config.validation_max)


def _clusters_by_words(corpus: Corpus, made_of: Ingredients) -> Clustering:
    """Clusters of the labels by the words of what is trained on."""
    config = made_of.config
    trained_on = corpus.train.take(np.flatnonzero(~_held_out(corpus, config)))
    sizes = (len(corpus.labels), config.cluster_size, config.seed)
    return clusters_of_corpus(trained_on.texts, trained_on.labels, *sizes)


def _clusters_by_vectors(corpus: Corpus, made_of: Ingredients) -> Clustering:
    """The same by the vectors that the model begins with, made by the parts that it will have."""
    config = made_of.config
    documents_alone = config.model_copy(update={"name_documents": None})
    data = _read(corpus, made_of.tokenizer, made_of.encoder.template, documents_alone)
    representation = build_representation(made_of.context(corpus, data, None), made_of.active, config.seed)
    model = make_ready(Vectoriser(made_of.encoder, representation), config, made_of.device)
    data = with_means(model, data, documents_alone)
    vectors_LD = label_vectors(model, data, made_of.names(corpus.labels), config)
    return clusters_of_vectors(vectors_LD, config.cluster_size, config.seed)


def _read(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, template: Template, config: Config
) -> TrainingData:
    store = token_store(corpus.train.texts, tokenizer, config.text_cap)
    held_out = _held_out(corpus, config)
    labels, train_rows, names = corpus.train.labels, np.flatnonzero(~held_out), None
    if config.name_documents:
        tokens_of = partial(tokenise, tokenizer=tokenizer, cap=config.text_cap)
        names = name_documents(corpus.labels, labels.take(train_rows), config.name_documents, tokens_of)
    return TrainingData(
        Reader(store, template, config.max_len),
        labels,
        train_rows,
        np.flatnonzero(held_out),
        np.bincount(labels.values, minlength=len(corpus.labels)),
        names,
    )


def _trainer(folder: Path, opened: Opened, data: TrainingData) -> Trainer:
    config = opened.config
    device = _device(config)
    make_ready(opened.model, config, device)
    run = Run(folder, config, opened.model, count_steps(len(data.steps.rows), config))
    return Trainer(run, data, opened.active.events)


def _device(config: Config) -> torch.device:
    """The settings' device, on which numbers are from now on as reproducible as they say."""
    device = choose_device(config.device)
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is not deterministic without
    torch.use_deterministic_algorithms(config.deterministic)
    return device


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


def _finish(trainer: Trainer, corpus: Corpus) -> Trained:
    _announce(trainer)
    outcome, folder = trainer.fit(), trainer.run.folder
    trained = Trained(folder, outcome, load_run(folder), None, trainer.seconds, bool(trainer.stop_asked))
    return trained if outcome == "interrupted" else _scored(trained, corpus)


def _scored(trained: Trained, corpus: Corpus) -> Trained:
    if corpus.test is None:
        return trained
    metrics = trained.model.evaluate(corpus.test)
    write_json(trained.folder / METRICS, metrics)
    return replace(trained, metrics=metrics)


def _encoder(corpus: Corpus, config: Config) -> tuple[PreTrainedTokenizerBase, Encoder]:
    if config.encoder == NONE:
        tokenizer = corpus_tokenizer(corpus.train.texts, SCRATCH_VOCABULARY)
        return tokenizer, NoEncoder(Template.of(tokenizer))
    if config.encoder == SCRATCH:
        say(
            "encoder: a small transformer from random weights; "
            "name a pretrained one with --encoder FOLDER_OR_HUB_NAME for better results"
        )
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


def _announce(trainer: Trainer) -> None:
    run, data = trainer.run, trainer.data
    for door, parts in chains(trainer.model.parts).items():
        say(f"{door}: {', '.join(parts)}")
    names = f" and {len(data.names.texts):,} label names" if data.names else ""
    goes_on = f"going on after step {trainer.step_number:,}; " if trainer.step_number else ""
    say(
        f"{goes_on}training on {len(data.train_rows):,} documents{names}, "
        f"{len(data.validation_rows):,} held out, "
        f"{len(data.counts_L):,} labels{_clusters_in_words(trainer)}; "
        f"{run.num_steps:,} steps on {trainer.device.type} in "
        f"{'bfloat16' if trainer.model.encoder.in_bfloat16 else 'float32'}; run: {run.folder}"
    )
    steps_an_epoch = math.ceil(len(data.steps.rows) / run.config.batch_size)
    start = run.config.swa_start
    if start is not None and start * steps_an_epoch + run.config.swa_every > run.num_steps:
        say(f"swa_start={start:g}: no weights will enter the average in {run.num_steps:,} steps")


def _clusters_in_words(trainer: Trainer) -> str:
    clusters = trainer.model.shortlister.clusters
    if clusters is None:
        return ""
    shortlisted = min(trainer.config.shortlist, clusters.num_clusters)
    fewest = shortlisted * int(clusters.starts.diff().min())
    if fewest < max(trainer.config.ks):
        say(f"shortlist={shortlisted}: as few as {fewest} labels are scored; raise shortlist or cluster_size")
    return f" in {clusters.num_clusters:,} clusters, of which {shortlisted:,} are shortlisted"
