"""From rows of the token store to the tensors of a batch.

B documents, T tokens, H encoder width, V true labels in the batch, W tokens of whole texts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from xmlkit.data.corpus import Labels
from xmlkit.data.joined import Joined
from xmlkit.data.ragged import Ragged
from xmlkit.data.template import Template
from xmlkit.data.tokens import tokenise
from xmlkit.passing import Documents, RaggedLabels, RaggedTokens

Means = Callable[[np.ndarray], np.ndarray]  # rows to the encoder's mean states (B, H), where they are known


@dataclass(frozen=True)
class Reader:
    """Cuts and frames whole texts for an encoder's window."""

    store: Ragged | Joined
    template: Template
    max_len: int
    means: Means | None = None
    seen: bool = False  # as in Documents

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each document as the encoder will see it, which batches are formed by."""
        return np.minimum(self.store.lengths + self.template.special, self.max_len)

    def documents(self, rows: np.ndarray) -> Documents:
        """The documents of these rows, padded to the longest."""
        texts = self.store.take(rows)
        tokens_BT, mask_BT, first_B = (torch.from_numpy(a) for a in self.template.frame(texts, self.max_len))
        mean_BH = None if self.means is None else torch.from_numpy(self.means(rows))
        return Documents(tokens_BT, mask_BT, first_B, ragged_tokens(texts), mean_BH, self.seen)


def names_of(
    labels: Labels, tokenizer: PreTrainedTokenizerBase, template: Template, most: int | None = None
) -> Callable[[int], Documents] | None:
    """What reads the labels' names, cut to so many tokens, special ones too; None where no label has one.

    `most` is what the encoder takes, None: any number.
    """
    if labels.names is None:
        return None

    def read(longest: int) -> Documents:
        longest = max(longest if most is None else min(longest, most), template.special)
        texts = [labels.text(row) if named else "" for row, named in enumerate(labels.named_L.tolist())]
        return Reader(tokenise(texts, tokenizer, longest), template, longest).documents(np.arange(len(texts)))

    return read


def ragged_labels(labels: Ragged, num_labels: int, targets: Ragged | None = None) -> RaggedLabels:
    """The labels of a batch, or of a whole split, as tensors; `targets` says how true each is."""
    most = int(labels.lengths.max(initial=0))
    targets_V = None if targets is None else torch.from_numpy(targets.values)
    return RaggedLabels(_long(labels.values), _long(labels.offsets), num_labels, most, targets_V)


def ragged_tokens(texts: Ragged) -> RaggedTokens:
    """Whole texts as tensors."""
    return RaggedTokens(_long(texts.values), _long(texts.offsets))


def _long(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.int64))
