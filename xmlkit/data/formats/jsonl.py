"""JSON Lines: one object a line, `{"text": "...", "labels": ["...", ...]}`, and an `"id"` if it has one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmlkit.data.cells import further_value
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import NO_COLUMNS, NOTHING_MORE, Document, annif_jsonl
from xmlkit.data.json_lines import kind, read_objects
from xmlkit.data.lines import HALF_A_PAIR, find_file, has_suffix, is_unicode
from xmlkit.data.vocabularies import tsv
from xmlkit.data.writing import write_lines
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus

NAME = "jsonl"
DESCRIPTION = "train.jsonl, test.jsonl"
HOLDS = NOTHING_MORE
HEEDS = NO_COLUMNS
SUFFIXES = (".jsonl", ".ndjson")
EXAMPLE = '{"text": "...", "labels": ["...", ...]}'


def find(folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
    """`train.jsonl` or `test.jsonl`, or `.ndjson`, with other keys than Annif's."""
    path = find_file(folder, f"{split}.jsonl") or find_file(folder, f"{split}.ndjson")
    return (path,) if path and takes(path, dialect) else None


def takes(path: Path, dialect: Dialect) -> bool:
    """`.jsonl`, or `.ndjson`, with other keys than Annif's."""
    return has_suffix(path, SUFFIXES) and not annif_jsonl.takes(path, dialect)


def read(paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
    """Integer labels and ids become strings; blank lines are skipped; other keys are ignored."""
    (path,) = paths
    document = partial(_document, dialect=dialect)
    return read_objects(path, dialect.encoding, document, EXAMPLE)


def write(folder: Path, corpus: Corpus) -> list[str]:
    """With an `"id"` where a document has one."""
    for name, split in corpus.splits.items():
        write_lines(folder / f"{name}.jsonl", map(_line, split.documents()))
    return tsv.write(folder, corpus)


def _line(document: Document) -> str:
    id = {} if document.id is None else {"id": document.id}
    return json.dumps({**id, "text": document.text, "labels": document.labels}, ensure_ascii=False)


def _document(record: dict[str, Any], where: str, dialect: Dialect) -> Document:
    for key in ("text", "labels"):
        if key not in record and not (key == "labels" and dialect.unlabelled):
            raise UserError(f'no "{key}"; write {EXAMPLE}')
    text, labels = record["text"], record.get("labels", [])
    if not isinstance(text, str):
        raise UserError(f'"text" is not a string but {kind(text)}; put it in quotes')
    if not isinstance(labels, list):
        raise UserError(f'"labels" is not a list but {kind(labels)}; write ["...", ...]')
    for label in labels:
        if isinstance(label, bool) or not isinstance(label, str | int):
            raise UserError(f'"labels" holds {kind(label)}; a label is a string or an integer')
    labels = [str(label) for label in labels]
    if "" in labels:
        raise UserError('an empty label ""; remove it or name it')
    id = record.get("id")
    if isinstance(id, bool) or not isinstance(id, str | int | None):
        raise UserError(f'"id" is not a string but {kind(id)}; put it in quotes, or leave it out')
    if not is_unicode("".join([text, *labels, str(id)])):
        raise UserError(HALF_A_PAIR)
    value = further_value(record, dialect.column)
    return Document(text, labels, None if id is None else str(id), value=value)
