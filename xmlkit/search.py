"""The best of what is scored run by run, since not all scores fit into memory; the nearest of many vectors.

B queries, N vectors that are searched in, U of a run, K best, D width.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

NUMBERS_AT_ONCE = 2**23  # of what is searched in, and of products, in the queries' precision


def best_of_runs(runs: Iterable[tuple[int, Tensor]], most: int, like_BD: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (B, K) and places (B, K) of the K = min(most, all) best, the best first.

    Each run is where it begins and its scores (B, U); without any there are none, of the kind of `like_BD`.
    """
    best_BK = like_BD.new_zeros(len(like_BD), 0)
    at_BK = torch.zeros(len(like_BD), 0, dtype=torch.long, device=like_BD.device)
    for start, score_BU in runs:
        best_of_run, at = score_BU.topk(min(most, score_BU.shape[1]), 1)
        both, places = torch.cat([best_BK, best_of_run], 1), torch.cat([at_BK, at + start], 1)
        best_BK, at = both.topk(min(most, both.shape[1]), 1)
        at_BK = places.gather(1, at)
    return best_BK, at_BK


def nearest_vectors(query_BD: Tensor, bank_ND: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Products (B, K) and places (B, K) of the K = min(most, N) nearest, the nearest first.

    Neither all products nor all vectors in another precision are there at once.
    """
    rows = max(NUMBERS_AT_ONCE // max(query_BD.shape), 1)
    runs = (
        (start, query_BD @ bank_ND[start : start + rows].to(query_BD.dtype).T)
        for start in range(0, len(bank_ND), rows)
    )
    return best_of_runs(runs, most, query_BD)
