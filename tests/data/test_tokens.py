"""The token store, how a text is framed, and which documents form a batch."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from itertools import pairwise

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import processors

from xmlkit.data import tokens as tokens_module
from xmlkit.data import wordpiece
from xmlkit.data.batches import micro_batches, training_steps
from xmlkit.data.cache import cached, digest
from xmlkit.data.template import Template
from xmlkit.data.tokens import token_store, tokenise
from xmlkit.data.wordpiece import corpus_tokenizer

TEXTS = ["w1 w2 w3 w4", "", "w7", "w5 unknown w6"]


def test_the_store_is_the_tokenizers_own_ids(monkeypatch):
    monkeypatch.setattr(tokens_module, "TEXTS_AT_ONCE", 3)
    tokenizer = tiny.tokenizer()
    texts = tiny.texts(20)
    store = token_store(texts, tokenizer, 100)
    assert [store[i].tolist() for i in range(20)] == [
        tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts
    ]
    assert isinstance(store.values, np.memmap)


def test_a_second_run_does_not_tokenise_and_another_cap_does(monkeypatch):
    calls = []
    real = tokens_module.tokenise
    monkeypatch.setattr(tokens_module, "tokenise", lambda *a: calls.append(1) or real(*a))
    tokenizer = tiny.tokenizer()
    for cap, expected in ((9, 1), (9, 1), (2, 2), (9, 2)):
        store = token_store(["w1 w2 w3", "w8"], tokenizer, cap)
        assert store.lengths.tolist() == [min(3, cap), 1] and len(calls) == expected
    token_store(["w1 w2", "w3 w8"], tiny.tokenizer(), 9)  # the same words, cut elsewhere
    assert len(calls) == 3


def test_a_store_of_nothing_but_empty_texts():
    assert token_store(["", ""], tiny.tokenizer(), 9).lengths.tolist() == [0, 0]


def test_no_texts_no_tokens():
    assert len(tokenise([], tiny.tokenizer(), 9)) == len(token_store([], tiny.tokenizer(), 9)) == 0


def test_what_fails_half_way_leaves_nothing(cache_folder):
    def half(folder):
        (folder / "part").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached("kind", "key", half)
    assert list((cache_folder / "kind").iterdir()) == []
    assert (cached("kind", "key", lambda folder: (folder / "whole").write_text("x")) / "whole").exists()


MAKES = """
import os, sys, time
from pathlib import Path
from xmlkit.data.cache import cached
def make(folder):
    with open(sys.argv[1], "a") as made:
        made.write("made\\n")
    time.sleep(0.5)
    (folder / "whole").write_text("x")
print(cached("waited", "key", make))
"""


def test_of_two_processes_one_makes_it_and_the_other_waits(cache_folder, tmp_path):
    made = tmp_path / "made"
    both = [
        subprocess.Popen([sys.executable, "-c", MAKES, made], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    found = [process.communicate(timeout=60) for process in both]
    assert [out.decode().strip() for out, _ in found] == 2 * [str(cache_folder / "waited" / "key")]
    assert made.read_text() == "made\n"
    assert [path.name for path in (cache_folder / "waited").iterdir()] == ["key"]


def test_where_texts_end_counts_in_a_key():
    keys = {
        digest(["ab", "c"]),
        digest(["a", "bc"]),
        digest(["abc"]),
        digest(["ab"], ["c"]),
        digest("ab", "c"),
        digest("ab", ["c"]),
    }
    assert len(keys) == 4  # a text alone is a list of one


@pytest.mark.parametrize("name", ["bert", "roberta", "xlnet"])
def test_a_frame_is_what_the_tokenizer_does(name):
    tokenizer = tiny.tokenizer(name)
    template = Template.of(tokenizer)
    assert template.segment == (2 if name == "xlnet" else 0)
    for max_len in (3, 5, 32):
        tokens_BT, mask_BT, first_B = template.frame(tokenise(TEXTS, tokenizer, 100), max_len)
        assert tokens_BT.shape[1] == min(6, max_len)
        for row, text in enumerate(TEXTS):
            expected = tokenizer(text, truncation=True, max_length=max_len)["input_ids"]
            assert tokens_BT[row, mask_BT[row]].tolist() == expected
            assert (tokens_BT[row, ~mask_BT[row]] == template.pad).all()
            assert expected[first_B[row]] == tokenizer.cls_token_id


def test_without_special_tokens_an_empty_text_still_has_a_token():
    tokenizer = tiny.tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.Sequence([])
    template = Template.of(tokenizer)
    tokens_BT, mask_BT, first_B = template.frame(tokenise(["", "w1 w2 w3"], tokenizer, 9), 2)
    assert tokens_BT.tolist() == [[tokenizer.unk_token_id, template.pad], [5, 6]]
    assert mask_BT.tolist() == [[True, False], [True, True]] and first_B.tolist() == [0, 0]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=200), st.integers(1, 17), st.integers(0, 3))
def test_an_epoch_holds_each_document_once(lengths, batch_size, epoch):
    steps = training_steps(np.array(lengths), batch_size, 7, epoch)
    assert sorted(np.concatenate(steps).tolist()) == list(range(len(lengths)))
    assert len(steps) == -(-len(lengths) // batch_size)
    assert all(len(rows) <= batch_size for rows in steps)
    again = training_steps(np.array(lengths), batch_size, 7, epoch)
    assert all(np.array_equal(a, b) for a, b in zip(steps, again, strict=True))


def test_epochs_and_seeds_differ():
    lengths = np.arange(100) % 7
    orders = {
        tuple(np.concatenate(training_steps(lengths, 10, seed, epoch))) for seed in (0, 1) for epoch in (0, 1)
    }
    assert len(orders) == 4


def test_length_bucketing_wastes_little():
    lengths = np.random.default_rng(0).lognormal(3, 0.8, 5000).astype(int).clip(3, 128)
    padded = sum(len(rows) * lengths[rows].max() for rows in training_steps(lengths, 32, 0, 0))
    assert lengths.sum() / padded > 0.95


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 9), st.integers(1, 200))
def test_micro_batches_keep_both_limits(lengths, most, tokens):
    lengths = np.array(lengths)
    rows = np.arange(len(lengths))[::-1]
    parts = list(micro_batches(rows, lengths, most, tokens))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(lengths)))
    for part in parts:
        assert len(part) <= most
        assert len(part) == 1 or len(part) * lengths[part].max() <= tokens


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(0, 99))
def test_documents_are_padded_only_where_it_is_cheaper_than_a_pass(lengths, most):
    """A document more, and the run would be padded too much."""
    lengths = np.array(lengths)
    parts = list(micro_batches(np.arange(len(lengths)), lengths, 60, 9999, most))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(lengths)))

    def padding(of):
        return int(len(of) * of.max() - of.sum())

    assert all(padding(lengths[part]) <= most for part in parts)
    for part, following in pairwise(parts):
        assert padding(lengths[[*part, following[0]]]) > most


def test_the_trained_tokenizer_is_the_same_in_every_process(tmp_path):
    """In three caches: the library alone numbers pieces in the order of a hash map."""
    code = (
        "from xmlkit.data.demo import demo_documents; from xmlkit.data.wordpiece import corpus_tokenizer; "
        "import email, pathlib; folder = pathlib.Path(email.__file__).parent; "
        "corpus_tokenizer([d.text for d in demo_documents(folder)] + ['naïve ##e Größe'], 900)"
    )
    for name in "abc":
        environment = dict(os.environ, XMLKIT_CACHE=str(tmp_path / name))
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    files = [path.read_text() for path in tmp_path.rglob("tokenizer.json")]
    assert len(files) == 3 and len(set(files)) == 1


def test_a_word_of_any_length_is_cut_for_the_trained_tokenizer():
    """Whole, this one would keep the trainer busy for a day; and it is no unknown word."""
    blob = "".join(random.Random(0).choices("abcdefgh", k=1_000_000))
    tokenizer = corpus_tokenizer([blob, "some text"], 500)
    pieces = [piece.removeprefix("##") for piece in tokenizer.tokenize(blob[:350])]
    assert "".join(pieces) == blob[:350] and max(map(len, tokenizer.get_vocab())) <= 100
    assert [len("".join(group)) for group in _words(tokenizer.tokenize(blob[:350]))] == [100, 100, 100, 50]


def _words(pieces):
    """Pieces by the words that they are of."""
    words = []
    for piece in pieces:
        if not piece.startswith("##"):
            words.append([])
        words[-1].append(piece.removeprefix("##"))
    return words


def test_ctrl_c_is_heard_while_a_library_is_busy():
    """As its trainers and tokenizers are, for as long as they like."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
    held = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        wordpiece._in_a_thread(held.wait)
    held.set()
    signal.signal(signal.SIGINT, before)
    with pytest.raises(ZeroDivisionError):
        wordpiece._in_a_thread(lambda: 1 / 0)


def test_a_text_of_any_length_has_its_first_tokens():
    words = [f"w{row % 60}" for row in range(100_000)]
    found = tokenise([" ".join(words), "w1"], tiny.tokenizer(), 7)
    expected = tiny.tokenizer()(" ".join(words[:7]), add_special_tokens=False)["input_ids"]
    assert len(expected) == 7 and found[0].tolist() == expected and found[1].tolist() == expected[1:2]


def test_the_trained_tokenizer_lower_cases_and_frames():
    tokenizer = corpus_tokenizer(["The cat sat on the mat", "a dog sat", "cats and dogs"] * 5, 60)
    ids = tokenizer("The CAT sat")["input_ids"]
    assert ids == tokenizer("the cat sat")["input_ids"]
    assert ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id
    assert tokenizer.unk_token_id not in ids and len(tokenizer) <= 60
    assert tokenizer.tokenize("##a") != ["##a"]  # text that looks like a piece is no piece
