"""The training documents that several runs have not learnt from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xmlkit.data.corpus import Corpus, validation_rows
from xmlkit.errors import UserError


def held_out_by(corpus: Corpus, parts: Sequence[tuple[float, int]]) -> np.ndarray:
    """Those (bool) that all of them hold out, each with its `validation` and `validation_max`.

    Raises UserError where there are none.
    """
    each = [validation_rows(corpus.train.texts, share, most) for share, most in parts]
    held_out_N: np.ndarray = np.logical_and.reduce(each)
    if not held_out_N.any():
        share, most = min(parts)
        raise UserError(
            f"of {len(corpus.train):,} documents none is held out (validation={share:g}, "
            f"validation_max={most:,}): there is nothing to fit to"
        )
    return held_out_N
