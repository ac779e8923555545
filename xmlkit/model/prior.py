"""Where biases begin."""

from __future__ import annotations

import math


def prior_log_odds(true: float, all_pairs: float) -> float:
    """log(p / (1 - p)) for p = true / all, kept finite where none or all are true.

    0 where there are no pairs: a saved model, whose biases the weights file brings.
    """
    if not all_pairs:
        return 0.0
    smallest = 1 / (all_pairs + 1)
    density = min(max(true / all_pairs, smallest), 1 - smallest)
    return math.log(density) - math.log1p(-density)
