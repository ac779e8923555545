"""What a model knows of its tokenizer: how it frames a text.

B documents, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xmlkit.data.ragged import Ragged
from xmlkit.data.tokenizer_errors import tokenizer_errors
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Template:
    """`prefix + text + suffix`, padded on the right whatever the tokenizer's own habit."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    classification: int | None  # the classification token's id; without one, the first token stands for it
    segment: int  # the classification token's segment where it differs from the text's (XLNet), else 0
    pad: int
    empty: tuple[int, ...]  # what stands for an empty text, so that there is always a token to read

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Template:
        """Read off what the tokenizer does with a probe text."""
        with tokenizer_errors():
            probe = tokenizer("a", return_special_tokens_mask=True, return_token_type_ids=True)
        ids, special, segments = probe["input_ids"], probe["special_tokens_mask"], probe["token_type_ids"]
        text = [i for i, flag in enumerate(special) if not flag]
        if not text:
            raise UserError("this tokenizer gives no token for the text 'a': choose another --encoder")
        prefix, suffix = tuple(ids[: text[0]]), tuple(ids[text[-1] + 1 :])
        classification = tokenizer.cls_token_id
        if classification not in prefix + suffix:
            classification = None
        segment = 0
        if classification is not None and "token_type_ids" in tokenizer.model_input_names:
            segment = segments[ids.index(classification)] - segments[text[0]]
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        unknown = tokenizer.unk_token_id if tokenizer.unk_token_id is not None else pad
        empty = () if prefix + suffix else (unknown,)
        return cls(prefix, suffix, classification, segment, pad, empty)

    @property
    def special(self) -> int:
        """How many special tokens there are around a text."""
        return len(self.prefix) + len(self.suffix)

    def frame(self, texts: Ragged, max_len: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """tokens_BT, mask_BT and first_B of whole texts, each cut to fit `max_len` with its frame."""
        room = max_len - self.special
        lengths = np.minimum(texts.lengths, room)
        body = np.maximum(lengths, len(self.empty))
        before, after = len(self.prefix), len(self.suffix)
        ends = before + body + after
        tokens_BT = np.full((len(texts), int(ends.max(initial=0))), self.pad, np.int64)
        columns = np.arange(tokens_BT.shape[1])
        tokens_BT[:, :before] = self.prefix
        if self.empty:
            tokens_BT[lengths == 0, before : before + 1] = self.empty
        inside = (columns >= before) & (columns < before + lengths[:, None])
        tokens_BT[inside] = texts.take(np.arange(len(texts)), most=room).values
        for i, token in enumerate(self.suffix):
            tokens_BT[np.arange(len(texts)), before + body + i] = token
        if self.classification in self.suffix:
            first_B = before + body + self.suffix.index(self.classification)
        elif self.classification in self.prefix:
            first_B = np.full(len(texts), self.prefix.index(self.classification))
        else:
            first_B = np.zeros(len(texts), np.int64)
        return tokens_BT, columns < ends[:, None], first_B
