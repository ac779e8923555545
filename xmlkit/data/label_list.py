"""Files that name labels, to choose by: a vocabulary, or an id a line."""

from __future__ import annotations

from pathlib import Path

from xmlkit.data.brackets import without_brackets
from xmlkit.data.dialect import PLAIN, Dialect
from xmlkit.data.lines import read_lines
from xmlkit.data.vocabularies import vocabularies
from xmlkit.errors import UserError


def read_label_list(path: Path, dialect: Dialect = PLAIN, retired: bool = False) -> list[str]:
    """The ids, in the order of the file; each may be in angle brackets, and blank lines are passed over.

    A file that a kind of vocabulary takes by its name is read as one, `retired` concepts left out unless they
    are asked for. Raises UserError where it names none.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; name one with a label id a line, or a vocabulary")
    for vocabulary in vocabularies():
        if vocabulary.takes(path):
            ids = list(vocabulary.ids(path, dialect, retired))
            break
    else:
        lines = read_lines(path, dialect.encoding)
        ids = [without_brackets(line) for _, line in lines if line.strip()]
    if not ids:
        raise UserError(f"{path}: it names no label; write an id a line")
    return ids
