"""Ranking many documents with a model: in batches of like length, back in their own order.

N documents, K ranks.
"""

from __future__ import annotations

import numpy as np
import torch

from xmlkit.data.batches import micro_batches
from xmlkit.model.inputs import Reader
from xmlkit.model.model import Model

DOCUMENTS_AT_ONCE = 256


def rank_documents(
    model: Model, reader: Reader, rows: np.ndarray, k: int, max_tokens: int, bfloat16: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, K) in 0..1 and label ids (N, K) of these rows, best first; id -1 where there are fewer."""
    device = next(model.parameters()).device
    scores_NK = np.zeros((len(rows), k), np.float32)
    ids_NK = np.full((len(rows), k), -1, np.int64)
    was_training = model.training
    model.eval()
    for batch in micro_batches(np.arange(len(rows)), reader.lengths[rows], DOCUMENTS_AT_ONCE, max_tokens):
        documents = reader.documents(rows[batch]).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            scores, ids = model.rank(documents, k)
        scores_NK[batch, : ids.shape[1]] = scores.float().cpu().numpy()
        ids_NK[batch, : ids.shape[1]] = ids.cpu().numpy()
    model.train(was_training)
    return scores_NK, ids_NK
