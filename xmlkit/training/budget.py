"""What fits into a budget of time: settings are tried, the best ones first, on a few of the documents.

A trial prepares a model, takes some steps, reads some documents and has plugins do what they do after the
last step, in a folder of its own.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

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
from xmlkit.training.reading import RunReading
from xmlkit.training.train import prepare
from xmlkit.training.trainer import Trainer, count_steps

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
SAMPLE = 512
ENOUGH = 15.0  # seconds of steps
SPARE = 0.9  # of the budget is planned for
NAME = 8  # tokens of a label's name, about
WORTH_IT = 0.2  # share of the tokens: a window that saves less is not tried
WINDOWS = (64, 32)
FROZEN = {"freeze": True, "epochs": 4, "dropout": 0.2}


class Budget:
    """A time that was given, which runs from then on. Raises UserError for what is none."""

    def __init__(self, given: str):
        self.given, self._seconds, self._begun = given, seconds_in(given), time.monotonic()
        self._estimate, self._tried = 0.0, 0.0

    @property
    def left(self) -> float:
        """Seconds that can be planned for."""
        return SPARE * self._seconds - self._spent

    @property
    def _spent(self) -> float:
        return time.monotonic() - self._begun

    def say_plan(self, what: str, seconds: float) -> None:
        """What was chosen, and how long it is thought to take."""
        self._estimate, self._tried = seconds, self._spent
        say(f"budget {self.given}: {what}: about {in_words(seconds)}")

    def say_taken(self) -> None:
        """How long it was in the end, beside the estimate."""
        took = self._spent - self._tried
        say(
            f"budget {self.given}: it took {in_words(took)}, after trials of {in_words(self._tried)}; "
            f"the estimate was {in_words(self._estimate)}"
        )


@dataclass(frozen=True)
class Pace:
    """Seconds a document, and of a whole."""

    read: float  # nothing is learnt from it
    step: float
    lengths_N: np.ndarray  # tokens of each document of the trial
    ready: float = 0.0  # all that comes before the first step but what is read
    saved: float = 0.0  # a checkpoint, of which there is one at the start and after each evaluation
    after: float = 0.0  # what plugins do after the last one, whatever is held out
    after_held_out: float = 0.0  # the same for each held-out document
    reads_again: bool = False  # whether they do anything then, of which reading is supposed

    def again(self, config: Config) -> float:
        """A document by a model that has been trained: means that a frozen encoder left are not read anew."""
        return min(self.read, self.step) if config.freeze else self.read


@dataclass(frozen=True)
class Plan:
    """Settings, and the seconds that training and scoring with them is thought to take."""

    settings: dict[str, Any]
    config: Config
    pace: Pace
    seconds: float
    shared: float = 0.0  # of them for what a frozen encoder reads once, whoever asks

    @property
    def words(self) -> str:
        """What is chosen."""
        chosen = " ".join(f"{key}={str(value).lower()}" for key, value in self.settings.items())
        return chosen or "as it is"


class Trials:
    """What runs cost whose settings differ in little: each kind of step is tried once."""

    def __init__(self, corpus: Corpus, settings: Mapping[str, Any], given: Collection[str]):
        """`given` are names of settings that are left as they are.

        Raises UserError for settings that make no run, and such whose time is not known.
        """
        self.config = check(corpus, settings, None).config
        if self.config.unlabelled:
            raise UserError("--budget knows nothing of texts without labels: leave one of both out")
        if self.config.name_documents:
            raise UserError("--budget knows nothing of names that are documents: leave name_documents out")
        self._corpus, self._settings, self._given = corpus, settings, given
        self._apart = int(held_out(corpus, self.config).sum())  # whatever is changed
        self.num_documents = len(corpus.train) - self._apart  # that are learnt from
        self._paces: dict[tuple[Any, ...], Pace] = {}

    def learning(self) -> Iterator[Plan]:
        """An encoder that learns, or not, as the settings have it; the best results first."""
        epochs: list[dict[str, Any]] = [{}]
        if "epochs" not in self._given:
            epochs += [{"epochs": fewer} for fewer in range(self.config.epochs - 1, 0, -1)]
        return self._plans(epochs)

    def spared(self) -> Iterator[Plan]:
        """A pretrained encoder that stays as it is, and then nothing but the start."""
        config, given = self.config, self._given
        if config.encoder in (NONE, SCRATCH):
            return
        if "freeze" not in given and config.pooling == "mean":
            yield from self._plans([{key: value for key, value in FROZEN.items() if key not in given}])
        if "epochs" not in given and config.start == "warm":
            yield from self._plans([{"epochs": 0}])

    def _plans(self, changes: list[dict[str, Any]]) -> Iterator[Plan]:
        """All of them in the whole window, then in each smaller one that is worth it."""
        windows: list[dict[str, Any]] = [{}]
        if "max_len" not in self._given and self.config.encoder != NONE:
            windows += [{"max_len": window} for window in WINDOWS if window < self.config.max_len]
        for window in windows:
            if window and _saved(next(iter(self._paces.values())).lengths_N, window["max_len"]) < WORTH_IT:
                continue
            for some in changes:
                yield self._plan(window | some)

    def rest(self, left: float) -> Plan:
        """The settings as they are and this share of the steps; below 1, what comes before them is over."""
        return self._plan({}, left)

    def _plan(self, changed: dict[str, Any], left: float = 1.0) -> Plan:
        document = merge(self._settings, changed)
        with unsaid():
            config = check(self._corpus, document, None).config
        tried = config.freeze, config.max_len
        if tried not in self._paces:
            self._paces[tried] = _pace(self._corpus, document)
        pace = self._paces[tried]
        shared, own = _seconds(self._corpus, self._apart, config, pace, left)
        return Plan(changed, config, pace, shared + own, shared)


def seconds_in(budget: str) -> float:
    """Of `90s`, `30m` or `1.5h`. Raises UserError for what is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", budget.strip())
    if not found or not float(found[1]):
        raise UserError(f"--budget {budget}: expected a time such as 90s, 30m or 1.5h")
    return float(found[1]) * UNITS[found[2]]


def plan_for(corpus: Corpus, settings: Mapping[str, Any], budget: Budget) -> Plan:
    """The first plan that fits, from all epochs of the whole text down to a start that is not trained.

    What `settings` has is left as it is. Raises UserError for a budget into which nothing fits.
    """
    trials, least = Trials(corpus, settings, settings), None
    for plans in (trials.learning(), trials.spared()):
        for plan in plans:
            if plan.seconds <= budget.left:
                budget.say_plan(plan.words, plan.seconds)
                return plan
            least = plan if least is None or plan.seconds < least.seconds else least
    assert least is not None
    raise UserError(
        f"--budget {budget.given}: the least takes longer here ({least.words}: about "
        f"{in_words(least.seconds)}); give it more time, or a smaller encoder"
    )


def _saved(lengths_N: np.ndarray, window: int) -> float:
    return 1 - float(np.minimum(lengths_N, window).sum() / lengths_N.sum())


def _seconds(corpus: Corpus, apart: int, config: Config, pace: Pace, left: float) -> tuple[float, float]:
    """What a frozen encoder reads, and all else, with this share of the steps left."""
    documents, tested = len(corpus.train) - apart, len(corpus.test) if corpus.test else 0
    begun, own = 0.0, 0.0
    if left == 1:
        if config.start == "warm":
            begun = min(documents, config.start_documents * len(corpus.labels))
        if config.freeze:
            begun = len(corpus.train)
        if config.start == "warm" and config.encoder != NONE:
            begun += len(corpus.labels) * NAME / float(pace.lengths_N.mean())
    reading = (begun + tested) * pace.read
    if left:
        steps, an_epoch = left * count_steps(documents, config), math.ceil(documents / config.batch_size)
        evaluations, again = math.ceil(steps / (config.eval_every or an_epoch)) or 1, pace.again(config)
        own = pace.ready + steps * config.batch_size * pace.step
        own += evaluations * apart * again + (1 + evaluations) * pace.saved
        if pace.reads_again:
            own += pace.after + apart * pace.after_held_out + (documents + apart) * again
    return (reading, own) if config.freeze else (0.0, reading + own)


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
        begun = time.perf_counter()
        trainer = prepare(few, {**settings, **trial}, Path(folder) / "trial")
        ready = time.perf_counter() - begun
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
        step = spent / tokens * float(lengths_N.mean())
        begun = time.perf_counter()
        trainer.save()
        saved = time.perf_counter() - begun
        if not trainer.events.awaits_trained:
            return Pace(read, step, lengths_N, ready, saved)
        return Pace(read, step, lengths_N, ready, saved, *_after(trainer), reads_again=True)


@torch.no_grad()
def _after(trainer: Trainer) -> tuple[float, float]:
    """Seconds of what plugins do when the model is trained: whatever is held out, and a held-out document.

    Seen by having them do it for half of these documents and for all.
    """
    taken, held_out_N = list[float](), trainer.data.validation_rows
    for rows in (held_out_N[::2], held_out_N):
        data, begun = replace(trainer.data, validation_rows=rows), time.perf_counter()
        trainer.events.trained(trainer.run, RunReading(trainer.model, data, trainer.config))
        taken.append(time.perf_counter() - begun)
    each = max(0.0, taken[1] - taken[0]) / max(1, len(held_out_N[1::2]))
    return max(0.0, taken[1] - each * len(held_out_N)), each
