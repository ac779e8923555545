"""What makes document vectors: the encoder, and what stands at the first door.

B documents, D document width.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import torch
from torch import nn

from xmlkit.doors import Representation
from xmlkit.model.device import full_precision
from xmlkit.model.encoder import Encoder
from xmlkit.passing import Documents, Training, Vectors


class Vectoriser(nn.Module):
    """Texts to document vectors."""

    representation: Representation

    def __init__(self, encoder: Encoder, representation: Representation):
        super().__init__()
        self.encoder, self.representation = encoder, representation

    @property
    def device(self) -> torch.device:
        """Where it is; the host where there is nothing that could be elsewhere."""
        return next(chain(self.parameters(), self.buffers()), torch.empty(0)).device

    def vectors(self, documents: Documents, training: Training | None = None) -> Vectors:
        """The document vectors. Here alone numbers are rounded: all behind the boundary is in float32."""
        with self.encoder.rounded(documents):
            states = replace(self.encoder(documents), training=training)
            vectors = self.representation(states)
        return vectors.map(full_precision, full_precision)
