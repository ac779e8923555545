"""A file of answers that grows by whole ones, so that what was broken off can be gone on with."""

from __future__ import annotations

from pathlib import Path

from xmlkit.errors import UserError


def answered(path: Path, layout: str) -> int:
    """How many texts a file of `jsonl` or `tsv` answers; what comes behind is cut off, to be answered again.

    Raises UserError where it is another kind of file.
    """
    if not path.exists():
        return 0
    count = kept = 0
    with path.open("r+b") as file:
        end = 0
        for line in file:
            number = _text_of(path, line, count, layout) if line.endswith(b"\n") else None
            if number is None:  # cut off in the middle of a line
                break
            if layout == "jsonl":
                count, kept = number, end + len(line)
            elif number > count + 1 or end == 0:  # the one before is whole
                count, kept = number - 1, end
            end += len(line)
        file.truncate(kept)
    return count


def _text_of(path: Path, line: bytes, count: int, layout: str) -> int:
    """The number of the text that a line answers, from 1."""
    if layout == "jsonl" and line.startswith(b'{"text": '):
        return count + 1
    if layout == "tsv" and (number := line.partition(b"\t")[0]).isdigit():
        return int(number)
    raise UserError(f"--out {path}: it holds other lines than {layout} has; name another file")
