"""What a peer is given; read in its environment, so of Python's own library alone."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

TOP = 10  # labels predicted for a text


@dataclass(frozen=True)
class Given:
    """Training documents."""

    texts: list[str]
    labels: list[list[int]]  # the rows of each
    names: list[str]  # of all labels
    encoder: str  # a folder, for peers that start from one; empty where none is named

    def save(self, file: Path) -> None:
        """As JSON."""
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Given:
        """What was saved."""
        return cls(**json.loads(file.read_text(encoding="utf-8")))
