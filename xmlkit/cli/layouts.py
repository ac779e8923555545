"""How predictions are written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xmlkit.console import CONTROLS, visible

if TYPE_CHECKING:
    from xmlkit.inference.predict import Prediction

TEXT_WIDTH = 160


def shortened(text: str) -> str:
    """A text as one line that fits."""
    line = " ".join(text.split())
    return visible(line if len(line) <= TEXT_WIDTH else line[: TEXT_WIDTH - 1] + "…")


def as_text(text: str, found: Sequence[Prediction], number: int, id: str | None = None) -> str:
    """The text, then a label a line."""
    lines = [f"{p.score:8.3f}  {visible(p.name)}" for p in found] or ["          (no label)"]
    return "\n".join([shortened(text), *lines, ""])


def as_jsonl(text: str, found: Sequence[Prediction], number: int, id: str | None = None) -> str:
    """One JSON object, with the text's id where it has one."""
    labels = [{"label": p.label, "name": p.name, "score": round(p.score, 6)} for p in found]
    called = {} if id is None else {"id": id}
    line = json.dumps({**called, "text": text, "labels": labels}, ensure_ascii=False)
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", line)  # JSON leaves some of them raw


def as_tsv(text: str, found: Sequence[Prediction], number: int, id: str | None = None) -> str:
    """A line a label: the text's number from 1, label, name, score, id if any; tabs in names become spaces.

    Control characters are spelt out.
    """
    called = [] if id is None else [id]
    rows = ([str(number), p.label, p.name, f"{p.score:.6f}", *called] for p in found)
    return "\n".join("\t".join(visible(" ".join(cell.split())) for cell in row) for row in rows)


LAYOUTS = {"text": as_text, "jsonl": as_jsonl, "tsv": as_tsv}
