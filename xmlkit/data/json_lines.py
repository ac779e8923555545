"""JSON Lines: an object a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from xmlkit.console import say
from xmlkit.data.lines import read_lines
from xmlkit.errors import UserError

ItemT = TypeVar("ItemT")
PEEK = 100  # lines from whose keys a file's format is told


def read_objects(
    path: Path, encoding: str, made_of: Callable[[dict[str, Any], str], ItemT], example: str
) -> Iterator[ItemT | UserError]:
    """What is made of each object and its FILE:LINE; blank lines are skipped.

    In place of a line that holds none, or of which none is made, why; `example` is what an object should
    look like.
    """
    twice: list[int] = []  # lines
    for number, line in read_lines(path, encoding):
        if line.strip():
            where = f"{path}:{number}"
            try:
                yield made_of(parse_object(line, example, partial(twice.append, number)), where)
            except UserError as error:
                yield UserError(f"{where}: {error}")
    if twice:
        more = f", and so in {len(twice) - 1:,} more places" if len(twice) > 1 else ""
        say(f"{path}:{twice[0]}: a key is there twice, and the last one counts{more}")


def parse_object(text: str, example: str, has_key_twice: Callable[[], object]) -> dict[str, Any]:
    """Raises UserError where it is none; calls `has_key_twice` where a key of one is."""

    def made_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            has_key_twice()
        return dict(pairs)

    try:
        record = json.loads(text, object_pairs_hook=made_of)
    except (ValueError, RecursionError) as error:
        reason = str(error)
        if isinstance(error, json.JSONDecodeError):  # whose own text counts lines within a single one, too
            line = f"line {error.lineno}, " if error.lineno > 1 else ""
            reason = f"{error.msg} at {line}column {error.colno}"
        raise UserError(f"not valid JSON ({reason}); write {example}") from None
    if not isinstance(record, dict):
        raise UserError(f"not an object; write {example}")
    return record


def first_keys(path: Path, encoding: str) -> set[str]:
    """The keys of the objects in the first lines."""
    found: set[str] = set()
    for _, line in islice(read_lines(path, encoding), PEEK):
        with suppress(UserError):
            found |= parse_object(line, "", lambda: None).keys()
    return found


def kind(value: object) -> str:
    """What a value is, in JSON's words."""
    kinds: dict[type, str] = {
        bool: "a boolean",
        dict: "an object",
        list: "a list",
        str: "a string",
        type(None): "null",
    }
    return kinds.get(type(value), "a number")
