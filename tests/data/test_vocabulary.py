"""How tokens are spelled, in the three notations that tokenizers have."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from xmlkit.data.template import Template
from xmlkit.data.wordpiece import corpus_tokenizer

PIECES = {
    "WordPiece": (["un", "##able", "able"], pre_tokenizers.Whitespace()),
    "byte-level BPE": (["Ġun", "able", "Ġable"], pre_tokenizers.ByteLevel()),
    "SentencePiece": (["▁un", "able", "▁able"], pre_tokenizers.Metaspace()),
}


@pytest.mark.parametrize("notation", PIECES)
def test_a_space_is_before_what_begins_a_word_and_special_tokens_spell_nothing(notation):
    pieces, cut = PIECES[notation]
    vocabulary = {piece: i for i, piece in enumerate(["[UNK]", *pieces, "a"])}
    vocabulary["a"] += 1  # ids may have gaps
    if notation == "WordPiece":
        model = models.WordPiece(vocabulary, unk_token="[UNK]")
    else:
        model = models.WordLevel(vocabulary, unk_token="[UNK]")
    raw = Tokenizer(model)
    raw.pre_tokenizer = cut
    found = Template.of(PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]")).vocabulary
    begins = " a" if notation == "WordPiece" else "a"
    assert found == ("", " un", "able", " able", "", begins)


def test_the_built_in_tokenizer():
    tokenizer = corpus_tokenizer(["national libraries", "library of nations"] * 3, 60)
    found = Template.of(tokenizer).vocabulary
    ids = tokenizer("libraries", add_special_tokens=False)["input_ids"]
    assert len(found) == len(tokenizer) and "".join(found[i] for i in ids) == " libraries"
    assert found[tokenizer.pad_token_id] == found[tokenizer.cls_token_id] == ""
