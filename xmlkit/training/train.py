"""From a corpus and settings to a run's folder."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xmlkit.config import Config
from xmlkit.console import say
from xmlkit.data.corpus import Corpus
from xmlkit.distributed import ranks
from xmlkit.errors import UserError
from xmlkit.hooks import Run
from xmlkit.inference.predict import RunPredictor, load_run
from xmlkit.inference.unseen import Unseen, evaluate_unseen
from xmlkit.model.device import check_compiler
from xmlkit.model.folder import (
    Opened,
    Recorded,
    check_is_run,
    description_of,
    open_description,
    read_config,
    save_weights,
    write_json,
)
from xmlkit.model.machine import differences, machine
from xmlkit.model.model import Model
from xmlkit.model.parts import chains
from xmlkit.model.sharded import Sharded
from xmlkit.model.split import begin_alike, deal_rows, split_over_ranks, without_rows
from xmlkit.training.assemble import make_ready, new_model, read
from xmlkit.training.checked import Checked, check, device_of
from xmlkit.training.checkpoint import CHECKPOINT
from xmlkit.training.claim import LOG, claimed, new_folder
from xmlkit.training.feed import TrainingData
from xmlkit.training.ingredients import Ingredients
from xmlkit.training.report import Outcome, outcome_of
from xmlkit.training.trainer import Trainer, count_steps

METRICS = "metrics.json"


@dataclass(frozen=True)
class Trained:
    """How a training run ended, and where."""

    folder: Path
    outcome: Outcome
    model: RunPredictor  # with the best weights, or where it was interrupted with the best so far
    metrics: dict[str, float] | None = None  # on the corpus's test split, in percent; None without one
    seconds: float = 0.0  # of training steps
    stop_asked: bool = False  # by Ctrl-C, be it when all was done; other signals end the process
    unseen: Unseen | None = None  # like `metrics`, of labels without a training document; None without any


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
    checked = check(corpus, config, init_from)
    ranks.join(checked.config.rank_timeout)
    if begun := ranks.remembered():
        return resume(Path(begun), corpus)
    with _begun(corpus, checked, out) as trainer:
        return _finish(trainer, corpus)


def store_start(
    corpus: Corpus, config: Config | Mapping[str, Any] | None = None, out: str | Path | None = None
) -> Path:
    """Fills a new run folder with the weights that a training run of these settings would begin with."""
    checked = check(corpus, config, None)
    with new_folder(out, corpus.folder_name) as folder:
        opened, _ = new_model(folder, corpus, checked)
        save_weights(folder, opened.model)
        return folder


def prepare(
    corpus: Corpus,
    config: Config | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    init_from: str | Path | None = None,
) -> Trainer:
    """All of `train` that comes before the first step."""
    with _begun(corpus, check(corpus, config, init_from), out) as trainer:
        return trainer


@contextmanager
def _begun(corpus: Corpus, checked: Checked, out: str | Path | None) -> Iterator[Trainer]:
    with ranks.named(), new_folder(out, corpus.folder_name) as folder:
        yield _trainer(folder, corpus, *new_model(folder, corpus, checked))


def resume(folder: Path, corpus: Corpus) -> Trained:
    """Goes on with a run from its checkpoint, with its settings, to the weights of an unbroken run.

    Where its training is over and its test split was not scored, that is done. Raises UserError where there
    is no checkpoint, or the corpus is another one.
    """
    check_is_run(folder)
    ranks.join(read_config(folder).rank_timeout)
    with ranks.named(), claimed(folder):
        return _resume(folder, corpus)


def _resume(folder: Path, corpus: Corpus) -> Trained:
    recorded = open_description(folder)
    config = recorded.config
    if config.compile:
        check_compiler()
    corpus = _as_recorded(corpus, recorded, folder)
    outcome = None if (folder / CHECKPOINT).is_file() else outcome_of(folder / LOG)
    if outcome is not None and corpus.test is not None and not (folder / METRICS).is_file():
        return _scored(Trained(folder, outcome, load_run(folder)), corpus)
    with ranks.first_then_rest() as is_first:
        opened, data = _of_record(recorded, corpus, is_first)
    trainer = _trainer(folder, corpus, opened, data)
    trainer.restore()
    if other := differences(machine(trainer.device), description_of(folder).machine):
        say(f"{', '.join(other)}: it will end close to an unbroken run, not with its very weights")
    return _finish(trainer, corpus)


def _as_recorded(corpus: Corpus, recorded: Recorded, folder: Path) -> Corpus:
    """With labels in the run's order. Raises UserError where it is not the run's."""
    corpus.check_same(recorded.corpus_digest, folder)
    if len(corpus.labels) != len(recorded.labels):
        raise UserError(f"{folder} was given labels after its training, which is over: there is no way on")
    corpus = corpus.reordered(np.array([corpus.labels.rows[label] for label in recorded.labels.ids]))
    return replace(corpus, labels=recorded.labels)  # the names that it began with


def _of_record(recorded: Recorded, corpus: Corpus, is_first: bool) -> tuple[Opened, TrainingData]:
    """The run's model, whose weights are to come, and what it is trained on."""
    config = recorded.config
    data = read(corpus, recorded.tokenizer, recorded.encoder.template, config)
    made_of = Ingredients(config, recorded.active, recorded.tokenizer, recorded.encoder, device_of(config))
    build = made_of.context(corpus, data, recorded.clusters, is_pretrained=False)
    make = partial(Model, recorded.encoder, build, recorded.active, config.seed)
    return Opened.of(recorded, make() if is_first else without_rows(make)), data


def _trainer(folder: Path, corpus: Corpus, opened: Opened, data: TrainingData) -> Trainer:
    config = opened.config
    device = device_of(config)
    deal_rows(opened.model)
    begin_alike(opened.model)
    split_over_ranks(opened.model)
    make_ready(opened.model, config, device)
    steps = count_steps(len(data.steps.rows), config)
    run = Run(folder, config, opened.model, steps, corpus.name, ranks.is_first())
    return Trainer(run, data, opened.active.plugins)


def _finish(trainer: Trainer, corpus: Corpus) -> Trained:
    _announce(trainer)
    outcome, folder = trainer.fit(), trainer.run.folder
    trained = Trained(folder, outcome, load_run(folder), None, trainer.seconds, bool(trainer.stop_asked))
    return trained if outcome == "interrupted" else _scored(trained, corpus)


def _scored(trained: Trained, corpus: Corpus) -> Trained:
    if corpus.test is None:
        return trained
    metrics, unseen = trained.model.evaluate(corpus.test), evaluate_unseen(trained.model, corpus.test)
    more = {"unseen": unseen.as_document()} if unseen else {}
    write_json(trained.folder / METRICS, {**metrics, **more})
    return replace(trained, metrics=metrics, unseen=unseen)


def metrics_of(folder: Path) -> dict[str, Any]:
    """What a folder's metrics.json holds; nothing where there is none. Raises UserError for a damaged one."""
    path = folder / METRICS
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
        figures = [value for name, value in found.items() if "@" in name]
        if all(isinstance(value, float | int) and math.isfinite(value) for value in figures):
            return dict(found)
    except (ValueError, AttributeError, RecursionError):
        pass
    raise UserError(f"{path} is damaged: put the file back, or delete it")


def _announce(trainer: Trainer) -> None:
    run, data = trainer.run, trainer.data
    for door, parts in chains(trainer.model.parts).items():
        say(f"{door}: {', '.join(parts)}")
    names = f" and {len(data.names.texts):,} label names" if data.names else ""
    names += f" and {len(data.unlabelled.documents):,} texts without labels" if data.unlabelled else ""
    goes_on = f"going on after step {trainer.step_number:,}; " if trainer.step_number else ""
    say(
        f"{goes_on}training on {len(data.train_rows):,} documents{names}, "
        f"{len(data.validation_rows):,} held out, "
        f"{len(data.counts_L):,} labels{_clusters_in_words(trainer)}; "
        f"{run.num_steps:,} steps on {trainer.device.type} in "
        f"{'bfloat16' if trainer.model.encoder.in_bfloat16 else 'float32'}"
        f"{_parts_in_words(trainer)}; run: {run.folder}"
    )
    steps_an_epoch = math.ceil(len(data.steps.rows) / run.config.batch_size)
    start = run.config.swa_start
    every = run.config.swa_every
    if start is not None and (int(start * steps_an_epoch) // every + 1) * every > run.num_steps:
        say(f"swa_start={start:g}: no weights will enter the average in {run.num_steps:,} steps")
    if run.config.patience is not None and not len(data.validation_rows):
        say(f"patience={run.config.patience}: no document is held out, so that nothing will stop it early")


def _parts_in_words(trainer: Trainer) -> str:
    is_sharded = isinstance(trainer.model.encoder, Sharded)
    return f", the encoder in {ranks.count()} parts" if is_sharded else ""


def _clusters_in_words(trainer: Trainer) -> str:
    clusters = trainer.model.shortlister.clusters
    if clusters is None:
        return ""
    shortlisted = min(trainer.config.shortlist, clusters.num_clusters)
    fewest = shortlisted * int(clusters.starts.diff().min())
    if fewest < max(trainer.config.ks):
        say(f"shortlist={shortlisted}: as few as {fewest} labels are scored; raise shortlist or cluster_size")
    return f" in {clusters.num_clusters:,} clusters, of which {shortlisted:,} are shortlisted"
