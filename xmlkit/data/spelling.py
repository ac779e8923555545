"""How the tokens of a tokenizer are spelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def spellings(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """By id, as the tokenizer's own decoder has them after another token: with a space before what begins a
    word, where the tokenizer marks that. Special tokens, and ids of no token, spell nothing.
    """
    from tokenizers import decoders

    ids = tokenizer.get_vocab()
    pieces = tokenizer.convert_ids_to_tokens(list(range(max(ids.values()) + 1)))
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    backend = tokenizer.backend_tokenizer
    decoder, inside = backend.decoder, getattr(backend.model, "continuing_subword_prefix", None)
    if decoder is None and inside:
        decoder = decoders.WordPiece(inside, cleanup=False)
    decode = " ".join if decoder is None else decoder.decode  # without either, each token is a word
    return tuple(
        "" if piece is None or i in special else decode(["a", piece]).removeprefix("a")
        for i, piece in enumerate(pieces)
    )
