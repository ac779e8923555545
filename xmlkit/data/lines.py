"""Text files, plain or gzip, read line by line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from xmlkit.console import say
from xmlkit.errors import UserError

LONGEST_LINE = 2**26  # bytes
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
HALF_A_PAIR = "half of a surrogate pair (\\ud800 to \\udfff) is no character; remove it"


def read_lines(path: Path, encoding: str = "utf-8", ends: bool = False) -> Iterator[tuple[int, str]]:
    """Yields (line number from 1, text); only "\\n" and "\\r\\n" end a line, and are in the text if `ends`.

    Raises UserError for bytes of another encoding, a damaged gzip file and a file that cannot be opened.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from read_stream(cast(BinaryIO, file), str(path), encoding, ends)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the file") from None


def read_stream(
    file: BinaryIO, name: str, encoding: str = "utf-8", ends: bool = False
) -> Iterator[tuple[int, str]]:
    """The same for an open stream; `name` is what errors call it."""
    number = 0
    try:
        # A few kilobytes of gzip may unpack to a line that fills the memory.
        for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE + 1), b""), start=1):
            if len(line) > LONGEST_LINE:
                raise UserError(f"{name}:{number}: longer than {LONGEST_LINE >> 20} MiB; is it text?")
            if number == 1:
                line = line.removeprefix(BYTE_ORDER_MARK)
            yield number, (line if ends else line.removesuffix(b"\n").removesuffix(b"\r")).decode(encoding)
    except UnicodeDecodeError as error:
        advice = "save it as UTF-8, or try --encoding latin-1" if encoding == "utf-8" else "name another one"
        if b"\0" in error.object:  # tables that are exported as "Unicode text" are UTF-16
            advice = "it holds zeros, as UTF-16 and files that are no text do; save it as UTF-8"
        called = "UTF-8" if encoding == "utf-8" else encoding
        raise UserError(f"{name}:{number}: not valid {called} ({error.reason}); {advice}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{name}: damaged gzip file after line {number} ({error}); copy it again") from None


def is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8: what Python calls a string may hold halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def squeezed(text: str) -> str:
    """The same for texts that differ in white space alone."""
    return " ".join(text.split())


def without_blank_end(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The same lines without the blank ones after the last that is not."""
    held: list[tuple[int, str]] = []
    for line in lines:
        held.append(line)
        if line[1].strip() or "\t" in line[1]:
            yield from held
            held.clear()


def has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether a file ends in one of these, plain or with `.gz` added."""
    return path.name.removesuffix(".gz").endswith(suffixes)


def find_file(folder: Path, name: str) -> Path | None:
    """The file of that name in the folder, plain or with `.gz` added; the plain one where both are there."""
    found = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    if len(found) > 1:
        say(f"{found[0]} is read, and {found[1].name} beside it is not")
    return found[0] if found else None
