"""Folders that are worked in: by one process at a time, and free again where nothing came of it.

The lock is the operating system's: a process that dies has let go of it.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from xmlkit.console import say
from xmlkit.distributed import ranks
from xmlkit.errors import UserError
from xmlkit.files import errors_named
from xmlkit.model.folder import DESCRIPTION, WEIGHTS
from xmlkit.training.checkpoint import CHECKPOINT

LOCK, OWNER = ".lock", ".owner"
LOG = "log.jsonl"
BEFORE_THE_FIRST_STEP = {LOCK, OWNER, LOG, CHECKPOINT, "config.json", "labels.jsonl", "encoder", DESCRIPTION}
BEFORE_AN_ENSEMBLE_IS_WHOLE = {"labels.json", "fusion.safetensors", "members", "towers", ".ensemble.json"}


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """The folder is this process's alone, or that of its ranks.

    Raises UserError where another one works in it.
    """
    if not ranks.is_first():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in (LOCK, OWNER, LOG):
        if (folder / name).is_symlink():  # which would be written to
            raise UserError(f"{folder / name} is a link to a file elsewhere: remove it")
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        owner = "another one"
        with suppress(OSError):  # it may be ending
            owner = (folder / OWNER).read_text(encoding="utf-8")
        raise UserError(
            f"{folder}: process {owner} is at work in it: wait until it ends, or name another folder"
        ) from None
    try:
        with errors_named(folder / OWNER):
            (folder / OWNER).write_text(f"{os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    finally:
        (folder / OWNER).unlink(missing_ok=True)
        lock.release()


@contextmanager
def new_folder(out: str | Path | None, name: str) -> Iterator[Path]:
    """A new run's folder: `out`, or the first of `runs/NAME`, `runs/NAME-2` that is free.

    What a process has left in it that was killed before its first step is removed, and so is the folder
    where an error comes before. Of several ranks the first claims it for all. Raises UserError where `out` is
    in use.
    """
    if not ranks.is_first():
        yield Path(ranks.of_first(""))
        return
    with ExitStack() as stack:
        folder = _claim_new(out, name, stack)
        ranks.of_first(str(folder))
        try:
            yield folder
        except BaseException as error:
            if _came_to_nothing(folder):
                shutil.rmtree(folder, ignore_errors=True)
                if isinstance(error, KeyboardInterrupt | SystemExit):
                    say(f"interrupted before there was anything to be kept in {folder}")
            raise


def _claim_new(out: str | Path | None, name: str, stack: ExitStack) -> Path:
    names = (Path("runs") / (name if number == 1 else f"{name}-{number}") for number in range(1, 10**6))
    for folder in names if out is None else [Path(out)]:
        if is_free(folder):
            _check_writable(folder)
            try:
                claim = stack.enter_context(ExitStack())
                claim.enter_context(claimed(folder))
            except UserError:
                if out is not None:
                    raise
                continue
            if is_free(folder):  # nobody has filled it meanwhile
                _clear(folder)
                return folder
            claim.close()
    raise UserError(f"--out {out}: is there already; name another folder or remove it")


def is_free(folder: Path) -> bool:
    """Whether a new run may fill it: it is not there, empty, or what was begun in it came to nothing."""
    if not folder.exists():
        return True
    return folder.is_dir() and (not any(folder.iterdir()) or _came_to_nothing(folder))


def _came_to_nothing(folder: Path) -> bool:
    """It is a run's folder from before the first step, and holds nothing but what a run writes until then."""
    names = {path.name for path in folder.iterdir()}
    written = BEFORE_THE_FIRST_STEP | BEFORE_AN_ENSEMBLE_IS_WHOLE
    written |= {f".{name}" for name in written}
    return LOCK in names <= written and not has_begun(folder)


def has_begun(folder: Path) -> bool:
    """Whether a step of this run is in its log, or its weights are there."""
    log = folder / LOG
    return (folder / WEIGHTS).exists() or (log.exists() and log.stat().st_size > 0)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name not in (LOCK, OWNER):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _check_writable(folder: Path) -> None:
    nearest = next(parent for parent in folder.absolute().parents if parent.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise UserError(f"--out {folder}: {nearest} is not a folder that can be written to")
