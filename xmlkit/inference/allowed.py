"""Which labels may be suggested, by files that name them.

L labels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xmlkit.console import say
from xmlkit.data.corpus import Labels
from xmlkit.data.dialect import PLAIN, Dialect
from xmlkit.data.label_list import read_label_list
from xmlkit.errors import UserError


def allowed_labels(
    labels: Labels, only: Path | None, without: Path | None, dialect: Dialect = PLAIN
) -> np.ndarray | None:
    """Bool (L,): those in `only` that are not in `without`; None where neither is named.

    Says how many of a file are unknown. Raises UserError for a file that can't be read, or if none is left.
    """
    if only is None and without is None:
        return None
    allowed_L = np.full(len(labels), only is None)
    if only is not None:
        allowed_L[_rows(labels, only, dialect, retired=False)] = True
    if without is not None:
        allowed_L[_rows(labels, without, dialect, retired=True)] = False
    if not allowed_L.any():
        raise UserError(f"no label of the model is left to be suggested: check {only or without}")
    return allowed_L


def _rows(labels: Labels, path: Path, dialect: Dialect, retired: bool) -> list[int]:
    ids = dict.fromkeys(read_label_list(path, dialect, retired))
    unknown = [label for label in ids if label not in labels.rows]
    if unknown:
        example = f"such as {unknown[0]!r}"
        say(f"{path}: {len(unknown):,} of {len(ids):,} labels are unknown to the model, {example}")
    return [labels.rows[label] for label in ids if label in labels.rows]
