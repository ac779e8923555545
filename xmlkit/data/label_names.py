"""Files that say what labels are called: `<id> TAB name` a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xmlkit.data.lines import read_lines, without_blank_end
from xmlkit.errors import UserError


def read_label_names(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yields FILE:LINE, id and name of each label; the name may be empty.

    Raises UserError for a line without a tab or an id, an id that is there twice, and a file that cannot be
    read.
    """
    seen: set[str] = set()
    for number, line in without_blank_end(read_lines(path)):
        label, tab, name = line.partition("\t")
        if not tab:
            raise UserError(f"{path}:{number}: no tab; a line is: <id> TAB name")
        label = label.strip()
        if label.startswith("<") and label.endswith(">"):
            label = label[1:-1]
        if not label:
            raise UserError(f"{path}:{number}: an empty label id; a line is: <id> TAB name")
        if label in seen:
            raise UserError(f"{path}:{number}: label {label} is listed twice; keep one line of it")
        seen.add(label)
        yield f"{path}:{number}", label, name.strip()
