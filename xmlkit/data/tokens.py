"""The token store: whole texts, tokenised once, ragged, memory-mapped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xmlkit.console import track
from xmlkit.data.cache import cached, digest
from xmlkit.data.ragged import Ragged
from xmlkit.data.tokenizer_errors import tokenizer_errors

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerBase

TEXTS_AT_ONCE = 4096
CHARACTERS_A_TOKEN = 200


def tokenise(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, cap: int) -> Ragged:
    """Token ids of each text, without special tokens, at most `cap` of them; in memory."""
    if not texts:  # of which transformers makes an error
        return Ragged.of([], np.int32)
    return Ragged.of(encodings(texts, tokenizer, cap)["input_ids"], np.int32)


def encodings(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, cap: int, offsets: bool = False
) -> BatchEncoding:
    """`input_ids` of each text, and `offset_mapping`, where each token stands in it, if asked for.

    Of a text no more is read than 200 characters for each token, so that none of any length is waited for.
    The fast tokenizers spread a list of texts over all cores.
    """
    with tokenizer_errors():
        return tokenizer(
            [text[: cap * CHARACTERS_A_TOKEN] for text in texts],
            add_special_tokens=False,
            truncation=True,
            max_length=cap,
            return_attention_mask=False,
            return_token_type_ids=False,
            return_offsets_mapping=offsets,
        )


def token_store(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, cap: int) -> Ragged:
    """Like `tokenise`, kept in the cache folder and memory-mapped.

    The key is the content of texts and tokenizer, so the encoder's window plays no part in it.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()  # left over from an earlier call, these would be part of the content
    backend.no_padding()
    side = "" if tokenizer.truncation_side == "right" else f" on the {tokenizer.truncation_side}"
    key = digest(texts, backend.to_str(), f"{cap} of {CHARACTERS_A_TOKEN}{side}")
    folder = cached("tokens", key, lambda folder: _write(folder, texts, tokenizer, cap))
    return Ragged(np.load(folder / "values.npy", mmap_mode="r"), np.load(folder / "offsets.npy"))


def _write(folder: Path, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, cap: int) -> None:
    lengths = np.zeros(len(texts), np.int64)
    raw = folder / "values.raw"
    with raw.open("wb") as values:
        for start in track(range(0, len(texts), TEXTS_AT_ONCE), "tokenising"):
            part = tokenise(texts[start : start + TEXTS_AT_ONCE], tokenizer, cap)
            lengths[start : start + len(part)] = part.lengths
            values.write(part.values.data)
    offsets = np.concatenate([np.zeros(1, np.int64), lengths.cumsum()])
    np.save(folder / "offsets.npy", offsets)
    shape = (int(offsets[-1]),)
    if shape[0]:  # an empty file can't be mapped
        np.save(folder / "values.npy", np.memmap(raw, np.int32, "r", shape=shape))
    else:
        np.save(folder / "values.npy", np.zeros(0, np.int32))
    raw.unlink()
