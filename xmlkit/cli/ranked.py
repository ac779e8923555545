"""Under torchrun: which commands can be split over processes, and which of these speaks."""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from xmlkit.console import console
from xmlkit.distributed.launch import launched, rank, speaks
from xmlkit.errors import UserError

COMMANDS = ("train", "evaluate", "predict")
UNWRITTEN = 120  # Python's own status where its last output finds no taker


@contextmanager
def one_voice() -> Iterator[None]:
    """Only the first of several processes speaks, and where they lose each other an error says whom."""
    if launched() == 1:
        yield
        return
    if not speaks():
        console.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    from xmlkit.distributed.ranks import named

    with named():
        yield


@contextmanager
def ended_at_once() -> Iterator[None]:
    """Of several processes each ends as soon as all is said; Python doesn't take itself apart.

    Meanwhile a thread of gloo that lets go of a tensor would abort the process. Such threads last as long as
    anything refers to the group, as torch's own functions and FSDP do.
    """
    try:
        yield
    except SystemExit as end:
        if launched() == 1 or isinstance(end.code, str):  # which Python prints
            raise
        status = end.code or 0
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            status = status or UNWRITTEN
        os._exit(status)


def check_command(name: str | None) -> None:
    """Raises UserError where it can't be split."""
    if launched() > 1 and name not in COMMANDS:
        raise UserError(
            f"{name or 'xmlkit'} is for one process, unlike {', '.join(COMMANDS)}: leave out torchrun"
        )


def check_options(given: Mapping[str, object]) -> None:
    """Raises UserError where one was given that can't be split."""
    if launched() > 1 and (option := next((name for name, value in given.items() if value), None)):
        raise UserError(f"{option} is for one process: leave out torchrun")


def join_for(run: Path) -> None:
    """The processes that predict with a run, where there are several."""
    if launched() == 1:
        return
    from xmlkit.distributed import ranks
    from xmlkit.model.folder import DESCRIPTION, read_config

    if not (run / DESCRIPTION).is_file():
        raise UserError(
            f"{run} is no single run, which alone can be split over processes: leave out torchrun"
        )
    ranks.join(read_config(run).rank_timeout)


def prefix() -> str:
    """Before what a process says of itself. All but the first wait, since what all find is for it to say."""
    if speaks():
        return ""
    from xmlkit.distributed.ranks import A_WHILE

    time.sleep(2 * A_WHILE)  # by then torchrun has ended this process, if the first one has failed
    console.quiet = False
    return f"rank {rank()}: "
