"""What a command that starts others does when it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import IO


def leave_on_sigterm() -> None:
    """Unwinds, as Ctrl-C does, so that what was started is ended too; likewise where the terminal is lost."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def run_to_its_end(
    command: Sequence[str], log: IO[str] | None = None, seconds: float | None = None
) -> int | None:
    """The exit status of a command, which may save what it has where it is ended.

    That it is with us, and after `seconds`: then None. It hears of our end from us alone, so that a Ctrl-C
    does not reach it twice; what it has started and left behind is ended after it.
    """
    process = subprocess.Popen(command, stdout=log, stderr=log and subprocess.STDOUT, start_new_session=True)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        with suppress(ProcessLookupError):  # where it has left nothing behind
            os.killpg(process.pid, signal.SIGTERM)
