"""The sum of scores, label by label, as LightXML (Jiang et al., AAAI 2021) puts its three models together.

    p_nl = sum over members s of p_nls / S      z_nl = log(p_nl / (1 - p_nl))

where a label that a member does not name has 0 from it. There is nothing to fit.

N texts, V pairs, S members, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from xmlkit.blend.fusion import Pairs, pairs_of
from xmlkit.blend.member import Candidates, Member

CLOSEST = 1e-15  # to 0 and 1
SCORES = {"logit": expit, "logarithm": np.exp}


@dataclass(frozen=True)
class Sum:
    """Of members that have scores."""

    of_score: Sequence[str]  # what evidence is, a member each

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Nothing is written."""
        return {}

    def read(self, said: Sequence[Candidates], counts_L: np.ndarray) -> tuple[Pairs, np.ndarray]:
        """The pairs, and the logit of each."""
        scored = [
            Candidates(found.ids_NK, SCORES[of](found.evidence_NK.astype(np.float64)), 0 * found.floor_N)
            for found, of in zip(said, self.of_score, strict=True)
        ]
        pairs = pairs_of(scored, counts_L)
        mean_V = pairs.numbers_VF[:, : len(said)].mean(1)
        return pairs, logit(mean_V.clip(CLOSEST, 1 - CLOSEST))

    def adds_VF(self, pairs: Pairs) -> np.ndarray:
        """What the mean score of each pair is a sum of, (V, S): members alone."""
        adds_VF: np.ndarray = pairs.numbers_VF[:, : len(self.of_score)] / len(self.of_score)
        return adds_VF


def sum_of(members: Sequence[Member]) -> Sum:
    """Raises ValueError where one of them has no scores."""
    found = [member.of_score for member in members if member.of_score is not None]
    if len(found) < len(members):
        raise ValueError("a member has no scores to be added up")
    return Sum(found)
