"""Labels that a file calls by name, as keyword files and spreadsheets do, looked up in the list of labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from xmlkit.data.formats import ByName, Document
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Labels


def looked_up(
    items: Iterable[Document | UserError], labels: Labels, source: str | None = None
) -> Iterator[Document | UserError]:
    """The documents with ids in place of names; why, in place of one with a name that none or two have.

    With a `source`, for messages, a label that is no id there, but what one is called, is that one, too.
    """
    rows: dict[str, list[int]] | None = None
    for item in items:
        if isinstance(item, UserError) or not (item.by_name or source):
            yield item
            continue
        if rows is None:
            rows = _rows_of(labels)
        try:
            ids = (
                item.labels if source is None else [_id(label, rows, labels, source) for label in item.labels]
            )
            ids = ids + [labels.ids[_only(named, rows, labels)] for named in item.by_name]
        except UserError as error:
            yield error
        else:
            yield item._replace(labels=ids, by_name=())


def _id(label: str, rows: dict[str, list[int]], labels: Labels, source: str) -> str:
    if label in labels.rows or label not in rows:
        return label
    return labels.ids[_only(ByName(label, source), rows, labels)]


def _rows_of(labels: Labels) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in range(len(labels)):
        found.setdefault(labels.name(row), []).append(row)
    return found


def _only(named: ByName, rows: dict[str, list[int]], labels: Labels) -> int:
    found = rows.get(named.name, [])
    if len(found) == 1:
        return found[0]
    if not len(labels):
        advice = "add a vocabulary, such as labels.tsv, that has its id"
    elif not found:
        advice = "no label in the vocabulary is called so"
    else:
        advice = f"{labels.ids[found[0]]} and {labels.ids[found[1]]} are called so; give the id"
    raise UserError(f"{named.where}: the label {named.name!r} comes by its name: {advice}")
