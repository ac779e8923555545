"""Labels in a line or a cell as Annif has them: `<uri> <uri>`, or the same without brackets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from xmlkit.errors import UserError

ANY = "--format jsonl can"  # hold any label
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


def bare(labels: Iterable[str], where: str, format: str) -> str:
    """As they are written without brackets. Raises UserError for one that can't be."""
    labels = list(labels)
    for label in labels:
        if label.split() != [label]:
            raise UserError(f"{where}: the label {label!r} has white space, which {format} can't hold; {ANY}")
    return " ".join(labels)


def bracketed(labels: Iterable[str], where: str, format: str) -> str:
    """As they are written. Raises UserError for one that can't be."""
    labels = list(labels)
    for label in labels:
        if any(character in label for character in "<>\n"):
            raise UserError(
                f"{where}: the label {label!r} has <, > or a line feed, which {format} can't hold; {ANY}"
            )
    return " ".join(f"<{label}>" for label in labels)
