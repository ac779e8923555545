"""How sure the differences between models are: a bootstrap over documents and seeds, paired.

All models are scored on the same documents, and a seed gives all of them the same start and order of
training. A resample draws as many documents, and as many seeds, as there are, with replacement and
independently of each other (Owen, "The pigeonhole bootstrap", 2007), and takes the difference of two models
on these. Its spread over many resamples is the standard error.

Few seeds need care. Drawing from S values shows (S - 1) / S of their variance, which the weights make good;
and three seeds tell little about how much seeds differ, so the interval has Student's t, with degrees of
freedom by Welch and Satterthwaite from the seeds' part of the variance (S - 1 of them) and the documents'
(N - 1). In simulations without any effect the intervals of three and five seeds missed 0 in 4 to 7 of 100
cases; those of two in up to 12, where seeds differ much more than documents do. With one seed there is no
part for seeds: the interval is that of the documents alone.

Shape suffixes: M models, S seeds, N documents, R resamples.
"""

from __future__ import annotations

import numpy as np

RESAMPLES = 2000
AT_ONCE = 100
FEWEST = 6  # documents: by fewer not even what all of them say is beyond chance, at 5%


def resampled(part_MSN: np.ndarray, whole_MSN: np.ndarray) -> np.ndarray:
    """A metric, 100 x sum of parts / sum of wholes, of each model in each resample (M, R)."""
    seeds, documents = part_MSN.shape[1:]
    rng = np.random.default_rng(0)
    correction = np.sqrt(seeds / max(seeds - 1, 1))
    found = []
    for _ in range(RESAMPLES // AT_ONCE):
        seeds_RS, documents_RN = (
            rng.multinomial(n, np.full(n, 1 / n), AT_ONCE).astype(float) for n in (seeds, documents)
        )
        seeds_RS = 1 + correction * (seeds_RS - 1)
        parts_MR, wholes_MR = (
            (terms_MSN @ documents_RN.T * seeds_RS.T).sum(1) for terms_MSN in (part_MSN, whole_MSN)
        )
        found.append(100 * parts_MR / np.where(wholes_MR > 0, wholes_MR, 1))
    return np.concatenate(found, axis=1)


def interval(difference_S: np.ndarray, difference_R: np.ndarray, documents: int) -> tuple[float, float]:
    """95%, from the differences of two models seed by seed and resample by resample."""
    from scipy import stats  # slow to import, and whoever only predicts never comes here

    seeds, variance = len(difference_S), float(difference_R.var())
    if variance == 0:
        return float(difference_S.mean()), float(difference_S.mean())
    of_seeds = min(float(difference_S.var(ddof=1)) / seeds, variance) if seeds > 1 else 0.0
    of_documents = variance - of_seeds
    freedom = variance**2 / (of_seeds**2 / max(seeds - 1, 1) + of_documents**2 / max(documents - 1, 1))
    half = float(stats.t.ppf(0.975, freedom)) * variance**0.5
    return float(difference_S.mean()) - half, float(difference_S.mean()) + half
