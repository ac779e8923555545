"""LibMultiLabel: one document a line, `labels TAB text` or `id TAB labels TAB text`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from xmlkit.data.brackets import bare
from xmlkit.data.dialect import Dialect
from xmlkit.data.features import holds_features
from xmlkit.data.formats import NO_COLUMNS, NOTHING_MORE, Document
from xmlkit.data.formats.pecos_text2text import has_list
from xmlkit.data.lines import find_file, has_suffix, read_lines
from xmlkit.data.vocabularies import tsv
from xmlkit.data.writing import on_one_line, told, write_lines
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus

NAME = "libmultilabel"
DESCRIPTION = "train.txt, test.txt of lines: [id TAB] labels TAB text"
HOLDS = NOTHING_MORE
HEEDS = NO_COLUMNS
SUFFIXES = (".txt",)

PEEK = 100  # lines


def find(folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
    """`train.txt` or `test.txt`, where their lines have tabs."""
    path = find_file(folder, f"{split}.txt")
    return (path,) if path and takes(path, dialect) else None


def takes(path: Path, dialect: Dialect) -> bool:
    """`.txt` of which one of the first lines has a tab; with a list of labels beside it is PECOS's."""
    if not has_suffix(path, SUFFIXES) or has_list(path.parent) or holds_features(path):
        return False
    return any("\t" in line for _, line in islice(read_lines(path, dialect.encoding), PEEK))


def read(paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
    """Labels are between spaces, and each is one, whatever it is called; an id may be empty.

    All lines have as many columns as the first; blank ones are skipped.
    """
    (path,) = paths
    expected: int | None = None
    for number, line in read_lines(path, dialect.encoding):
        cells = line.split("\t")
        if len(cells) == 1 and not line.strip():
            continue
        if expected is None and len(cells) in (2, 3):
            expected = len(cells)
        if len(cells) != expected:
            yield UserError(
                f"{path}:{number}: {len(cells)} columns, not {expected or 2} as in the first line; "
                "a line is: [id TAB] labels TAB text, without a tab in the text"
            )
            continue
        *ids, labels, text = cells
        yield Document(text, labels.split(), (ids[0] or None) if ids else None)


def write(folder: Path, corpus: Corpus) -> list[str]:
    """With ids where any document has one; tabs and line feeds in texts become spaces."""
    lost: Counter[str] = Counter()
    has_ids = any(split.ids for split in corpus.splits.values())
    for name, split in corpus.splits.items():
        lines = (
            _line(document, has_ids, f"{name} document {number}", lost)
            for number, document in enumerate(split.documents(), start=1)
        )
        write_lines(folder / f"{name}.txt", lines)
    return [*told(lost), *tsv.write(folder, corpus)]


def _line(document: Document, has_ids: bool, where: str, lost: Counter[str]) -> str:
    labels = bare(document.labels, where, NAME)
    id = on_one_line(document.id or "", lost, "ids whose tabs and line feeds become spaces", "\t\r\n")
    text = on_one_line(document.text, lost, "texts whose tabs and line feeds become spaces", "\t\r\n")
    return "\t".join([*([id] if has_ids else []), labels, text])
