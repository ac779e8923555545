"""The Extreme Classification Repository's JSON: `uid`, `title`, `content` and the numbers of the labels."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmlkit.data.cells import further_value
from xmlkit.data.dialect import Dialect
from xmlkit.data.filters import Filters, find_filter, write_filter
from xmlkit.data.formats import NO_COLUMNS, Document, Extra
from xmlkit.data.json_lines import kind, read_objects
from xmlkit.data.lines import find_file
from xmlkit.data.numbered import SHORT, Relevant, labels_to_list, read_listed
from xmlkit.data.vocabularies import xc
from xmlkit.data.writing import told, write_lines
from xmlkit.data.xc_records import text_of, uid_of
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus

NAME = "xc-json"
DESCRIPTION = "trn.json or trn.raw.json with lbl.json (likewise tst.json)"
HOLDS: frozenset[Extra] = frozenset({"filters", "relevances"})
HEEDS = NO_COLUMNS
SUFFIXES = ()

EXAMPLE = '{"uid": "...", "title": "...", "content": "...", "target_ind": [0, ...]}'


def find_documents(folder: Path, split: str) -> Path | None:
    """`trn.json` or `tst.json`."""
    short = SHORT.get(split, split)
    return find_file(folder, f"{short}.json") or find_file(folder, f"{short}.raw.json")


def find(folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
    """(documents,), and a filter where there is one."""
    documents = find_documents(folder, split)
    if documents is None:
        return None
    if xc.find(folder) is None:
        raise UserError(
            f"{folder / 'lbl.json'}: missing; {documents.name} needs it, whose lines its labels are"
        )
    return documents, *find_filter(folder, split)


def takes(path: Path, dialect: Dialect) -> bool:
    """None: its labels are in a second one."""
    return False


def read(paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
    """A text is the title, a space, and the content. A relevance of 0 in `target_rel` is no label."""
    path, *filters = paths
    names = read_listed(path.parent, xc, dialect)
    assert names is not None
    filtered = Filters(tuple(filters), names.ids, dialect)
    count = 0

    def made_of(record: dict[str, Any], where: str) -> Document:
        is_bare = dialect.unlabelled and "target_ind" not in record
        numbers, relevances = ([], ()) if is_bare else _numbers(record, len(names.ids))
        labels = [names.ids[number] for number in numbers]
        text, value = text_of(record, ("title", "content")), further_value(record, dialect.column)
        kept = filtered.of(count)
        return Document(text, labels, uid_of(record), kept, relevances=relevances, value=value)

    for document in read_objects(path, dialect.encoding, made_of, EXAMPLE):
        yield document
        count += 1
    filtered.check(count)


def _numbers(record: dict[str, Any], count: int) -> Relevant:
    labels = record.get("target_ind")
    relevances = record.get("target_rel")
    if not isinstance(labels, list):
        raise UserError(f'"target_ind" is not a list but {kind(labels)}; write {EXAMPLE}')
    if relevances is None:
        relevances = [1] * len(labels)
    if not isinstance(relevances, list) or len(relevances) != len(labels):
        raise UserError('"target_rel" is no list as long as "target_ind"; write a relevance a label')
    found: list[tuple[int, float]] = []
    for label, relevance in zip(labels, relevances):
        if isinstance(label, bool) or not isinstance(label, int):
            raise UserError(f'"target_ind" holds {kind(label)}; a label is its number in lbl.json, from 0')
        if not 0 <= label < count:
            raise UserError(f'"target_ind" holds {label}, where the last label is {count - 1}')
        if isinstance(relevance, bool) or not isinstance(relevance, int | float):
            raise UserError(f'"target_rel" holds {kind(relevance)}; a relevance is a number')
        if not abs(relevance) <= sys.float_info.max:  # nor are those that JSON has no names for
            raise UserError('"target_rel" holds a number that is not finite; a relevance is')
        if relevance > 0:
            found.append((label, float(relevance)))
    return Relevant([label for label, _ in found], tuple(relevance for _, relevance in found))


def write(folder: Path, corpus: Corpus) -> list[str]:
    """A text is written as a title; ids, names, filters and any character are kept."""
    lost: Counter[str] = Counter()
    labels = labels_to_list(corpus, lost)
    xc.write(folder / "lbl.json", labels, lost)
    for name, split in corpus.splits.items():
        lines = (_line(document, labels.rows) for document in split.documents())
        write_lines(folder / f"{SHORT[name]}.json", lines)
        write_filter(folder, name, split, labels, lost)
    return told(lost)


def _line(document: Document, rows: dict[str, int]) -> str:
    uid = {} if document.id is None else {"uid": document.id}
    found = [rows[label] for label in document.labels]
    record = {
        **uid,
        "title": document.text,
        "content": "",
        "target_ind": found,
        "target_rel": list(document.relevances or (1.0,) * len(found)),
    }
    return json.dumps(record, ensure_ascii=False)
