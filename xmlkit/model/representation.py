"""The two default document vectors.

B documents, T tokens, N layers, H encoder width, D document width.
"""

from __future__ import annotations

import torch
from torch import nn

from xmlkit.doors import Representation
from xmlkit.hooks import BuildContext
from xmlkit.model.device import full_precision
from xmlkit.passing import LayerStates, Vectors


class FirstTokens(Representation):
    """The classification token's states of the last N layers side by side (LightXML, 2021, 3.2)."""

    def __init__(self, build: BuildContext):
        width = build.num_layers * build.hidden
        super().__init__(recall_width=width, rank_width=width)
        self.dropout = nn.Dropout(build.dropout)

    def forward(self, states: LayerStates) -> Vectors:
        """D = N x H."""
        x_BD = self.dropout(full_precision(states.first_BNH.flatten(1)))
        return Vectors(x_BD, x_BD)


class NoStates(Representation):
    """Vectors of width 0, where there is no encoder: what a plugin puts beside them is all there is."""

    reads_states = False

    def __init__(self) -> None:
        super().__init__(recall_width=0, rank_width=0)

    def forward(self, states: LayerStates) -> Vectors:
        """D = 0."""
        x_BD = torch.zeros(len(states.documents.tokens_BT), 0, device=states.documents.tokens_BT.device)
        return Vectors(x_BD, x_BD)


class TokenMean(Representation):
    """The mean of the last layer's states over the real tokens, D = H."""

    reads_states = False

    def __init__(self, width: int, dropout: float):
        super().__init__(recall_width=width, rank_width=width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: LayerStates) -> Vectors:
        """D = H."""
        x_BD = self.dropout(states.mean_BH)
        return Vectors(x_BD, x_BD)
