"""Signals that ask a training to stop: the step is finished and a checkpoint written first.

Ctrl-C (SIGINT), a batch system or a container that ends (SIGTERM), a connection that is lost (SIGHUP).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from xmlkit.console import say
from xmlkit.distributed.launch import launched

STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def _leave_a_terminal_that_is_gone() -> None:
    """What is said from then on would be an error in the midst of saving."""
    try:
        sys.stderr.write("\n")
        sys.stderr.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nowhere, stream)


def _hear_nothing(number: int, frame: Any) -> None:
    """Unlike what is ignored, a signal that is on its way already may still come."""


class Asked:
    """Which signal has asked to stop, if one has."""

    by: signal.Signals | None = None
    is_agreed = False

    def agree(self) -> None:
        """All ranks stop: what this one is sent now, it is to hear no more, as it has yet to save."""
        self.is_agreed = True
        if threading.current_thread() is threading.main_thread():
            for number in STOPS:
                signal.signal(number, _hear_nothing)


def say_saving(number: signal.Signals) -> None:
    """What a training does then."""
    is_alone = launched() == 1 and number == signal.SIGINT
    again = "; Ctrl-C again stops at once and saves nothing" if is_alone else ""
    say(f"ending this step and saving{again}")


@contextmanager
def stops_noted(then: Callable[[signal.Signals], None] = say_saving) -> Iterator[Asked]:
    """The first such signal is noted, instead of breaking off in the middle of a step; a second Ctrl-C isn't.

    Those that the process ignores, as `nohup` has it, stay ignored. `then` is called at once.
    """
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread alone
        yield asked
        return
    before = {number: signal.getsignal(number) for number in STOPS}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: Any) -> None:
        asked.by = signal.Signals(number)
        put_back()
        if launched() > 1:  # torchrun passes on what all have heard already, and waits half a minute
            for other in STOPS:
                signal.signal(other, _hear_nothing)
        elif number != signal.SIGINT:
            signal.signal(number, signal.SIG_IGN)  # a shell that ends passes on what the kernel sends, too
        if number != signal.SIGINT:
            _leave_a_terminal_that_is_gone()
        then(asked.by)

    for number in before:
        signal.signal(number, note)
    try:
        yield asked
    finally:
        if not asked.is_agreed:
            put_back()
