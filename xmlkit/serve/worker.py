"""One thread for a model: texts of all who ask at once are ranked in one batch.

Errands, which are long, are run step by step: after a batch there is one step at most before the next batch.

N texts of a batch, K ranks.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from xmlkit.blend.member import NAMED
from xmlkit.inference.predict import Predictor
from xmlkit.serve.limits import Limits
from xmlkit.serve.wish import Wish

PAIRS_AT_ONCE = 2**20  # texts times ranks of a batch

Found = list[list[tuple[int, float]]]
ResultT = TypeVar("ResultT")
Steps = Generator[None, None, ResultT]


class Full(Exception):
    """As many wait as may."""


class Stopped(Exception):
    """The server ends at once."""


@dataclass(eq=False)
class _Job:
    """The texts of a request; those before `begun` are with the model."""

    texts: Sequence[str]
    wish: Wish
    depth: int
    answer: Future[Found] = field(default_factory=Future)
    found: Found = field(default_factory=list)
    begun: int = 0
    since: float = field(default_factory=time.monotonic)


_Part = tuple[_Job, Sequence[str]]


@dataclass(eq=False)
class _Errand:
    """What takes the model long; who has left is not answered."""

    steps: Steps[Any]
    answer: Future[Any] = field(default_factory=Future)


class Worker:
    """Takes texts until as many as `limits` let wait, and answers them in the order in which they came."""

    def __init__(self, model: Predictor, limits: Limits, heard: Callable[[int, float], None]):
        """`heard` is told of each batch: its texts, none for a step of an errand, and the model's seconds."""
        self._model, self._limits, self._heard = model, limits, heard
        self._jobs: deque[_Job] = deque()
        self._errands: deque[_Errand] = deque()
        self._stepped = True  # since the last batch
        self._waiting, self._hurried, self._ending, self._at_once = 0, False, False, False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="model")
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Texts that the model has not begun with."""
        return self._waiting

    @property
    def errands(self) -> int:
        """Those that somebody waits for."""
        with self._changed:
            return sum(not errand.answer.cancelled() for errand in self._errands)

    def ask(self, texts: Sequence[str], wish: Wish) -> Future[Found]:
        """Label rows and scores of each text, once they are known. Raises Full."""
        job = _Job(texts, wish, min(wish.top_k, len(self._model.labels)))
        job.answer.set_running_or_notify_cancel()  # who leaves can't take it back
        if not texts or not job.depth:
            job.answer.set_result([[] for _ in texts])
            return job.answer
        with self._changed:
            assert not self._ending
            if self._waiting + len(texts) > self._limits.queue:
                raise Full
            self._jobs.append(job)
            self._waiting += len(texts)
            self._changed.notify()
        return job.answer

    def send(self, steps: Steps[ResultT]) -> Future[ResultT]:
        """What they return, once they have; cancelled, no further step is taken. Raises Full."""
        errand = _Errand(steps)
        with self._changed:
            assert not self._ending
            self._drop_cancelled()
            if len(self._errands) >= self._limits.explanations:
                raise Full
            self._errands.append(errand)
            self._changed.notify()
        return errand.answer

    def _drop_cancelled(self) -> None:
        self._errands = deque(errand for errand in self._errands if not errand.answer.cancelled())

    def hurry(self) -> None:
        """From now on the model waits for nobody."""
        with self._changed:
            self._hurried = True
            self._changed.notify()

    def stop(self, at_once: bool = False) -> None:
        """Returns when all is answered that was asked, or, at once, when the model has let go."""
        with self._changed:
            self._ending, self._at_once = True, at_once
            self._changed.notify()
        self._thread.join()
        while self._jobs:
            self._jobs.popleft().answer.set_exception(Stopped())
        while self._errands:
            self._told(self._errands.popleft(), Stopped())

    def _work(self) -> None:
        while work := self._next():
            work()

    def _next(self) -> Callable[[], None] | None:
        """Parts of jobs that may be ranked together, or a step of an errand; nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._errands or self._ending)
            if self._errands and not (self._jobs and self._stepped) and not self._at_once:
                self._stepped = True
                return partial(self._step, self._errands[0])
            while self._jobs and self._waiting < self._limits.batch and not (self._hurried or self._ending):
                waited = time.monotonic() - self._jobs[0].since
                if not self._changed.wait(self._limits.wait / 1000 - waited):
                    break
            if self._at_once or not self._jobs:
                return None
            self._stepped = False
            return partial(self._answer, self._taken())

    def _step(self, errand: _Errand) -> None:
        begun = time.perf_counter()
        try:
            if not errand.answer.cancelled():
                next(errand.steps)
                return
        except StopIteration as end:
            self._told(errand, None, end.value)
        except BaseException as error:
            self._told(errand, _known(error))
        finally:
            self._heard(0, time.perf_counter() - begun)
        with self._changed:
            if errand in self._errands:
                self._errands.remove(errand)

    @staticmethod
    def _told(errand: _Errand, error: Exception | None, result: Any = None) -> None:
        if not errand.answer.set_running_or_notify_cancel():
            return
        if error is None:
            errand.answer.set_result(result)
        else:
            errand.answer.set_exception(error)

    def _taken(self) -> list[_Part]:
        """From the front, what can be one ranking: of the same labels, and as deep.

        An ensemble's scores depend on how deep its members look, which is NAMED at least.
        """
        first = self._jobs[0]
        of_a_kind = [
            job
            for job in self._jobs
            if job.wish.is_among(first.wish)
            and (job.depth == first.depth or max(job.depth, first.depth) <= NAMED)
        ]
        room = max(1, min(self._limits.batch, PAIRS_AT_ONCE // max(job.depth for job in of_a_kind)))
        batch = []
        for job in of_a_kind:
            part = job.texts[job.begun : job.begun + room]
            batch.append((job, part))
            job.begun += len(part)
            if job.begun == len(job.texts):
                self._jobs.remove(job)
            room -= len(part)
            self._waiting -= len(part)
            if not room:
                break
        return batch

    def _answer(self, batch: list[_Part]) -> None:
        try:
            rankings = self._ranked(batch)
        except BaseException as error:  # a plugin's SystemExit would leave all who ask waiting
            if len(batch) > 1:  # whose text it is, is found by asking each alone
                for part in batch:
                    self._answer([part])
                return
            self._give_up(batch[0][0], _known(error))
            return
        for (job, _), (scores_NK, ids_NK) in zip(batch, rankings, strict=True):
            job.found += map(job.wish.taken, scores_NK, ids_NK)
            if len(job.found) == len(job.texts) and not job.answer.done():
                job.answer.set_result(job.found)

    def _ranked(self, batch: list[_Part]) -> list[tuple[np.ndarray, np.ndarray]]:
        begun = time.perf_counter()
        texts = [text for _, part in batch for text in part]
        deep, allowed_L = max(job.depth for job, _ in batch), batch[0][0].wish.allowed_L
        scores_NK, ids_NK = self._model.rank(texts, deep, allowed_L=allowed_L)
        self._heard(len(texts), time.perf_counter() - begun)
        ends = np.cumsum([len(part) for _, part in batch])[:-1]
        return list(zip(np.split(scores_NK, ends), np.split(ids_NK, ends)))

    def _give_up(self, job: _Job, error: Exception) -> None:
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)
                self._waiting -= len(job.texts) - job.begun
        if not job.answer.done():
            job.answer.set_exception(error)


def _known(error: BaseException) -> Exception:
    """What may be raised where somebody waits."""
    return error if isinstance(error, Exception) else RuntimeError(repr(error))
