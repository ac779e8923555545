"""Annif's full-text corpus: a folder a split, a file a document, its subjects in another of the same name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xmlkit.console import say
from xmlkit.data.annif_json import EXAMPLE, document_of
from xmlkit.data.brackets import without_brackets
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import NOTHING_MORE, TEXT_COLUMNS, ByName, Document
from xmlkit.data.json_lines import parse_object
from xmlkit.data.lines import LONGEST_LINE, find_file, is_unicode, read_lines
from xmlkit.data.vocabularies import tsv
from xmlkit.data.writing import BYTE_ORDER_MARK, told
from xmlkit.errors import UserError
from xmlkit.files import errors_named

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus, Split

NAME = "annif-folder"
DESCRIPTION = "folders train, test with x.txt and x.tsv or x.key, or x.json, for each document x"
HOLDS = NOTHING_MORE
HEEDS = TEXT_COLUMNS
SUFFIXES = ()
LONGEST_NAME = 250  # bytes, without its end: file systems take 255
TEXT, JSON, TABLE = ".txt", ".json", ".arrow"


def find(folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
    """The folder `train` or `test` with JSON that is not about a table, or a text that has subjects.

    One to be labelled may have none.
    """
    path = folder / split
    if not path.is_dir():
        return None
    names = set(_names(path))
    kinds = {Path(name).suffix for name in names}
    stems = (name.removesuffix(TEXT) for name in names if name.endswith(TEXT))
    has_texts = any(dialect.unlabelled or names & {f"{stem}.tsv", f"{stem}.key"} for stem in stems)
    return (path,) if has_texts or (JSON in kinds and TABLE not in kinds) else None


def takes(path: Path, dialect: Dialect) -> bool:
    """None: a split is a folder."""
    return False


def read(paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
    """In the order of the files' names, which are the documents' ids; first texts, then JSON, as in Annif.

    A text without a file of subjects is a document without labels. Hidden files are none.
    """
    (folder,) = paths
    names = _names(folder)
    without = 0
    for name in [name for name in names if name.endswith((TEXT, JSON)) and not is_unicode(name)]:
        names.remove(name)
        yield UserError(f"{folder}: {name!a}: the file's name is not UTF-8; rename it")
    for name in names:
        if name.endswith(TEXT) and (path := find_file(folder, name)):
            stem = name.removesuffix(TEXT)
            subjects = find_file(folder, f"{stem}.tsv") or find_file(folder, f"{stem}.key")
            without += subjects is None
            try:
                labels, by_name = ([], ()) if subjects is None else _subjects(subjects, dialect.encoding)
                yield Document(_whole(path, dialect.encoding), labels, stem, by_name=by_name)
            except UserError as error:
                yield error
    if without:
        say(f"{folder}: {without:,} texts have no .tsv or .key beside them, and so no labels")
    for name in names:
        if name.endswith(JSON) and (path := find_file(folder, name)):
            try:
                text = _whole(path, dialect.encoding)
            except UserError as error:
                yield error
                continue
            try:
                record = parse_object(text, EXAMPLE, lambda: None)
                document = document_of(record, dialect, str(path))
                yield document._replace(id=document.id or name.removesuffix(JSON))
            except UserError as error:
                yield UserError(f"{path}: {error}")


def _names(folder: Path) -> list[str]:
    """Of its files in order, `.gz` left out, but for hidden ones, which some systems add."""
    return sorted({path.name.removesuffix(".gz") for path in folder.iterdir() if path.name[0] != "."})


def _whole(path: Path, encoding: str) -> str:
    return "".join(line for _, line in read_lines(path, encoding, ends=True))


def _subjects(path: Path, encoding: str) -> tuple[list[str], tuple[ByName, ...]]:
    """Of each line the URI in angle brackets or, where it has none, the first of what tabs part."""
    uris, names = [], []
    for number, line in read_lines(path, encoding):
        parts = [part for part in map(str.strip, line.split("\t")) if part]
        bracketed = [bare for part in parts if (bare := without_brackets(part)) != part]
        if "" in bracketed:
            raise UserError(f"{path}:{number}: an empty label <>; remove it or name it")
        if bracketed:
            uris.append(bracketed[0])
        elif parts:
            names.append(ByName(parts[0], f"{path}:{number}"))
    return uris, tuple(names)


def write(folder: Path, corpus: Corpus) -> list[str]:
    """Files are called by the documents' ids where that keeps their order, or else by numbers."""
    lost: Counter[str] = Counter()
    names = {label: corpus.labels.name(row) for row, label in enumerate(corpus.labels.ids)}
    for split_name, split in corpus.splits.items():
        place, stems = folder / split_name, _stems(split)
        place.mkdir()
        for number, (stem, document) in enumerate(zip(stems, split.documents()), start=1):
            lost["documents whose ids become numbers"] += document.id != stem
            where = f"{split_name} document {number}"
            _write(place / f"{stem}{TEXT}", document.text)
            _write(place / f"{stem}.tsv", "".join(_line(one, names, where) for one in document.labels))
    return [*told(lost), *tsv.write(folder, corpus)]


def _stems(split: Split) -> list[str]:
    """Of the files of each document; in their order, so that they are read in it."""
    ids = [
        id
        for id in split.ids or []
        if id is not None and re.fullmatch(r"[\w-][\w.-]{0,99}", id) and len(id.encode()) <= LONGEST_NAME
    ]
    if len(ids) == len(split) and ids == sorted(set(ids), key=lambda id: id + TEXT):
        return ids
    return [f"{number:08}" for number in range(1, len(split) + 1)]


def _line(label: str, names: dict[str, str], where: str) -> str:
    if any(character in label for character in "<>\t\n") or not label.strip():
        raise UserError(f"{where}: the label {label!r} has <, > or white space, which {NAME} can't hold")
    return f"<{label}>\t{' '.join(names.get(label, label).split())}\n"


def _write(path: Path, text: str) -> None:
    if text.startswith(BYTE_ORDER_MARK):  # the first one is none of the text's
        text = BYTE_ORDER_MARK + text
    if max(map(len, text.encode().split(b"\n"))) > LONGEST_LINE:
        raise UserError(f"{path}: a line longer than {LONGEST_LINE >> 20} MiB, the most that is read")
    with errors_named(path):
        path.write_bytes(text.encode())
