"""Labels in a line or a cell as Annif has them: `<uri> <uri>`, or the same without brackets."""

from __future__ import annotations

import re
from typing import NamedTuple

LABEL = re.compile(r"<([^<>]*)>|(\S+)")


class Found(NamedTuple):
    """One of them."""

    label: str
    is_bracketed: bool


def labels_in(text: str) -> list[Found]:
    """Between white space, which may also be in brackets; a label in brackets may be empty."""
    return [Found(bracketed or bare, not bare) for bracketed, bare in LABEL.findall(text)]


def without_brackets(label: str) -> str:
    """The same without those around it and the spaces around these."""
    label = label.strip()
    return label[1:-1] if label.startswith("<") and label.endswith(">") else label
