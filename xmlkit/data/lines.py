"""Text files, plain or gzip, read line by line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from xmlkit.errors import UserError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
HALF_A_PAIR = "half of a surrogate pair (\\ud800 to \\udfff) is no character; remove it"


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields (line number from 1, text without its end of line); only "\\n" and "\\r\\n" end a line.

    Raises UserError for invalid UTF-8, a damaged gzip file and a file that cannot be opened.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from read_stream(file, str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the file") from None


def read_stream(file: Iterable[bytes], name: str) -> Iterator[tuple[int, str]]:
    """The same for an open stream; `name` is what errors call it."""
    number = 0
    try:
        for number, line in enumerate(file, start=1):
            if number == 1:
                line = line.removeprefix(BYTE_ORDER_MARK)
            yield number, line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{name}:{number}: not valid UTF-8 ({error.reason}); save it as UTF-8") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{name}: damaged gzip file after line {number} ({error}); copy it again") from None


def is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8: what Python calls a string may hold halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def find_file(folder: Path, name: str) -> Path | None:
    """The file of that name in the folder, plain or with `.gz` added; the plain one where both are there."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None
