"""Objects of the Extreme Classification Repository's JSON Lines: a document, or a label."""

from __future__ import annotations

from typing import Any

from xmlkit.data.json_lines import kind
from xmlkit.data.lines import HALF_A_PAIR, is_unicode
from xmlkit.errors import UserError


def text_of(record: dict[str, Any], keys: tuple[str, ...]) -> str:
    """What these hold, with a space between them; some may be missing or empty.

    Raises UserError where all are missing, and for anything but text.
    """
    if not any(key in record for key in keys):
        raise UserError(f"no {' and no '.join(map(repr, keys))}; write it, if only as an empty string")
    for key in keys:
        if not isinstance(record.get(key), str | None):
            raise UserError(f"{key!r} is not a string but {kind(record[key])}; put it in quotes")
    return _unicode(" ".join(record[key] for key in keys if record.get(key)))


def uid_of(record: dict[str, Any]) -> str | None:
    """None where it is missing or empty. Raises UserError for anything but a string or an integer."""
    uid = record.get("uid")
    if isinstance(uid, bool) or not isinstance(uid, str | int | None):
        raise UserError(f"'uid' is not a string but {kind(uid)}; put it in quotes, or leave it out")
    return None if uid in (None, "") else _unicode(str(uid))


def _unicode(text: str) -> str:
    if not is_unicode(text):
        raise UserError(HALF_A_PAIR)
    return text
