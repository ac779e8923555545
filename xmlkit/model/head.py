"""The default head where every label is scored.

B documents, D document width, L labels, U unique labels.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from xmlkit.hooks import BuildContext, Head


class FlatHead(Head):
    """One linear layer from the document vector to L logits, E = D (LightXML, 2021, 3.1).

    With `start=prior` its weights begin at zero and each bias at the log odds of the average density,
    so that the first loss is that of knowing how many labels a document has, and nothing else.
    """

    def __init__(self, build: BuildContext, rank_width: int):
        super().__init__()
        self.linear = nn.Linear(rank_width, build.num_labels)
        if build.start == "prior":
            nn.init.zeros_(self.linear.weight)
            nn.init.constant_(self.linear.bias, _log_odds(build))

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


def _log_odds(build: BuildContext) -> float:
    """log(p / (1 - p)) for p, the share of all labels that a training document has on average."""
    labels = build.train_labels
    if labels is None:  # a saved model: the weights file brings the biases
        return 0.0
    density = len(labels.values_V) / (len(labels) * labels.num_labels)
    smallest = 1 / (len(labels) * labels.num_labels + 1)
    density = min(max(density, smallest), 1 - smallest)
    return math.log(density) - math.log1p(-density)
