"""A document as Annif has it in JSON: `text`, `document_id`, `metadata`, `subjects` (its document.json)."""

from __future__ import annotations

from typing import Any

from xmlkit.data.cells import further_value, joined
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import ByName, Document
from xmlkit.data.json_lines import kind
from xmlkit.data.lines import HALF_A_PAIR, is_unicode
from xmlkit.errors import UserError

KEYS = frozenset({"document_id", "metadata", "subjects"})  # any of these tells it from other documents
EXAMPLE = '{"text": "...", "subjects": [{"uri": "..."}, ...]}'


def document_of(record: dict[str, Any], dialect: Dialect, where: str) -> Document:
    """Metadata are no text unless text columns name them, as in Annif, whose transform `select` does so.

    Where a subject has a URI, its label is not looked at. Raises UserError for a record that is none.
    """
    columns = dialect.text_columns
    id, text = record.get("document_id"), record.get("text")
    metadata, subjects = record.get("metadata", {}), record.get("subjects", [])
    if not isinstance(id, str | None):
        raise UserError(f'"document_id" is not a string but {kind(id)}; put it in quotes')
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise UserError('"metadata" is no object of strings; write {"title": "...", ...}')
    if text is None and not columns:
        others = ",".join(metadata) or "NAME"
        raise UserError(f'no "text"; metadata are read as such with --text-column, as in {others}')
    if not isinstance(text, str | None):
        raise UserError(f'"text" is not a string but {kind(text)}; put it in quotes')
    if not isinstance(subjects, list):
        raise UserError(f'"subjects" is not a list but {kind(subjects)}; write [{{"uri": "..."}}, ...]')
    texts: dict[str, str] = {**metadata, "text": text or ""}
    whole = joined(texts.get(name, "") for name in columns or ("text",))
    uris: list[str] = []
    names: list[str] = []
    for subject in subjects:
        key, value = _called(subject)
        (uris if key == "uri" else names).append(value)
    if not is_unicode("".join([whole, *uris, *names, id or ""])):
        raise UserError(HALF_A_PAIR)
    by_name = tuple(ByName(name, where) for name in names)
    of_column = further_value({**record, **metadata}, dialect.column)
    return Document(whole, uris, id or None, by_name=by_name, value=of_column)


def _called(subject: object) -> tuple[str, str]:
    if isinstance(subject, dict):
        for key in ("uri", "label"):
            value = subject.get(key)
            if isinstance(value, str) and value:
                return key, value
            if key in subject:
                raise UserError(f'"{key}" of a subject is no text; write {{"uri": "..."}}')
    raise UserError(f'"subjects" holds {kind(subject)}; write {{"uri": "..."}} or {{"label": "..."}}')
