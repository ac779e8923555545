"""Taking out of rankings what they are not asked about.

Data sets whose labels are documents themselves have pairs that tell nothing, as a document and its own title;
the Extreme Classification Repository lists them in filter files, and its figures are of rankings without them
(Bhatia et al., http://manikvarma.org/downloads/XC/XMLRepository.html). The truth stays as it is.

N documents, K ranks of which k are left.
"""

from __future__ import annotations

import numpy as np

from xmlkit.data.ragged import Ragged
from xmlkit.metrics import hits


def depth_for(k: int, left_out: Ragged | None) -> int:
    """Ranks of which k are left for every document, whatever is taken out."""
    return k if left_out is None else k + int(left_out.lengths.max(initial=0))


def without(
    scores_NK: np.ndarray, ids_NK: np.ndarray, left_out: Ragged | None, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first k of each document's ranking, (N, k), as if what is left out had never been there.

    `ids_NK` has -1 where a document has fewer, at the end; there the score is 0.
    """
    if left_out is None:
        return scores_NK[:, :k], ids_NK[:, :k]
    gone_NK = hits(ids_NK, left_out)
    order_Nk = np.argsort(gone_NK, axis=1, kind="stable")[:, :k]
    gone_Nk = np.take_along_axis(gone_NK, order_Nk, 1)
    scores_Nk, ids_Nk = (np.take_along_axis(array, order_Nk, 1) for array in (scores_NK, ids_NK))
    return np.where(gone_Nk, 0, scores_Nk), np.where(gone_Nk, -1, ids_Nk)
