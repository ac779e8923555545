"""Encoders that stay as they are: towers with the same one read a text once, whatever each makes of it.

N texts, H encoder width.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from xmlkit.config import Config
from xmlkit.data.ragged import Ragged
from xmlkit.model.encoder import Encoder
from xmlkit.model.inputs import Reader
from xmlkit.model.ranking import mean_states
from xmlkit.training.vectors import kept_means, name_of_means

# For each encoder, by a name of all that its states follow from beside the texts: the texts that it read
# last, likewise, and their mean states (N, H).
Memory = dict[str, tuple[str, np.ndarray]]


class Frozen:
    """Mean states of texts, from the memory that towers share, or from the cache folder.

    They are named after the weights that the encoder has now; rounded later, it says the same.
    """

    def __init__(self, encoder: Encoder, config: Config, memory: Memory):
        self._encoder, self._config, self._memory = encoder, config, memory
        self.name = name_of_means(encoder, self._reader(Ragged.of([])))

    def read(self, tokens: Ragged) -> Reader:
        """Texts, with their means."""
        reader, texts = self._reader(tokens), self._name_of(tokens)
        last = self._memory.get(self.name)  # another thread may ask about others meanwhile
        if last is None or last[0] != texts:
            bfloat16 = self._encoder.in_bfloat16
            means_NH = mean_states(self._encoder, reader, self._config.tokens_at_once, bfloat16)
            self._memory[self.name] = last = texts, means_NH.numpy()
        return replace(reader, means=last[1].__getitem__)

    def read_kept(self, tokens: Ragged, rows: np.ndarray, what: str) -> Reader:
        """Training documents, with the means of these rows: the cache has them, or gets them meanwhile."""
        reader = self._reader(tokens)
        store = kept_means(self._encoder, reader, self._config.tokens_at_once, self.name)
        store.encode(rows, what)
        return replace(reader, means=store.rank)

    def recall(self, tokens: Ragged, rows: np.ndarray, what: str) -> None:
        """These training documents will be asked about next: the memory gets what the cache has of them."""
        reader = self.read_kept(tokens, rows, what)
        assert reader.means is not None
        self._memory[self.name] = self._name_of(tokens.take(rows)), reader.means(rows)

    def _reader(self, tokens: Ragged) -> Reader:
        return Reader(tokens, self._encoder.template, self._config.max_len)

    def _name_of(self, tokens: Ragged) -> str:
        """What is cut off plays no part."""
        seen = tokens.take(np.arange(len(tokens)), self._config.max_len - self._encoder.template.special)
        whole = hashlib.sha256(seen.offsets.tobytes())
        whole.update(seen.values.tobytes())
        return whole.hexdigest()
