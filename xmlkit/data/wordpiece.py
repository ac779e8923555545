"""The built-in tokenizer: WordPiece trained on the corpus, kept in the cache folder."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xmlkit.data.cache import cached, digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
MOST_CHARACTERS = 1000
HEARD_EVERY = 0.1  # seconds
LONGEST_WORD = 100  # characters: what is longer, as encoded files are, is cut


def corpus_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerBase:
    """A lower-casing WordPiece tokenizer of at most `vocabulary` pieces, the same for the same texts."""
    from transformers import PreTrainedTokenizerFast

    key = digest(texts, str(vocabulary))
    folder = cached("wordpiece", key, lambda folder: _train(folder, texts, vocabulary))
    return PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **SPECIAL)


def _in_a_thread(work: Callable[[], None]) -> None:
    """Until it ends, or Ctrl-C comes, which a library that is busy would not hear."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(HEARD_EVERY)
    if failures:
        raise failures[0]


def _train(folder: Path, texts: Sequence[str], vocabulary: int) -> None:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    special = list(SPECIAL.values())
    tokenizer = Tokenizer(models.WordPiece(unk_token=SPECIAL["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    # The trainer takes time quadratic in the length of a word, and WordPiece knows no longer ones.
    cut = pre_tokenizers.Split(Regex(f".{{{LONGEST_WORD}}}"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), cut])
    # Left alone, the trainer numbers the `##c` pieces in the order of a hash map, another one in each
    # process, and breaks ties by number. As special tokens they have numbers of ours.
    counts = Counter(character for text in texts for character in tokenizer.normalizer.normalize_str(text))
    characters = sorted(counts, key=lambda character: (-counts[character], character))[:MOST_CHARACTERS]
    pieces = [f"##{character}" for character in characters if not character.isspace()]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary,
        special_tokens=special + pieces,
        limit_alphabet=MOST_CHARACTERS,
        show_progress=False,
    )
    _in_a_thread(lambda: tokenizer.train_from_iterator(texts, trainer, length=len(texts)))
    cls, sep = SPECIAL["cls_token"], SPECIAL["sep_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls, sep)],
    )
    document = json.loads(tokenizer.to_str())
    document["added_tokens"] = [token for token in document["added_tokens"] if token["content"] in special]
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
