"""The nearest of many vectors, exactly.

B queries, N vectors that are searched in, K nearest, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor

NUMBERS_AT_ONCE = 2**23  # of what is searched in, in the queries' precision


def nearest_vectors(query_BD: Tensor, bank_ND: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Products (B, K) and places (B, K) of the K = min(most, N) nearest, the nearest first.

    The best so far, run by run, so that neither all products nor all vectors in another precision are there.
    """
    best_BK = query_BD[:, :0]
    at_BK = torch.zeros(len(query_BD), 0, dtype=torch.long, device=query_BD.device)
    rows = max(NUMBERS_AT_ONCE // query_BD.shape[1], 1)
    for start in range(0, len(bank_ND), rows):
        product_BN = query_BD @ bank_ND[start : start + rows].to(query_BD.dtype).T
        best_of_run, at = product_BN.topk(min(most, product_BN.shape[1]), 1)
        both, places = torch.cat([best_BK, best_of_run], 1), torch.cat([at_BK, at + start], 1)
        best_BK, at = both.topk(min(most, both.shape[1]), 1)
        at_BK = places.gather(1, at)
    return best_BK, at_BK
