"""How likely a true label is to have been written down at all; rare labels are the most often missed.

Shape suffix: L labels.
"""

from __future__ import annotations

import numpy as np


def inverse_propensities(
    counts_L: np.ndarray, num_documents: int, a: float = 0.55, b: float = 1.5
) -> np.ndarray:
    """Returns 1/p for every label, the weight of a correct prediction in the propensity-scored metrics.

    1/p_l = 1 + C (N_l + b)^-a with C = (ln N - 1) (b + 1)^a, where label l has N_l of the N training
    documents (Jain, Prabhu, Varma, KDD 2016). The authors use a, b = 0.5, 0.4 for Wikipedia data sets,
    0.6, 2.6 for Amazon ones, and the defaults elsewhere.

    With N < 3 the formula would give 1/p below 1, no inverse of a probability; 1/p is 1 then.

    Args:
        counts_L: (L,) training documents of each label, 0 or more.
        num_documents: N, the number of training documents, at least 1.
        a: Exponent of the formula.
        b: Count added to every label, above 0.

    Returns:
        (L,) float64, each at least 1, without unit.
    """
    assert num_documents >= 1, "propensities need the size of the training set"
    scale = max(np.log(num_documents) - 1, 0) * (b + 1) ** a
    return 1 + scale * (counts_L.astype(np.float64) + b) ** -a
