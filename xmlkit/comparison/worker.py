"""The other side of `apart`: what a process does that was begun there."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

from xmlkit.console import console
from xmlkit.discovery import add_plugin
from xmlkit.quick import uncollected
from xmlkit.training.stopping import STOPS

if TYPE_CHECKING:
    from xmlkit.comparison.apart import Given


def main() -> None:
    """Reads a task, does it and answers."""
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what libraries and plugins print is no answer
    with uncollected():
        given: Given = pickle.load(asked)  # which imports the libraries
        import torch
    _hear_signals(signal.default_int_handler, _end)
    threading.Thread(target=_end_with_parent, args=[asked.fileno()], daemon=True).start()
    console.quiet = given.is_quiet
    torch.set_num_threads(given.threads)
    with answers:
        pickle.dump(answer(given), answers)
    _hear_signals(signal.SIG_IGN, signal.SIG_IGN)  # there is nothing left to be broken off


def answer(given: Given) -> bool | BaseException:
    """What the task returns or raises."""
    try:
        for name, file in given.plugins.items():
            add_plugin(name, file)
        return given.task.function(*given.task.arguments)
    except KeyboardInterrupt:
        return False
    except Exception as error:
        return _movable(error)


def _movable(error: Exception) -> Exception:
    """It with its traceback, which does not travel by itself; where it can't be pickled, its words."""
    trace = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(trace)
    return error


def _hear_signals(of_ctrl_c: Any, of_others: Any) -> None:
    """By these handlers; those that the process ignores stay ignored."""
    for number in STOPS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, of_ctrl_c if number == signal.SIGINT else of_others)


def _end(number: int, frame: Any) -> None:
    sys.exit(128 + number)


def _end_with_parent(asked: int) -> None:
    """Where that is killed this process would go on unseen."""
    while os.read(asked, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
