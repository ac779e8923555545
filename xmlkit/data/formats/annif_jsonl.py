"""Annif's JSON Lines: `{"text": "...", "subjects": [{"uri": "..."}, {"label": "..."}]}` a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmlkit.data.annif_json import EXAMPLE, KEYS, document_of
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import NOTHING_MORE, TEXT_COLUMNS, Document
from xmlkit.data.json_lines import first_keys, read_objects
from xmlkit.data.lines import find_file, has_suffix
from xmlkit.data.vocabularies import tsv
from xmlkit.data.writing import write_lines
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus

NAME = "annif-jsonl"
DESCRIPTION = "train.jsonl, test.jsonl with subjects"
HOLDS = NOTHING_MORE
HEEDS = TEXT_COLUMNS
SUFFIXES = (".jsonl", ".ndjson")


def find(folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
    """`train.jsonl` or `test.jsonl`, or `.ndjson`, with Annif's keys."""
    path = find_file(folder, f"{split}.jsonl") or find_file(folder, f"{split}.ndjson")
    return (path,) if path and takes(path, dialect) else None


def takes(path: Path, dialect: Dialect) -> bool:
    """`.jsonl`, or `.ndjson`, with Annif's keys, and none of the plain format's."""
    if not has_suffix(path, SUFFIXES):
        return False
    keys = first_keys(path, dialect.encoding)
    return not KEYS.isdisjoint(keys) and {"labels", "id"}.isdisjoint(keys)


def read(paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
    """Blank lines are skipped; keys that Annif does not know are ignored."""
    (path,) = paths

    def made_of(record: dict[str, Any], where: str) -> Document:
        return document_of(record, dialect, where)

    return read_objects(path, dialect.encoding, made_of, EXAMPLE)


def write(folder: Path, corpus: Corpus) -> list[str]:
    """With a `document_id` where a document has one that is not empty."""
    for name, split in corpus.splits.items():
        write_lines(folder / f"{name}.jsonl", map(_line, split.documents()))
    return tsv.write(folder, corpus)


def _line(document: Document) -> str:
    id = {"document_id": document.id} if document.id else {}
    subjects = [{"uri": label} for label in document.labels]
    return json.dumps({**id, "text": document.text, "subjects": subjects}, ensure_ascii=False)
