"""JSON Lines: one object a line, `{"text": "...", "labels": ["...", ...]}`, and an `"id"` if it has one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmlkit.console import say
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import Document
from xmlkit.data.lines import HALF_A_PAIR, find_file, has_suffix, is_unicode, read_lines
from xmlkit.data.vocabularies import tsv
from xmlkit.data.writing import told, write_lines
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus

NAME = "jsonl"
DESCRIPTION = "train.jsonl, test.jsonl"
SUFFIXES = (".jsonl",)


def find(folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
    """`train.jsonl` or `test.jsonl`."""
    path = find_file(folder, f"{split}.jsonl")
    return (path,) if path else None


def takes(path: Path, dialect: Dialect) -> bool:
    """`.jsonl`."""
    return has_suffix(path, SUFFIXES)


def read(paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
    """Integer labels and ids become strings; blank lines are skipped; other keys are ignored."""
    (path,) = paths
    twice: list[int] = []  # lines
    for number, line in read_lines(path, dialect.encoding):
        if line.strip():
            try:
                yield _document(line, partial(twice.append, number))
            except UserError as error:
                yield UserError(f"{path}:{number}: {error}")
    if twice:
        more = f", and so in {len(twice) - 1:,} more places" if len(twice) > 1 else ""
        say(f"{path}:{twice[0]}: a key is there twice, and the last one counts{more}")


def write(folder: Path, corpus: Corpus) -> list[str]:
    """With an `"id"` where a document has one."""
    lost: Counter[str] = Counter()
    for name, split in corpus.splits.items():
        write_lines(folder / f"{name}.jsonl", (_line(document, lost) for document in split.documents()))
    return [*told(lost), *tsv.write(folder, corpus)]


def _line(document: Document, lost: Counter[str]) -> str:
    lost["documents whose filters are left out"] += bool(document.left_out)
    id = {} if document.id is None else {"id": document.id}
    return json.dumps({**id, "text": document.text, "labels": document.labels}, ensure_ascii=False)


def _document(line: str, has_key_twice: Callable[[], None]) -> Document:
    def made_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            has_key_twice()
        return dict(pairs)

    try:
        record = json.loads(line, object_pairs_hook=made_of)
    except (ValueError, RecursionError) as error:
        # The position that the error's own text gives counts lines within this one line.
        reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
        raise UserError(f"not valid JSON ({reason}); write one object a line") from None
    if not isinstance(record, dict):
        raise UserError('not an object; write {"text": "...", "labels": ["...", ...]}')
    for key in ("text", "labels"):
        if key not in record:
            raise UserError(f'no "{key}"; write {{"text": "...", "labels": ["...", ...]}}')
    text, labels = record["text"], record["labels"]
    if not isinstance(text, str):
        raise UserError(f'"text" is not a string but {_kind(text)}; put it in quotes')
    if not isinstance(labels, list):
        raise UserError(f'"labels" is not a list but {_kind(labels)}; write ["...", ...]')
    for label in labels:
        if isinstance(label, bool) or not isinstance(label, str | int):
            raise UserError(f'"labels" holds {_kind(label)}; a label is a string or an integer')
    labels = [str(label) for label in labels]
    if "" in labels:
        raise UserError('an empty label ""; remove it or name it')
    id = record.get("id")
    if isinstance(id, bool) or not isinstance(id, str | int | None):
        raise UserError(f'"id" is not a string but {_kind(id)}; put it in quotes, or leave it out')
    if not is_unicode("".join([text, *labels, str(id)])):
        raise UserError(HALF_A_PAIR)
    return Document(text, labels, None if id is None else str(id))


def _kind(value: object) -> str:
    kinds: dict[type, str] = {
        bool: "a boolean",
        dict: "an object",
        list: "a list",
        str: "a string",
        type(None): "null",
    }
    return kinds.get(type(value), "a number")
