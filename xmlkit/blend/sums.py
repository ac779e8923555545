"""The sum of scores, label by label, as LightXML (Jiang et al., AAAI 2021) puts its three models together.

    p_nl = sum over members s of p_nls / S      z_nl = log(p_nl / (1 - p_nl))

where a label that a member does not name has 0 from it. There is nothing to fit.

N texts, V pairs, S members, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from xmlkit.blend.fusion import Pairs, pairs_of
from xmlkit.blend.member import Candidates

CLOSEST = 1e-9  # to 0 and 1


@dataclass(frozen=True)
class Sum:
    """Members whose evidence is the logarithm of a score."""

    def read(self, said: Sequence[Candidates], counts_L: np.ndarray) -> tuple[Pairs, np.ndarray]:
        """The pairs, and the logit of each."""
        scores = [Candidates(found.ids_NK, np.exp(found.evidence_NK), 0 * found.floor_N) for found in said]
        pairs = pairs_of(scores, counts_L)
        mean_V = pairs.numbers_VF[:, : len(said)].mean(1, dtype=np.float64)
        return pairs, logit(mean_V.clip(CLOSEST, 1 - CLOSEST))
