"""How good the shortlists are, and how much they still change: of a fixed sample of validation documents.

N documents of the sample, S shortlisted clusters, V their true labels, end to end.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from xmlkit.data.ragged import Ragged
from xmlkit.hooks import ClusterTable
from xmlkit.model.inputs import Reader, ragged_labels
from xmlkit.model.model import Model
from xmlkit.model.ranking import shortlist_documents

SAMPLE = 1000


class ShortlistWatch:
    """Recall of true labels at S, and churn since the last look; apart for each kind of weights looked at."""

    def __init__(self, reader: Reader, labels: Ragged, validation_rows: np.ndarray):
        places = np.linspace(0, len(validation_rows) - 1, min(SAMPLE, len(validation_rows)), dtype=int)
        self.reader, self.rows = reader, validation_rows[places]
        self.truth = labels.take(self.rows)
        self.last: dict[str, Tensor] = {}  # (N, S) of each kind

    def look(self, kind: str, model: Model, max_tokens: int, bfloat16: bool) -> dict[str, float]:
        """`kind`/recall and, from the second look on, `kind`/churn, in percent.

        recall: the share of the true labels that are in the shortlist; churn: the share of its clusters
        that were not in the last one.
        """
        clusters = model.shortlister.clusters
        if clusters is None or not len(self.rows):
            return {}
        now_NS = shortlist_documents(model, self.reader, self.rows, max_tokens, bfloat16)
        figures = {f"{kind}/recall": 100 * self._recall(now_NS, clusters)}
        if kind in self.last:
            kept_NS = (now_NS[:, :, None] == self.last[kind][:, None, :]).any(2)
            figures[f"{kind}/churn"] = 100 * (1 - float(kept_NS.float().mean()))
        self.last[kind] = now_NS
        return figures

    def _recall(self, top_NS: Tensor, clusters: ClusterTable) -> float:
        labels = ragged_labels(self.truth, 0).to(clusters.starts.device)
        cluster_V = clusters.of(labels.values_V).cpu()
        found_V = (top_NS[labels.documents_V.cpu()] == cluster_V[:, None]).any(1)
        return float(found_V.float().mean()) if len(found_V) else 0.0
