"""Files and folders that are there whole or not at all, and digests by which a damaged one is told."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from xmlkit.errors import UserError


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A file to write, which then takes the place of `path`: at any moment there is a whole one.

    It is on the disk before it has the name, so that a machine that stops leaves the old one or the new one.
    """
    unfinished = path.with_name(f".{path.name}")
    with errors_named(path):
        unfinished.unlink(missing_ok=True)  # a stranger's folder may have a link there
        try:
            yield unfinished
            _sync(unfinished)
            os.replace(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        with suppress(OSError):  # some file systems know no such thing
            _sync(path.parent)


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which then is `out`: that is there whole or not at all.

    Raises UserError where there is something already.
    """
    check_free(out)
    out = out.resolve()
    with errors_named(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            yield unfinished
            mask = os.umask(0)
            os.umask(mask)
            unfinished.chmod(0o777 & ~mask)  # a temporary folder is for its owner alone
            if out.exists():
                out.rmdir()
            unfinished.rename(out)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def check_free(out: Path) -> None:
    """Raises UserError where a folder can't be written: there is something, or it is where we are."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out}: there is something already; name a new folder or an empty one")
    if out.resolve() == Path.cwd():
        raise UserError(f"{out}: it is the current folder, which can't be replaced; name one within it")


@contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """What is written here: an error of the disk that names no file names this one.

    Some libraries have the system's error in their words alone, and numpy tells of a file that could not be
    written whole by two numbers.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = error.filename or str(path)
            raise
        found = re.search(r"os error (\d+)|requested and \d+ written", str(error))
        if found is None:
            raise
        number = int(found[1] or errno.ENOSPC)
        raise OSError(number, os.strerror(number), str(path)) from None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def inside(name: str) -> str:
    """The name of a file in a folder, as it is. Raises ValueError for one that leads out of the folder."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0]:
        raise ValueError(f"{name!r} leads out of the folder")
    return name


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of these files of a folder, in hexadecimal digits."""
    found = {}
    for name in names:
        with (folder / name).open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def copy_files(source: Path, target: Path, names: Iterable[str]) -> None:
    """Into the same folders there."""
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        with (
            (source / name).open("rb") as file,
            errors_named(target / name),
            (target / name).open("xb") as copy,
        ):
            shutil.copyfileobj(file, copy)


def changed(folder: Path, expected: Mapping[str, str]) -> str | None:
    """The first of these files that is not there, or not with this digest."""
    for name, digest in expected.items():
        if not (folder / name).is_file() or digests(folder, [name])[name] != digest:
            return name
    return None
