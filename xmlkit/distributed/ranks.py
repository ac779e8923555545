"""The processes of one model: joining them, what all must agree on, and which of them has stopped."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from xmlkit.distributed.launch import launched, rank, restarts
from xmlkit.errors import UserError

T = TypeVar("T")
STOPPED, FOLDER = "xmlkit/stopped", "xmlkit/folder"
A_WHILE = 2.0  # seconds in which ranks that stop by one and the same cause say so
A_MOMENT = 0.05

_store: Any = None  # torchrun's, through which ranks can speak when their connections are gone
_preparations = 0
_is_apart = False  # within `first_then_rest`, where each works as if it were alone


class RankLost(UserError):
    """Another process died or doesn't answer."""


def number() -> int:
    """This rank, from 0."""
    return dist.get_rank() if _store is not None and not _is_apart else 0


def count() -> int:
    """How many ranks there are; 1: this process alone."""
    return dist.get_world_size() if _store is not None and not _is_apart else 1


def are_several() -> bool:
    """Whether there are others."""
    return count() > 1


def is_first() -> bool:
    """Whether this is the rank that writes files and speaks."""
    return number() == 0


def first_here() -> int:
    """The rank that fills the cache of this one's host."""
    return number() - int(os.environ.get("LOCAL_RANK", number())) if are_several() else 0


def join(seconds: float) -> None:
    """Meets the other ranks that torchrun has started, where it has, until this process ends.

    From then on each waits at most so long for the others.
    """
    if launched() == 1 or _store is not None:
        return
    if devices := torch.cuda.device_count():
        place = int(os.environ.get("LOCAL_RANK", 0))
        if place >= devices:
            raise UserError(f"torchrun: {devices} CUDA devices here: --nproc-per-node {devices} at most")
        torch.cuda.set_device(place)
    limit = timedelta(seconds=seconds)
    with named():
        store, own, size = next(dist.rendezvous("env://", timeout=limit))
        # Processes that are begun anew find nothing of what those before them have said.
        join_by(dist.PrefixStore(f"xmlkit/{restarts()}", store), own, size, limit)


def join_by(store: Any, own: int, size: int, limit: timedelta) -> None:
    """The same through a store that is there."""
    global _store
    kinds = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(kinds, store=store, rank=own, world_size=size, timeout=limit)
    _store = store
    atexit.register(leave)
    # Ranks compute alike what decides who computes what; other hardware rounds otherwise.
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    check_alike(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {cuda or 'no CUDA'}")


def _lasting() -> Any:
    """torchrun's own store, which outlives processes that it begins anew."""
    store = _store
    while isinstance(store, dist.PrefixStore):
        store = store.underlying_store
    return store


def remember(folder: str) -> None:
    """In this folder is what processes go on with that torchrun begins anew."""
    if are_several() and is_first():
        _lasting().set(FOLDER, folder)


def remembered() -> str | None:
    """Where torchrun has begun anew: the folder."""
    if not (are_several() and restarts()):
        return None
    return of_first(_lasting().get(FOLDER).decode() if _lasting().check([FOLDER]) else None)


def leave() -> None:
    """This process is alone again."""
    global _store
    _store = None
    atexit.unregister(leave)
    with suppress(Exception):  # others may be gone
        dist.destroy_process_group()


def check_alike(own: str) -> None:
    """Raises UserError on all ranks where one has something else."""
    if not are_several():
        return
    found: list[Any] = [None] * count()
    dist.all_gather_object(found, own)
    for place, other in enumerate(found):
        if other != found[0]:
            raise UserError(
                f"rank 0 has {found[0]}, but rank {place} {other}: processes of one model must be alike"
            )


@contextmanager
def named() -> Iterator[None]:
    """An error of the engine within is a RankLost, which names the ranks that did not stop by an error."""
    try:
        yield
    except RankLost:
        raise
    except Exception as error:
        of_engine = (launched() > 1 or _store is not None) and _is_of_the_engine(error)
        silent = [] if _store is None else _silent(of_engine)
        if not of_engine:
            raise
        raise RankLost(_in_words(str(error), silent)) from None


def _silent(waits: bool) -> list[int]:
    """The other ranks that have not said that they stop; this one says so.

    The store may be gone with its host, or not answer: who asks it waits no longer than a while.
    """
    silent = [other for other in range(count()) if other != number()]
    own, stopped = f"{STOPPED}/{number()}", dict.fromkeys(silent, False)
    if waits:
        _finish_speaking()

    def speak() -> None:
        with suppress(Exception):
            _store.set(own, "")
            if waits:
                time.sleep(A_WHILE)
                for other in silent:
                    stopped[other] = _store.check([f"{STOPPED}/{other}"])

    speaking = threading.Thread(target=speak, daemon=True)
    speaking.start()
    speaking.join(2 * A_WHILE)
    return [other for other in silent if not stopped[other]]


def _finish_speaking() -> None:
    """torchrun, which has seen the same, ends this process, but waits half a minute if need be."""
    if launched() > 1 and threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: None)


def _is_of_the_engine(error: Exception) -> bool:
    words = ("gloo", "nccl", "connection", "timed out", "timeout", "process group")
    known = isinstance(error, dist.DistError | RuntimeError)
    return known and any(word in str(error).lower() for word in words)


def _in_words(error: str, silent: Sequence[int]) -> str:
    hangs = "timed out" in error.lower() or "timeout" in error.lower()
    why = "rank_timeout is over" if hangs else "its connection is closed"
    names = ", ".join(map(str, silent)) or "another one"
    return f"rank {names} does not answer ({why}), says rank {rank()}; go on with train --resume RUN"


def greatest(*numbers: float) -> list[float]:
    """Of each of these the greatest that a rank has."""
    if not are_several():
        return list(numbers)
    found = torch.tensor(numbers, dtype=torch.float64)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return found.tolist()


def meet() -> None:
    """All ranks are here before any goes on."""
    greatest(0)


def of_first(value: T) -> T:
    """What the first rank has, which can be anything small."""
    if not are_several():
        return value
    held = [value]
    dist.broadcast_object_list(held, 0)
    return held[0]


def union(own: dict[str, T]) -> dict[str, T]:
    """What any rank has, each of small things by name."""
    if not are_several():
        return own
    found: list[Any] = [None] * count()
    dist.all_gather_object(found, own)
    return {name: value for some in found for name, value in some.items()}


@contextmanager
def first_then_rest() -> Iterator[bool]:
    """The first rank does this alone, and the others after it, each as if it were alone; which it is.

    So they find in the cache, or in a folder, what the first has put there; on another host, what the first
    there has. All wait for all, however long it takes. Raises RankLost where another has stopped.
    """
    global _preparations, _is_apart
    if not are_several():
        yield True
        return
    _preparations += 1
    key, own, every = f"xmlkit/prepared/{_preparations}", number(), range(count())
    if before := {0, first_here()} - {own}:
        _wait_for([f"{key}/{other}" for other in before], every)
    _is_apart = True
    try:
        yield own == 0
    finally:
        _is_apart = False
    _all_pass(key)


def wait_for_all() -> None:
    """Until every rank comes by, however long that takes. Raises RankLost where another has stopped."""
    global _preparations
    if are_several():
        _preparations += 1
        _all_pass(f"xmlkit/prepared/{_preparations}")


def _all_pass(key: str) -> None:
    every = range(count())
    _store.set(f"{key}/{number()}", "")
    _wait_for([f"{key}/{other}" for other in every], every)


def _wait_for(keys: list[str], every: range) -> None:
    """Hearing signals: torchrun sends one where another process fails."""
    while not _store.check(keys):
        for other in every:
            if _store.check([f"{STOPPED}/{other}"]):
                raise RankLost(f"rank {other} has stopped, says rank {rank()}")
        time.sleep(A_MOMENT)


@contextmanager
def own_draws(device: torch.device) -> Iterator[None]:
    """Of several ranks each draws numbers of its own here; what is drawn afterwards is common."""
    if not are_several():
        yield
        return
    seed = int(torch.randint(2**62, ()))
    with torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
        torch.manual_seed(seed + number())
        yield
