"""How sure a difference between two models is: a bootstrap over documents and seeds, paired.

Both models are scored on the same documents, and a seed gives both the same start and order of training.
A resample draws as many documents, and as many seeds, as there are, with replacement and independently of
each other (Owen, 2007, "The pigeonhole bootstrap"), and takes the difference of the two models on these. Few
seeds say little about how much seeds differ: of three, the draws show two thirds of the variance.

Shape suffixes: S seeds, N documents, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

RESAMPLES = 2000
AT_ONCE = 100


def resamples(num_seeds: int, num_documents: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """How often each seed (R, S) and each document (R, N) was drawn, `AT_ONCE` resamples at a time."""
    rng = np.random.default_rng(0)
    for _ in range(RESAMPLES // AT_ONCE):
        yield tuple(rng.multinomial(n, np.full(n, 1 / n), AT_ONCE) for n in (num_seeds, num_documents))


def percentages(part_SN: np.ndarray, whole_SN: np.ndarray) -> np.ndarray:
    """A metric, 100 x sum of parts / sum of wholes, of each resample (R,)."""
    found = []
    for seeds_RS, documents_RN in resamples(*part_SN.shape):
        parts_R, wholes_R = (
            (documents_RN @ terms_SN.T * seeds_RS).sum(1) for terms_SN in (part_SN, whole_SN)
        )
        found.append(100 * parts_R / np.where(wholes_R > 0, wholes_R, 1))
    return np.concatenate(found)


def interval(differences_R: np.ndarray) -> tuple[float, float]:
    """The middle 95%."""
    low, high = np.percentile(differences_R, [2.5, 97.5])
    return float(low), float(high)
