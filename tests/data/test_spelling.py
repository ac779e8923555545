"""How tokens are spelled, in each notation that tokenizers have."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from xmlkit.data.spelling import spellings
from xmlkit.data.wordpiece import corpus_tokenizer

UNKNOWN = "[UNK]"
LLAMA = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]


def spelled(*pieces, decoder=None, model=models.WordLevel):
    raw = Tokenizer(model({piece: i for i, piece in enumerate([*pieces, UNKNOWN])}, unk_token=UNKNOWN))
    if decoder is not None:
        raw.decoder = decoder
    return spellings(PreTrainedTokenizerFast(tokenizer_object=raw, unk_token=UNKNOWN))[: len(pieces)]


@pytest.mark.parametrize(
    ("pieces", "decoder"),
    [
        (("un", "##able", "able"), decoders.WordPiece(cleanup=False)),
        (("un", "##able", "able"), decoders.WordPiece(cleanup=True)),
        (("Ġun", "able", "Ġable"), decoders.ByteLevel()),
        (("▁un", "able", "▁able"), decoders.Metaspace()),
        (("▁un", "able", "▁able"), decoders.Sequence(LLAMA)),
    ],
)
def test_a_space_is_before_what_begins_a_word(pieces, decoder):
    assert spelled(*pieces, decoder=decoder) == (" un", "able", " able")


def test_word_pieces_are_known_without_a_decoder_too():
    assert spelled("un", "##able", model=models.WordPiece) == (" un", "able")


def test_without_a_notation_each_token_is_a_word():
    assert spelled("a", "go") == (" a", " go")


def test_where_ends_of_words_are_marked_the_mark_is_not_spelled():
    assert spelled("go", "go</w>", decoder=decoders.BPEDecoder("</w>")) == ("go", "go")


def test_bytes_are_spelled_as_characters_where_they_are_any():
    found = spelled("ĠÃ¼ber", "Ãł", "Ã", "Å", decoder=decoders.ByteLevel())
    assert found == (" über", "à", "\ufffd", "\ufffd")
    assert spelled("<0x41>", "<0xC3>", decoder=decoders.Sequence(LLAMA)) == ("A", "\ufffd")


def test_one_notation_is_not_read_as_another():
    assert spelled("▁Ġgo", decoder=decoders.Metaspace()) == (" Ġgo",)


def test_special_tokens_and_ids_of_no_token_spell_nothing():
    raw = Tokenizer(models.WordLevel({UNKNOWN: 0, "<pad>": 1, "a": 3}, unk_token=UNKNOWN))
    raw.add_special_tokens(["<pad>"])
    assert spellings(PreTrainedTokenizerFast(tokenizer_object=raw, unk_token=UNKNOWN)) == ("", "", "", " a")


def test_the_built_in_tokenizer():
    tokenizer = corpus_tokenizer(["national libraries", "library of nations"] * 3, 60)
    found = spellings(tokenizer)
    ids = tokenizer("libraries", add_special_tokens=False)["input_ids"]
    assert len(found) == len(tokenizer) and "".join(found[i] for i in ids) == " libraries"
    assert found[tokenizer.pad_token_id] == found[tokenizer.cls_token_id] == ""
