"""The built-in tokenizer: WordPiece trained on the corpus, kept in the cache folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xmlkit.data.cache import cached, digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}


def corpus_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerBase:
    """A lower-casing WordPiece tokenizer of at most `vocabulary` pieces, the same for the same texts."""
    from transformers import PreTrainedTokenizerFast

    key = digest(texts, str(vocabulary))
    folder = cached("wordpiece", key, lambda folder: _train(folder, texts, vocabulary))
    return PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **SPECIAL)


def _train(folder: Path, texts: Sequence[str], vocabulary: int) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token=SPECIAL["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary, special_tokens=list(SPECIAL.values()), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    cls, sep = SPECIAL["cls_token"], SPECIAL["sep_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls, sep)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
