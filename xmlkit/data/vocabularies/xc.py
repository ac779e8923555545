"""`lbl.json` of the Extreme Classification Repository: JSON Lines of `uid` and `title`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmlkit.data.dialect import Dialect
from xmlkit.data.json_lines import read_objects
from xmlkit.data.lines import find_file
from xmlkit.data.numbered import lose_notes
from xmlkit.data.vocabularies import Label, of_all
from xmlkit.data.writing import write_lines
from xmlkit.data.xc_records import text_of, uid_of
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Labels

EXAMPLE = '{"uid": "...", "title": "..."}'


def find(folder: Path) -> Path | None:
    """`lbl.json` or `lbl.raw.json`."""
    return find_file(folder, "lbl.json") or find_file(folder, "lbl.raw.json")


def takes(path: Path) -> bool:
    """One of these names."""
    return path.name.removesuffix(".gz") in ("lbl.json", "lbl.raw.json")


def read(path: Path, dialect: Dialect) -> Iterator[Label]:
    """A label's id is its `uid` where each has one of its own, else its number from 0, as text.

    A label without a title is called by its id.
    """
    found: list[tuple[str, str | None, str]] = []  # where, uid, title

    def made_of(record: dict[str, Any], where: str) -> tuple[str, str | None, str]:
        return where, uid_of(record), text_of(record, ("title",))

    for item in read_objects(path, dialect.encoding, made_of, EXAMPLE):
        if isinstance(item, UserError):
            raise item
        found.append(item)
    uids = {uid for _, uid, _ in found}
    have_own = len(uids) == len(found) and None not in uids
    for place, (where, uid, title) in enumerate(found):
        label = uid if have_own and uid else str(place)
        yield Label(where, label, title or label)


ids = of_all(read)


def write(path: Path, labels: Labels, lost: Counter[str]) -> None:
    """The title of a label without a name is its id; counts what is left out."""
    lose_notes(labels, lost)
    records = ({"uid": label, "title": labels.name(row)} for row, label in enumerate(labels.ids))
    write_lines(path, (json.dumps(record, ensure_ascii=False) for record in records))
