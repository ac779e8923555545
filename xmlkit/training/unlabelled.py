"""Texts without labels among what steps read: they cost what a loss combiner's own losses say, and no more.

No label counts them, `start` and all that plugins know of the training documents is without them, and they
are no documents without labels either, of which all labels would be false.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xmlkit.data.cache import digest
from xmlkit.data.ragged import Ragged
from xmlkit.model.inputs import Means


@dataclass(frozen=True)
class Unlabelled:
    """N texts."""

    documents: list[str]
    texts: Ragged  # tokens
    means: Means | None = None  # of the texts, where the encoder is frozen
    targets: None = None

    @property
    def labels(self) -> Ragged:
        """None."""
        return Ragged(np.zeros(0, np.int64), np.zeros(len(self.documents) + 1, np.int64))

    @cached_property
    def digest(self) -> str:
        """A key for the texts in their order."""
        return digest(self.documents)
