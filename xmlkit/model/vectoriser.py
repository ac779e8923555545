"""What makes document vectors: the encoder, and what stands at the first door.

B documents, D document width.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor, nn

from xmlkit.distributed import collectives
from xmlkit.distributed.ranks import own_draws
from xmlkit.distributed.share import Share, own_documents
from xmlkit.doors import Representation
from xmlkit.model.device import full_precision
from xmlkit.model.encoder import Encoder
from xmlkit.passing import Documents, Training, Vectors


class Vectoriser(nn.Module):
    """Texts to document vectors."""

    representation: Representation
    is_split = False  # over ranks: each encodes some of the documents that all are asked about

    def __init__(self, encoder: Encoder, representation: Representation):
        super().__init__()
        self.encoder, self.representation = encoder, representation

    @property
    def device(self) -> torch.device:
        """Where it is; the host where there is nothing that could be elsewhere."""
        return next(chain(self.parameters(), self.buffers()), torch.empty(0)).device

    def vectors(self, documents: Documents, training: Training | None = None) -> Vectors:
        """The document vectors. Here alone numbers are rounded: all behind the boundary is in float32."""
        return self._of_all_ranks(documents, training) if self.is_split else self._own(documents, training)

    def _of_all_ranks(self, documents: Documents, training: Training | None) -> Vectors:
        """Each rank encodes a run of them. One that has none encodes the first, as all must take part."""
        share = Share.of(len(documents.first_B))
        run = share.run if len(share) else slice(0, 1)

        def of_all(x_BD: Tensor) -> Tensor:
            return collectives.of_all_documents(x_BD[: len(share)], share)

        with own_documents(), own_draws(self.device):
            if training is not None:
                rng = torch.Generator(self.device).manual_seed(torch.initial_seed())
                training = training.run(run, rng)
            own = self._own(documents.run(run), training)
        return own.map(of_all, of_all)

    def _own(self, documents: Documents, training: Training | None) -> Vectors:
        with self.encoder.rounded(documents):
            states = replace(self.encoder(documents), training=training)
            vectors = self.representation(states)
        return vectors.map(full_precision, full_precision)
