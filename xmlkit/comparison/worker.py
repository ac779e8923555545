"""The other side of `apart`: what a process does that was begun there."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from importlib import import_module
from typing import Any

from xmlkit.comparison.sent import of_error
from xmlkit.console import console
from xmlkit.discovery import add_plugin
from xmlkit.quick import uncollected
from xmlkit.training.stopping import STOPS


def main() -> None:
    """Reads a task, does it and answers."""
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what libraries and plugins print is no answer
    given = json.loads(asked.readline())
    with uncollected():
        import torch

        function = getattr(import_module(given["module"]), given["function"])
    _hear_signals(signal.default_int_handler, _end)
    threading.Thread(target=_end_with_parent, args=[asked.fileno()], daemon=True).start()
    console.quiet = given["is_quiet"]
    torch.set_num_threads(given["threads"])
    with answers:
        json.dump(_answer(function, given["arguments"], given["plugins"]), answers)
    _hear_signals(signal.SIG_IGN, signal.SIG_IGN)  # there is nothing left to be broken off


def _answer(function: Any, arguments: list[Any], plugins: dict[str, str]) -> bool | dict[str, Any]:
    """What it returns or raises."""
    try:
        for name, file in plugins.items():
            add_plugin(name, file)
        return function(*arguments)
    except KeyboardInterrupt:
        return False
    except Exception as error:
        return of_error(error)


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
