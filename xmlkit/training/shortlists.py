"""How good the shortlists are, and how much they still change: of a fixed sample of validation documents.

N documents of the sample, B of a batch, C candidates, S shortlisted clusters.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from xmlkit.data.ragged import Ragged
from xmlkit.model.inputs import Reader, ragged_labels
from xmlkit.model.model import Model
from xmlkit.model.ranking import shortlist_documents

SAMPLE = 1000


class ShortlistWatch:
    """Recall of true labels, and churn since the last look; apart for each kind of weights looked at."""

    def __init__(self, reader: Reader, labels: Ragged, validation_rows: np.ndarray):
        places = np.linspace(0, len(validation_rows) - 1, min(SAMPLE, len(validation_rows)), dtype=int)
        self.reader, self.rows = reader, validation_rows[places]
        self.truth = labels.take(self.rows)
        self.last: dict[str, Tensor] = {}  # (documents, S) of each kind

    def look(self, kind: str, model: Model, max_tokens: int) -> dict[str, float]:
        """`kind`/recall and, from the second look on, `kind`/churn, in percent; nothing without shortlists.

        recall: the share of the true labels that are candidates; churn: the share of the shortlisted clusters
        that were not shortlisted last time, where the shortlist is made of clusters.
        """
        if model.shortlister.every_label or not len(self.rows):
            return {}
        hits = 0
        clusters: dict[int, Tensor] = {}
        for batch, short in shortlist_documents(model, self.reader, self.rows, max_tokens):
            labels = ragged_labels(self.truth.take(batch), model.num_labels).to(short.ids_BC.device)
            hits += int((labels.contains(short.ids_BC) & short.mask_BC).sum())
            if short.clusters_BS is not None:
                clusters |= dict(zip(batch.tolist(), short.clusters_BS.cpu()))
        figures = {f"{kind}/recall": 100 * hits / max(len(self.truth.values), 1)}
        if clusters:
            now_NS = torch.stack([clusters[place] for place in range(len(self.rows))])
            if kind in self.last:
                kept_NS = (now_NS[:, :, None] == self.last[kind][:, None, :]).any(2)
                figures[f"{kind}/churn"] = 100 * (1 - float(kept_NS.float().mean()))
            self.last[kind] = now_NS
        return figures
