"""What makes document vectors: the encoder, and what stands at the first door.

B documents, D document width.
"""

from __future__ import annotations

from contextlib import nullcontext
from itertools import chain

import torch
from torch import nn

from xmlkit.doors import Representation
from xmlkit.model.device import full_precision
from xmlkit.model.encoder import Encoder
from xmlkit.passing import Documents, Vectors


class Vectoriser(nn.Module):
    """Texts to document vectors."""

    in_bfloat16 = False  # autocast
    representation: Representation

    def __init__(self, encoder: Encoder, representation: Representation):
        super().__init__()
        self.encoder, self.representation = encoder, representation

    @property
    def device(self) -> torch.device:
        """Where it is; the host where there is nothing that could be elsewhere."""
        return next(chain(self.parameters(), self.buffers()), torch.empty(0)).device

    def vectors(self, documents: Documents) -> Vectors:
        """The document vectors. Here alone numbers are rounded: all behind the boundary is in float32."""
        kind = documents.mask_BT.device.type
        with torch.autocast(kind, torch.bfloat16) if self.in_bfloat16 else nullcontext():
            vectors = self.representation(self.encoder(documents))
        return vectors.map(full_precision, full_precision)
