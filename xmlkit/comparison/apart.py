"""Work in processes of its own: what each held is free again when it ends, and several go on at once.

Each is a new interpreter, which is given its work by standard input and answers by standard output. The
caller's main module plays no part: it may be a notebook, or a script that does all at once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from xmlkit.comparison.sent import to_error
from xmlkit.console import say
from xmlkit.discovery import added
from xmlkit.errors import UserError
from xmlkit.training.stopping import say_saving, stops_noted

# Until there is something to be saved, Ctrl-C ends it without a word.
BEGIN = """
import json, signal, sys
if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
sys.path[:] = json.loads(sys.argv[1])
from xmlkit.quick import uncollected
with uncollected():
    from xmlkit.comparison.worker import main
main()
"""


@dataclass(frozen=True)
class Task:
    """A call in a process of its own, where the function is found by its name in its module."""

    name: str  # which people are told
    function: Callable[..., bool]  # returns whether to go on: false after Ctrl-C
    arguments: tuple[Any, ...]  # as JSON has them


def work_through(tasks: Sequence[Task], at_once: int) -> bool:
    """Does them in their order, so many at once, each with its part of the threads.

    Ctrl-C, SIGTERM and SIGHUP are passed on to what is at work, and nothing more is begun; false is returned
    after the first, and the others then do what they would have done at once. Where a task fails, what is at
    work goes on to its end, and its error is raised: what was raised in it, or a UserError where its process
    was killed.
    """
    workers = _Workers(at_once, max(1, torch.get_num_threads() // at_once))
    with stops_noted(workers.stop) as asked, ThreadPoolExecutor(at_once) as pool:
        try:
            done = wait([pool.submit(workers.do, task) for task in tasks]).done
        except BaseException:  # Ctrl-C once more
            workers.stop(signal.SIGINT)
            raise
    for future in done:
        future.result()  # raises our own errors
    if workers.error is not None:
        raise workers.error
    if asked.by is not None and asked.by != signal.SIGINT:
        signal.raise_signal(asked.by)
    return not workers.is_stopped


@dataclass
class _Workers:
    at_once: int
    threads: int  # of each
    is_stopped: bool = False
    error: BaseException | None = None
    _alive: list[subprocess.Popen[bytes]] = field(default_factory=list)
    # One thread may take it twice: signals come at any time.
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def do(self, task: Task) -> None:
        """Begins a process and waits until it ends; does nothing where no more is to be begun."""
        with self._lock:
            if self.is_stopped or self.error:
                return
            say(task.name, style="bold")
            process = self._begin()
        try:
            answer = _answer(process, self._sent(task))
        finally:
            with self._lock:
                self._alive.remove(process)
        with self._lock:
            if answer is False or (answer is None and self.is_stopped):
                if not self.is_stopped:  # it alone was asked
                    self.stop(signal.SIGINT)
            elif answer is None:
                self._fail(_killed(task, process.returncode))
            elif isinstance(answer, UserError) and self.at_once > 1:
                self._fail(UserError(f"{task.name}: {answer}", answer.detail))
            elif isinstance(answer, BaseException):
                self._fail(answer)

    def _sent(self, task: Task) -> bytes:
        given = {
            "module": task.function.__module__,
            "function": task.function.__name__,
            "arguments": task.arguments,
            "threads": self.threads,
            "is_quiet": self.at_once > 1,
            "plugins": added(),
        }
        return json.dumps(given).encode()

    def stop(self, number: signal.Signals) -> None:
        """Passes a signal on."""
        with self._lock:
            if self.at_once > 1 and not self.is_stopped:
                say_saving(number)
            self.is_stopped = True
            for process in self._alive:
                with suppress(ValueError):  # a console of Windows has told it already
                    process.send_signal(number)

    def _begin(self) -> subprocess.Popen[bytes]:
        """In a group of its own: what is typed on a terminal is passed on once, by us."""
        environment = dict(os.environ)
        if self.at_once > 1:
            environment["OMP_NUM_THREADS"] = str(self.threads)
        process = subprocess.Popen(
            [sys.executable, "-c", BEGIN, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            process_group=0,
        )
        self._alive.append(process)
        return process

    def _fail(self, error: BaseException) -> None:
        if self._alive:
            say(f"{error}; what is at work goes on to its end", style="red")
        self.error = self.error or error


def _answer(process: subprocess.Popen[bytes], sent: bytes) -> bool | BaseException | None:
    """What the task returned or raised, once its process has ended; None where it was killed before."""
    assert process.stdin is not None and process.stdout is not None
    with process:
        with suppress(BrokenPipeError):
            process.stdin.write(sent + b"\n")
            process.stdin.flush()  # and stays open: the process ends where this one is killed
        answer = process.stdout.read()
        process.wait()
        with suppress(BrokenPipeError):
            process.stdin.close()
    found = json.loads(answer) if answer else None
    return to_error(found) if isinstance(found, dict) else found


def _killed(task: Task, code: int) -> UserError:
    number = -code if code < 0 else code - 128
    try:
        by = signal.Signals(number).name
    except ValueError:
        return UserError(f"{task.name}: its process ended with {code}, and said nothing")
    why = ", as the system does where memory is short" if by == "SIGKILL" else ""
    return UserError(f"{task.name}: its process was ended by {by}{why}; the same command goes on")
