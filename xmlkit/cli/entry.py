"""Where it begins: signals, and a user's mistake in one line."""

from __future__ import annotations

import errno
import os
import signal
import sys
from io import TextIOWrapper
from typing import Any

import typer

from xmlkit.cli.app import app
from xmlkit.cli.ranked import ended_at_once, one_voice, prefix
from xmlkit.cli.saying import say_error
from xmlkit.console import say
from xmlkit.errors import UserError

FEW_CORES = 8
MISTYPED: Any = typer.BadParameter.mro()[1]  # click's UsageError, which typer now carries within itself
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "ALLOC_FAILED",
    "Storage size calculation overflowed",
)


def _end(number: int, frame: Any) -> None:
    sys.exit(128 + number)  # as a shell has it


def _wait_politely() -> None:
    """Threads that wait for each other let go of their cores, sooner where others are at work already.

    A machine with few cores is seldom ours alone, and there OpenMP's usual wait can cost several times what
    it saves (measured: benchmarks/NOTES.md). GNU's OpenMP reads this when torch is imported.
    """
    if (os.cpu_count() or 1) <= FEW_CORES and "OMP_WAIT_POLICY" not in os.environ:
        is_busy = hasattr(os, "getloadavg") and os.getloadavg()[0] >= 1
        os.environ.setdefault("GOMP_SPINCOUNT", "1000" if is_busy else "10000")


@ended_at_once()
def main() -> None:
    """The entry point: a user's mistake is one line on the error stream."""
    _wait_politely()
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # of a terminal that knows no more than ASCII
            stream.reconfigure(errors="backslashreplace")
    try:
        with one_voice():
            sys.exit(app(standalone_mode=False))
    except MISTYPED as error:
        say(f"error: {prefix()}{error.format_message().rstrip('.')}; see --help", style="red")
        sys.exit(2)
    except typer.Abort:  # Ctrl-C, as older typers tell it
        sys.exit(130)
    except UserError as error:
        say_error(error, prefix())
        sys.exit(1)
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # a disk that is full, a folder that is not ours
        room = "; once there is room, go on (train --resume RUN, or the same command)"
        advice = room if error.errno in NO_ROOM else ""
        say(
            f"error: {prefix()}{error.filename or 'input or output'}: {error.strerror or error}{advice}",
            style="red",
        )
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:  # numpy's, and torch's, which has no one kind for it
        what = str(error).partition("\n")[0]
        if isinstance(error, RuntimeError) and not any(words in what for words in OUT_OF_MEMORY):
            raise
        say(
            f"error: {prefix()}out of memory: {what} (smaller batches or narrower tables need less)",
            style="red",
        )
        sys.exit(1)
