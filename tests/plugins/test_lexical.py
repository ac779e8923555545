"""The bag of n-grams: against counting by hand, at the edges, with and without an encoder."""

from __future__ import annotations

import math
import zlib
from collections import Counter

import numpy as np
import pytest
import tiny
import torch
from xmlkit_plugins import lexical
from xmlkit_plugins.lexical import PRIME, Bag

import xmlkit
from xmlkit.data.ragged import Ragged
from xmlkit.errors import UserError
from xmlkit.model.inputs import ragged_tokens
from xmlkit.passing import RaggedTokens
from xmlkit.tables import unique_ids_without_waiting
from xmlkit.training import train as training

TRAIN = [[5, 6, 7], [5, 6], [6, 7, 5, 6], [9], [], [5, 9, 9]]
ASKED = [[5, 6, 5, 6, 7], [], [9], [8, 8, 8], [6, 5, 6, 7, 9, 9]]
BUCKETS = 997


def tokens(rows) -> RaggedTokens:
    return ragged_tokens(Ragged.of(rows))


def bag(train=TRAIN, **options) -> Bag:
    model = tiny.model(
        plugins=["lexical"],
        options={"lexical": {"buckets": BUCKETS, "width": 6, "dropout": 0, "characters": (), **options}},
        train_text=tokens(train),
    )
    return model.representation.eval()


def bucket(gram) -> int:
    """In Python's integers."""
    if isinstance(gram, str):
        return 1 + zlib.crc32(gram.encode()) % (BUCKETS - 1)
    value = len(gram)
    for token in gram:
        value = (value * 1_000_003 + token) % PRIME
    return 1 + (value * 1_103_515_245 >> 7) % (BUCKETS - 1)


def grams(row, orders=(1, 2), cap=None, characters=()):
    """Tuples of tokens, and strings within one: token 5 is the word w1, and so on."""
    row = row[:cap]
    words = [f" w{token - 4}" for token in row]
    of_tokens = [tuple(row[i : i + n]) for n in orders for i in range(len(row) - n + 1)]
    return of_tokens + [w[i : i + n] for w in words for n in characters for i in range(len(w) - n + 1)]


def weights_by_hand(row, train=TRAIN, min_documents=2, weighting="tf-idf", **terms):
    """Bucket to weight, of length 1."""
    df = Counter(found for other in train for found in {bucket(g) for g in grams(other, **terms)})
    found = {}
    for b, times in Counter(bucket(g) for g in grams(row, **terms)).items():
        if df[b] >= min_documents:
            found[b] = (1 + math.log(times)) if "tf" in weighting else 1.0
            found[b] *= math.log(len(train) / df[b]) if "idf" in weighting else 1.0
    norm = math.sqrt(sum(weight**2 for weight in found.values()))
    return {b: weight / norm for b, weight in found.items()}


def vectors_by_hand(part, rows, scale=4.0, **how):
    table = part.rows.weight.detach()
    found = []
    for row in rows:
        weights = weights_by_hand(row, **how)
        total = sum((weight * table[b] for b, weight in weights.items()), torch.zeros(table.shape[1]))
        found.append(scale * total / total.norm() if weights else total)
    return torch.stack(found)


@pytest.mark.parametrize(
    ("options", "how"),
    [
        ({}, {}),
        ({"orders": (1,)}, {"orders": (1,)}),
        ({"orders": (1, 2, 3), "min_documents": 1}, {"orders": (1, 2, 3), "min_documents": 1}),
        ({"weighting": "tf"}, {"weighting": "tf"}),
        ({"weighting": "idf", "scale": 3.0}, {"weighting": "idf", "scale": 3.0}),
        ({"weighting": "binary"}, {"weighting": "binary"}),
        ({"text_cap": 2}, {"cap": 2}),
        ({"characters": (1, 2)}, {"characters": (1, 2)}),
        ({"characters": (1, 2), "text_cap": 2}, {"characters": (1, 2), "cap": 2}),
        ({"orders": (), "characters": (2,)}, {"orders": (), "characters": (2,)}),
    ],
)
def test_the_vector_is_that_of_counting_by_hand(options, how):
    part = bag(**options)
    with torch.no_grad():
        torch.testing.assert_close(part.bag_BF(tokens(ASKED)), vectors_by_hand(part, ASKED, **how))


def test_without_waiting_for_the_device_it_is_the_same(monkeypatch):
    part = bag(characters=(1, 2))
    texts = [tokens(ASKED), tokens([[], []])]
    with torch.no_grad():
        expected = [part.bag_BF(text) for text in texts]
        monkeypatch.setattr(lexical, "unique_ids", unique_ids_without_waiting)
        torch.testing.assert_close([part.bag_BF(text) for text in texts], expected)


def test_the_rows_gradient_is_that_of_a_dense_table():
    part, text = bag(characters=(2,)), tokens(ASKED)
    part.bag_BF(text).square().mul(torch.arange(6)).sum().backward()
    (product,) = part.rows.weight.row_products
    ours = torch.zeros(BUCKETS, 6).index_add_(0, product.rows_U, product.left_UB @ product.right_BE)
    dense = part.rows.weight.detach().clone().requires_grad_()
    weights = torch.zeros(len(ASKED), BUCKETS)
    for row, found in enumerate(weights_by_hand(row, characters=(2,)) for row in ASKED):
        for b, weight in found.items():
            weights[row, b] = weight
    x_BF = 4 * torch.nn.functional.normalize(weights @ dense, dim=1, eps=1e-6)
    x_BF.square().mul(torch.arange(6)).sum().backward()
    torch.testing.assert_close(ours, dense.grad)


def test_texts_at_the_edges():
    """Empty: nothing. One token: its row. Longer than the encoder's window: read to its end."""
    model = tiny.model(
        plugins=["lexical"],
        options={"lexical": {"width": 24, "min_documents": 1, "dropout": 0, "characters": ()}},
        train_text=tokens([[5], [6, 7]]),
    ).eval()
    documents, _ = tiny.batch(["", "w1", "w50 " * 30 + "w2 w3", "w50 " * 30], max_len=8)
    with torch.no_grad():
        x_BF = model.vectors(documents).rank_BD[:, -24:]
    assert not x_BF[0].any() and not x_BF[3].any()
    assert x_BF[1].norm() == pytest.approx(4, rel=1e-5) and x_BF[2].norm() == pytest.approx(4, rel=1e-5)
    place = model.representation.grams(tokens([[5]]))[2][0]
    row = model.representation.rows.weight[place]
    torch.testing.assert_close(x_BF[1], 4 * row / row.norm())


def test_it_widens_both_vectors_and_leaves_the_others_as_they_are():
    plain = tiny.model().eval()
    ours = tiny.model(plugins=["lexical"], options={"lexical": {"width": 7}}).eval()
    documents, _ = tiny.batch(["w1 w2", "w3"])
    with torch.no_grad():
        a, b = plain.vectors(documents), ours.vectors(documents)
    assert torch.equal(a.rank_BD, b.rank_BD[:, :-7]) and b.recall_BD is b.rank_BD


SMALL = {"batch_size": 16, "validation": 0.2, "device": "cpu", "epochs": 20, "head_lr": 3e-2}


@pytest.mark.parametrize(
    ("clustered", "label_width"),
    [(False, 16), pytest.param(True, 16, marks=pytest.mark.slow), pytest.param(True, 32, id="rows-alone")],
)
def test_without_an_encoder_it_learns_is_saved_and_opened_in_a_new_process(tmp_path, clustered, label_width):
    own = {"buckets": 4096, "width": 32, "learning_rate": 0.1, "min_documents": 1}
    settings = {"encoder": "none", **SMALL, "clustered": clustered, "cluster_size": 3, "shortlist": 2}
    settings |= {"plugins": ["lexical"], "lexical": own, "label_width": label_width}
    corpus = tiny.learnable_corpus()
    trained = training.train(corpus, settings, tmp_path / "run")
    assert trained.metrics["P@1"] > 80
    assert not any(name.startswith("encoder/") for name in trained.model.opened.model.weights())
    texts = ["", "w3", *tiny.texts(10, seed=1)]
    here = xmlkit.load(tmp_path / "run").predict(texts)
    expected = [[[p.label, p.score.hex()] for p in found] for found in here]
    assert tiny.predicted_in_a_new_process(tmp_path / "run", texts) == expected


def test_without_an_encoder_there_may_be_bfloat16(tmp_path):
    settings = {"encoder": "none", **SMALL, "plugins": ["lexical"], "precision": "bfloat16", "max_steps": 1}
    training.train(tiny.learnable_corpus(), settings, tmp_path / "run").model.predict(["w1"])


def test_without_an_encoder_a_plugin_must_make_vectors(tmp_path):
    settings = {"encoder": "none", **SMALL, "plugins": ["loss-fix"]}
    with pytest.raises(UserError, match="--encoder none: no plugin makes document vectors"):
        training.train(tiny.learnable_corpus(), settings, tmp_path / "run")


def test_document_frequencies_are_of_what_is_trained_on(tmp_path):
    """Held-out texts don't count; nor does the order in which they are counted."""
    settings = {"encoder": "none", **SMALL, "plugins": ["lexical"]}
    settings["lexical"] = {"min_documents": 1, "characters": ()}
    trainer = training.prepare(tiny.learnable_corpus(), settings, tmp_path / "run")
    part, data = trainer.model.representation, trainer.data
    document_W, _, bucket_G = part.grams(ragged_tokens(data.reader.store.take(data.train_rows)))
    pairs = np.unique(torch.stack([document_W.repeat(2), bucket_G]).numpy(), axis=1)
    df = np.bincount(pairs[1], minlength=2**18)
    some = df[1:].argmax() + 1
    assert float(part.idf_L[some]) == pytest.approx(math.log(len(data.train_rows) / df[some]), rel=1e-5)
    assert part.idf_L[0] == 0 and set(np.flatnonzero(part.idf_L)) == set(np.flatnonzero(df)) - {0}


def test_document_frequencies_are_the_same_in_parts(monkeypatch):
    whole = bag(characters=(1, 2)).idf_L
    monkeypatch.setattr(lexical, "DOCUMENTS_AT_ONCE", 2)
    assert torch.equal(bag(characters=(1, 2)).idf_L, whole)


def test_lengths_are_checked_and_one_is_a_list_of_one():
    assert bag(orders=1, characters=None).options.orders == (1,)
    for wrong, line in (
        ({"orders": [0]}, "lexical.orders=0: .* greater than or equal to 1"),
        ({"characters": [3, 17]}, "lexical.characters=17: .* less than or equal to 16"),
        ({"characters": "three"}, "lexical.characters='three': expected whole numbers"),
        ({"scale": math.inf}, "lexical.scale=inf: .* finite number"),
        ({"min_documents": 7}, "lexical.min_documents=7: no term is in so many of the 6 training texts"),
        (
            {"orders": [], "characters": []},
            "^lexical: orders and characters are both empty: there is nothing",
        ),
    ):
        with pytest.raises(UserError, match=line):
            bag(**wrong)


def test_a_single_training_text_has_terms_that_weigh():
    part = bag([[5, 6]], min_documents=1)
    with torch.no_grad():
        assert part.bag_BF(tokens([[6]])).norm() == pytest.approx(4, rel=1e-5)


def test_of_a_long_token_the_first_n_grams_of_characters_count_whatever_their_length(monkeypatch):
    monkeypatch.setattr(lexical, "MOST_PIECES", 4)
    words = lexical._pieces_VP(("abcde",), lexical.Options(buckets=BUCKETS, characters=(2, 1)))
    assert words.tolist() == [[bucket(gram) for gram in ("ab", "a", "bc", "b")]]


@pytest.mark.parametrize("changed", [{}, {"orders": [1], "characters": [4], "weighting": "tf"}])
def test_a_run_that_starts_from_another_takes_its_rows_and_counts_its_own_texts(tmp_path, changed):
    own = {"buckets": 4096, "width": 32, "min_documents": 1}
    settings = {"encoder": "none", **SMALL, "epochs": 2, "plugins": ["lexical"], "label_width": 16}
    corpus = tiny.learnable_corpus()
    training.train(corpus, {**settings, "lexical": own}, tmp_path / "start")
    settings["lexical"] = {**own, **changed}
    fresh = training.prepare(corpus, settings, tmp_path / "fresh").model.representation
    ours = training.prepare(corpus, settings, tmp_path / "next", tmp_path / "start").model.representation
    start = xmlkit.load(tmp_path / "start").opened.model.representation
    assert torch.equal(ours.rows.weight, start.rows.weight) and torch.equal(ours.idf_L, fresh.idf_L)
    assert torch.equal(ours.idf_L, start.idf_L) == (not changed)
