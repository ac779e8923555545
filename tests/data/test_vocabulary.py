"""How tokens are spelled, by tokenizers of each notation."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from xmlkit.data.template import Template
from xmlkit.data.wordpiece import corpus_tokenizer

SPECIAL = "[UNK]"
PIECES = {
    "WordPiece": (["un", "##able", "able"], pre_tokenizers.Whitespace(), decoders.WordPiece(cleanup=False)),
    "byte-level BPE": (["Ġun", "able", "Ġable"], pre_tokenizers.ByteLevel(), decoders.ByteLevel()),
    "SentencePiece": (["▁un", "able", "▁able"], pre_tokenizers.Metaspace(), decoders.Metaspace()),
}


def spellings(pieces, cut, decoder):
    """Of the pieces by id, one of which is "a"."""
    raw = Tokenizer(models.WordLevel({piece: i for i, piece in pieces.items()}, unk_token=SPECIAL))
    raw.pre_tokenizer = cut
    if decoder is not None:
        raw.decoder = decoder
    return Template.of(PreTrainedTokenizerFast(tokenizer_object=raw, unk_token=SPECIAL)).spell()


@pytest.mark.parametrize("notation", PIECES)
def test_a_space_is_before_what_begins_a_word_and_special_tokens_and_gaps_spell_nothing(notation):
    pieces, *how = PIECES[notation]
    found = spellings({0: SPECIAL, **dict(enumerate(pieces, 1)), 5: "a"}, *how)
    assert found == ("", " un", "able", " able", "", " a" if notation == "WordPiece" else "a")


def test_without_a_notation_each_token_is_a_word():
    assert spellings({0: SPECIAL, 1: "a", 2: "go"}, pre_tokenizers.Whitespace(), None) == ("", " a", " go")


def test_bytes_are_spelled_as_the_characters_that_they_are():
    pieces = {0: SPECIAL, 1: "a", 2: "ĠÃ¼ber", 3: "Ãł", 4: "Ġ"}
    assert spellings(pieces, pre_tokenizers.ByteLevel(), decoders.ByteLevel())[2:] == (" über", "à", " ")


def test_one_notation_is_not_read_as_another():
    pieces = {0: SPECIAL, 1: "a", 2: "▁Ġgo"}
    assert spellings(pieces, pre_tokenizers.Metaspace(), decoders.Metaspace())[2] == " Ġgo"


def test_the_built_in_tokenizer():
    tokenizer = corpus_tokenizer(["national libraries", "library of nations"] * 3, 60)
    found = Template.of(tokenizer).spell()
    ids = tokenizer("libraries", add_special_tokens=False)["input_ids"]
    assert len(found) == len(tokenizer) and "".join(found[i] for i in ids) == " libraries"
    assert found[tokenizer.pad_token_id] == found[tokenizer.cls_token_id] == ""
