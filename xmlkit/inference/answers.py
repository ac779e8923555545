"""A file of answers that grows by whole ones, so that what was broken off can be gone on with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from xmlkit.errors import UserError

KEYS = ({"text", "labels"}, {"id", "text", "labels"})
COLUMNS = (4, 5)  # the last one is the text's id, where it has one
BEGINNINGS = {  # of a line that was cut off
    "jsonl": re.compile(rb'\{"(text|id)": "|\{"(text|id)": ?$|\{("(t(e(x(t(":?)?)?)?)?|i(d(":?)?)?)?)?$'),
    "tsv": re.compile(rb"[1-9]\d*(\t|$)"),
}


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """No other process answers into this file meanwhile. Raises UserError where one does already."""
    beside = path.with_name(f".{path.name}.lock")
    lock = FileLock(beside, timeout=0)
    try:
        lock.acquire()
        if not beside.exists():  # it belonged to one that has just ended
            raise Timeout(str(beside))
    except Timeout:
        raise UserError(
            f"--out {path}: another process writes it: wait until it ends, or name another file"
        ) from None
    try:
        yield
    finally:
        beside.unlink(missing_ok=True)
        lock.release()


def answered(path: Path, layout: str) -> int:
    """How many texts a file of `jsonl` or `tsv` answers; what comes behind is cut off, to be answered again.

    Raises UserError where it holds anything else, which then stays as it is.
    """
    if not path.exists():
        return 0
    count = kept = end = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                if not BEGINNINGS[layout].match(line):
                    raise _other_lines(path, layout)
                break
            if layout == "jsonl":
                _text_of(path, line)
                count, kept = count + 1, end + len(line)
            elif (number := _number_of(path, line, count)) > count + 1 or not end:  # the text before is whole
                count, kept = number - 1, end
            end += len(line)
    with path.open("r+b") as file:
        file.truncate(kept)
    return count


def answered_texts(path: Path) -> Iterator[tuple[str, str | None]]:
    """The texts of such a file of `jsonl`, and their ids."""
    with path.open("rb") as file:
        for line in file:
            yield _text_of(path, line)


def _text_of(path: Path, line: bytes) -> tuple[str, str | None]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and found.keys() in KEYS and isinstance(found["labels"], list):
        labels = found["labels"]
        if all(isinstance(label, dict) and label.keys() >= {"label", "score"} for label in labels):
            return str(found["text"]), found.get("id")
    raise _other_lines(path, "jsonl")


def _number_of(path: Path, line: bytes, count: int) -> int:
    """Of the text that a line answers, from 1: that of the line before, or a later one."""
    cells = line.split(b"\t")
    if len(cells) in COLUMNS and cells[0].isdigit() and len(cells[0]) < 16:
        number = int(cells[0])
        if number > count:
            return number
    raise _other_lines(path, "tsv")


def _other_lines(path: Path, layout: str) -> UserError:
    return UserError(f"--out {path}: it holds other lines than {layout} has; name another file")
