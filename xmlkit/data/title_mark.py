"""`/SEP/`, which stands between title and body in texts of LightXML, AttentionXML and X-Transformer."""

from __future__ import annotations

import re
from collections import Counter

MARK = re.compile(" ?/SEP/ ?")


def without_mark(text: str) -> str:
    """The same with a space in its place."""
    return MARK.sub(" ", text)


def lose_mark(text: str, lost: Counter[str]) -> str:
    """The same for a text that is written where it would be read so; it is counted."""
    lost["texts whose /SEP/ becomes a space"] += "/SEP/" in text
    return without_mark(text)
