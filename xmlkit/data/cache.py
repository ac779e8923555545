"""Where work that depends on nothing but content is kept between runs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from xmlkit.console import say
from xmlkit.data.texts import Texts
from xmlkit.files import changed, digests, errors_named

CHOSEN = "XMLKIT_CACHE"
DIGESTS = "digests.json"
LOCK = ".lock"


def cache_folder() -> Path:
    """`$XMLKIT_CACHE`, else `xmlkit` in the user's cache folder, wherever the system has that."""
    return Path(os.environ.get(CHOSEN) or user_cache_path("xmlkit", appauthor=False))


@contextmanager
def cache_in(folder: Path) -> Iterator[None]:
    """What is done here is not to be kept: it has this folder for a cache."""
    before = os.environ.get(CHOSEN)
    os.environ[CHOSEN] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[CHOSEN]
        else:
            os.environ[CHOSEN] = before


def digest(*parts: str | Iterable[str]) -> str:
    """A key for texts and lists of texts; where one text ends and the next begins counts."""
    whole = hashlib.sha256()
    for part in parts:
        texts = Texts.of([part] if isinstance(part, str) else part)
        whole.update(array("Q", [len(texts)]).tobytes() + texts.sizes.tobytes())
        for chunk in texts.chunks():
            whole.update(chunk)
    return whole.hexdigest()[:32]


def cached(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder `kind/key`, which appears whole or not at all; `make` fills it where it is not there.

    What `make` wrote is compared with its digests at each opening, and made anew where it has changed since.
    Of processes that want the same one makes it and the others wait.
    """
    folder = cache_folder() / kind / key
    if folder.is_dir() and _changed(folder) is None:
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder.parent)
    with one_at_a_time(folder.with_name(f".{key}{LOCK}")):
        if folder.is_dir():
            if (name := _changed(folder)) is None:
                return folder
            say(f"{folder / name} is damaged, or another version's: made anew")
            _remove(folder)
        _make(folder, make)
    return folder


@contextmanager
def one_at_a_time(file: Path, waits: bool = True) -> Iterator[None]:
    """Other processes wait with what they do by this file, which is there meanwhile.

    Raises Timeout where another one is at it and this one does not wait.
    """
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not waits:
            raise
        say(f"waiting for another process, which is at work in {file.parent}")
        lock.acquire()
    try:
        yield
    finally:
        with suppress(OSError):  # some systems remove no file that somebody has open
            file.unlink()
        lock.release()


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with errors_named(folder):
            make(unfinished)
        files = (path for path in unfinished.rglob("*") if path.is_file())
        written = [path.relative_to(unfinished).as_posix() for path in files]
        (unfinished / DIGESTS).write_text(json.dumps(digests(unfinished, sorted(written))))
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process, which found a lock that was being removed, was first
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _changed(folder: Path) -> str | None:
    """The name of a file that is not as it was made."""
    try:
        expected = json.loads((folder / DIGESTS).read_bytes())
        return changed(folder, dict(expected))
    except (ValueError, TypeError, RecursionError, OSError):
        return DIGESTS


def _remove(folder: Path) -> None:
    """Out of the way at once: another process may have it open."""
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    with suppress(FileNotFoundError):
        folder.rename(aside / "damaged")
    shutil.rmtree(aside, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Removes what processes that were killed have left."""
    for left in folder.glob(".*-*"):
        lock = folder / (left.name.rpartition("-")[0] + LOCK)
        with suppress(OSError, Timeout), one_at_a_time(lock, waits=False):
            shutil.rmtree(left, ignore_errors=True)
