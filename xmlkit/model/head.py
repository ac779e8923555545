"""The default heads: one where every label is scored, one where a shortlist is.

B documents, D document width, E label width, L labels, U unique labels.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from xmlkit.hooks import BuildContext, Head
from xmlkit.model.device import full_precision
from xmlkit.model.prior import prior_log_odds
from xmlkit.model.projection import projection
from xmlkit.tables import RowTable

LABELS_AT_ONCE = 65_536  # whose vectors, or scores, are computed in one go


class FlatHead(Head):
    """One linear layer from the document vector to L logits, E = D (LightXML, 2021, 3.1).

    With `start=prior` its weights begin at zero and each bias at the log odds of the average density,
    so that the first loss is that of knowing how many labels a document has, and nothing else.
    """

    stores_vectors = True

    def __init__(self, build: BuildContext, rank_width: int):
        super().__init__()
        self.linear = nn.Linear(rank_width, build.num_labels)
        if build.start == "prior":
            nn.init.zeros_(self.linear.weight)
            labels = build.train_labels
            pairs = (len(labels.values_V), len(labels) * build.num_labels) if labels else (0, 0)
            nn.init.constant_(self.linear.bias, prior_log_odds(*pairs))

    @property
    def width(self) -> int:
        """D."""
        return self.linear.in_features

    def query_BE(self, rank_BD: Tensor) -> Tensor:
        """The document vector itself."""
        return rank_BD

    def label_vectors_UE(self, rows_U: Tensor | slice) -> Tensor:
        """Rows of the weight matrix."""
        return self.linear.weight[rows_U]

    def label_bias_U(self, rows_U: Tensor | slice) -> Tensor:
        """Elements of the bias."""
        return self.linear.bias[rows_U]


class RowHead(Head):
    """One row a label, to multiply the document vector with, projected to E (LightXML, 2021, 3.4).

    With `start=prior` rows begin at zero and biases, one row each, at the log odds of a candidate's being
    true; the projection does not, since of a product's two sides one must not be zero. With `start=random`
    rows are Xavier-uniform and there are no biases, as in LightXML.
    """

    stores_vectors = True

    def __init__(self, build: BuildContext, rank_width: int):
        super().__init__()
        self.project = projection(build, rank_width, build.label_width)
        self.rows = RowTable(build.num_labels, build.label_width, build.row_dtype)
        self.biases = RowTable(build.num_labels, 1) if build.start == "prior" else None
        if self.biases is None:
            nn.init.xavier_uniform_(self.rows.weight)
        else:
            nn.init.zeros_(self.rows.weight)
            nn.init.constant_(self.biases.weight, prior_log_odds(*_density(build)))
            self.biases.weight_decay = 0.0

    @property
    def width(self) -> int:
        """E."""
        return self.rows.embedding_dim

    def query_BE(self, rank_BD: Tensor) -> Tensor:
        """Projected."""
        return self.project(rank_BD)

    def label_vectors_UE(self, rows_U: Tensor | slice) -> Tensor:
        """Rows of the table, in full precision whatever they are kept in."""
        return full_precision(self.rows(rows_U))

    def products_BU(self, query_BE: Tensor, rows_U: Tensor | slice) -> Tensor:
        """The table multiplies in runs of rows."""
        return self.rows.products_BU(query_BE, rows_U)

    def label_bias_U(self, rows_U: Tensor | slice) -> Tensor | float:
        """Elements of the table of biases."""
        return 0.0 if self.biases is None else self.biases(rows_U).squeeze(1)


class FixedLabels(Head):
    """A head whose label vectors have been computed once, for prediction."""

    stores_vectors = True

    @torch.no_grad()
    def __init__(self, head: Head, num_labels: int):
        super().__init__(head)
        was_training = head.training
        head.eval()  # whoever asks: a prediction has no dropout
        self.vectors_LE = torch.cat([head.label_vectors_UE(run) for run in runs_of_labels(num_labels)])
        head.train(was_training)

    def label_vectors_UE(self, rows_U: Tensor | slice) -> Tensor:
        """Those that were computed."""
        return self.vectors_LE[rows_U]


def runs_of_labels(num_labels: int) -> Iterator[slice]:
    """All labels, few enough at a time for what is computed of each."""
    for start in range(0, num_labels, LABELS_AT_ONCE):
        yield slice(start, min(start + LABELS_AT_ONCE, num_labels))


def for_prediction(head: Head, num_labels: int) -> Head:
    """The head, with label vectors that will not be computed again where they are not in a table already."""
    return head if head.vector_maker.stores_vectors else FixedLabels(head, num_labels)


def _density(build: BuildContext) -> tuple[int, int]:
    """True pairs of a training document and a candidate, and all such pairs."""
    labels, clusters = build.train_labels, build.clusters
    if labels is None or clusters is None:
        return 0, 0
    top = min(build.shortlist, clusters.num_clusters)
    return len(labels.values_V), round(len(labels) * top * build.num_labels / clusters.num_clusters)
