"""What fits into a budget of time: settings are tried, the best ones first, on a few of the documents.

A trial takes some steps and reads some documents in a folder of its own; what plugins do after the last step
is not in it.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from xmlkit.config import Config, merge
from xmlkit.console import in_words, say, unsaid
from xmlkit.data.batches import training_steps
from xmlkit.data.cache import cache_in
from xmlkit.data.corpus import Corpus
from xmlkit.errors import UserError
from xmlkit.model.encoder import NONE, SCRATCH
from xmlkit.training.assemble import held_out
from xmlkit.training.checked import check
from xmlkit.training.freeze import with_means
from xmlkit.training.train import prepare
from xmlkit.training.trainer import count_steps

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
SAMPLE = 512
ENOUGH = 15.0  # seconds of steps
SPARE = 0.9  # of the budget is planned for
WORTH_IT = 0.2  # share of the tokens: a window that saves less is not tried
WINDOWS = (64, 32)
FROZEN = {"freeze": True, "epochs": 4, "dropout": 0.2}


@dataclass(frozen=True)
class Plan:
    """Settings, and the seconds that training and scoring with them is thought to take."""

    settings: dict[str, Any]
    seconds: float

    def __str__(self) -> str:
        chosen = " ".join(f"{key}={str(value).lower()}" for key, value in self.settings.items())
        return f"{chosen or 'as it is'}: about {in_words(self.seconds)}"


@dataclass(frozen=True)
class Pace:
    """Seconds a document."""

    read: float  # nothing is learnt from it
    step: float
    lengths_N: np.ndarray  # tokens of each document of the trial


def seconds_in(budget: str) -> float:
    """Of `90s`, `30m` or `1.5h`. Raises UserError for what is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", budget.strip())
    if not found or not float(found[1]):
        raise UserError(f"--budget {budget}: expected a time such as 90s, 30m or 1.5h")
    return float(found[1]) * UNITS[found[2]]


def plan_for(corpus: Corpus, settings: Mapping[str, Any], budget: str) -> Plan:
    """The first plan that fits, from all epochs of the whole text down to a start that is not trained.

    What `settings` has is left as it is. Raises UserError for no budget, and one into which nothing fits.
    """
    left = SPARE * seconds_in(budget)
    config = check(corpus, settings, None).config
    if config.unlabelled:
        raise UserError("--budget knows nothing of texts without labels: leave one of both out")
    apart = int(held_out(corpus, config).sum())  # whatever is changed
    paces: dict[tuple[Any, ...], Pace] = {}
    least: Plan | None = None
    for changed in _changes(config, settings):
        document = merge(settings, changed)
        window, tried = changed.get("max_len"), (changed.get("freeze"), changed.get("max_len"))
        if window and _saved(next(iter(paces.values())).lengths_N, window) < WORTH_IT:
            continue
        with unsaid():
            chosen = check(corpus, document, None).config
        if tried not in paces:
            paces[tried] = _pace(corpus, document)
        plan = Plan(changed, _seconds(corpus, apart, chosen, paces[tried]))
        if plan.seconds <= left:
            say(f"budget {budget}: {plan}")
            return plan
        if least is None or plan.seconds < least.seconds:
            least = plan
    assert least is not None
    raise UserError(
        f"--budget {budget}: the least takes longer here ({least}); give it more time, or a smaller encoder"
    )


def _changes(config: Config, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What may be changed, the best results first; nothing that is given."""
    has_encoder = config.encoder != NONE
    windows: list[dict[str, Any]] = [{}]
    if "max_len" not in given and has_encoder:
        windows += [{"max_len": window} for window in WINDOWS if window < config.max_len]
    epochs: list[dict[str, Any]] = [{}]
    if "epochs" not in given:
        epochs += [{"epochs": fewer} for fewer in range(config.epochs - 1, 0, -1)]
    yield from (window | some for window in windows for some in epochs)
    if has_encoder and config.encoder != SCRATCH:
        if "freeze" not in given and config.pooling == "mean":
            frozen = {key: value for key, value in FROZEN.items() if key not in given}
            yield from (window | frozen for window in windows)
        if "epochs" not in given and config.start == "warm":
            yield from (window | {"epochs": 0} for window in windows)


def _saved(lengths_N: np.ndarray, window: int) -> float:
    return 1 - float(np.minimum(lengths_N, window).sum() / lengths_N.sum())


def _seconds(corpus: Corpus, apart: int, config: Config, pace: Pace) -> float:
    documents, tested = len(corpus.train) - apart, len(corpus.test) if corpus.test else 0
    begun = 0
    if config.start == "warm":
        begun = min(documents, config.start_documents * len(corpus.labels))
    if config.freeze:
        begun = len(corpus.train)
    steps, an_epoch = count_steps(documents, config), math.ceil(documents / config.batch_size)
    evaluations = math.ceil(steps / (config.eval_every or an_epoch)) or 1
    evaluated = apart * (min(pace.read, pace.step) if config.freeze else pace.read)
    learning = steps * config.batch_size * pace.step
    return (begun + tested) * pace.read + learning + evaluations * evaluated


def _pace(corpus: Corpus, settings: Mapping[str, Any]) -> Pace:
    rows = np.random.default_rng(0).permutation(len(corpus.train))[:SAMPLE]
    few = replace(corpus, train=corpus.train.take(rows), test=None)
    trial = {
        "epochs": 1,
        "validation": 0.2,
        "validation_max": SAMPLE,
        "start": "prior",  # warm reads them all
    }
    with TemporaryDirectory(prefix="xmlkit-") as folder, cache_in(Path(folder)), unsaid():
        trainer = prepare(few, {**settings, **trial}, Path(folder) / "trial")
        begun = time.perf_counter()
        trainer.data = with_means(trainer.model, trainer.data, trainer.config)
        read_once = time.perf_counter() - begun
        documents = trainer.data.steps
        lengths_N = documents.reader.lengths[documents.rows]
        trainer.model.train()
        spent, tokens = 0.0, 0
        batches = training_steps(lengths_N, trainer.config.batch_size, trainer.config.seed, 0)
        for number, some in enumerate([batches[0], *batches]):
            begun = time.perf_counter()
            trainer.step(trainer.micro_batches(documents.rows[some]))
            if number:  # the first one is slow
                spent, tokens = spent + time.perf_counter() - begun, tokens + int(lengths_N[some].sum())
            if spent > ENOUGH:
                break
        begun = time.perf_counter()
        trainer.scores(trainer.model.eval())
        scored = (time.perf_counter() - begun) / max(1, len(trainer.data.validation_rows))
        read = scored + (read_once / len(few.train) if trainer.config.freeze else 0.0)
        return Pace(read, spent / tokens * float(lengths_N.mean()), lengths_N)
