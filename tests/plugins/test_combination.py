"""The combination block: it begins as the base, padding and truth play no part, terms by hand."""

from __future__ import annotations

from itertools import product

import pytest
import tiny
import torch

from xmlkit.data.ragged import Ragged
from xmlkit.model.inputs import ragged_labels
from xmlkit.passing import RaggedLabels, Training
from xmlkit.tables import RowTable
from xmlkit.training import train as training

TEXTS = ["w1 w2 w3", "w9", "", "w5 w4 w40 w41 w7"]
STARTS = range(0, 90, 3)
PLACES = list(product(["document", "classifier", "labels"], ["runs", "mean"]))
NAMES = torch.randn(90, 32, generator=torch.Generator().manual_seed(0))


def model(where="document", tokens="runs", starts=STARTS, names=NAMES, plugins=("combination",), **options):
    own = {"combination": {"where": where, "tokens": tokens, **options}} if plugins else {}
    settings = {"starts": starts, "shortlist": 4, "start": "random", "label_width": 16}
    return tiny.model(90, plugins=plugins, options=own, names=names, pooling="first", **settings).eval()


def moved(of):
    """With weights and projections that are no longer those of the start."""
    torch.manual_seed(3)
    for name, parameter in of.named_parameters():
        if "weights.of" in name or "fit" in name:
            torch.nn.init.normal_(parameter, mean=0.3, std=0.3)
    return of


@pytest.mark.parametrize(("where", "tokens"), PLACES)
@pytest.mark.parametrize("starts", [STARTS, None], ids=["clustered", "flat"])
def test_it_begins_exactly_as_the_base(where, tokens, starts):
    documents, training = tiny.batch(TEXTS, 90, seed=2)
    plain, ours = model(plugins=(), starts=starts), model(where, tokens, starts=starts)
    for name, loss in plain(documents, training).losses.items():
        # With `labels` the rows are computed, and their products taken in another order than the table's.
        torch.testing.assert_close(ours(documents, training).losses[name], loss, rtol=1e-6, atol=0)
    (scores, ids), (own_scores, own_ids) = plain.rank(documents, 5), ours.rank(documents, 5)
    assert torch.equal(ids, own_ids)
    torch.testing.assert_close(scores, own_scores)


@pytest.mark.parametrize(("where", "tokens"), PLACES)
def test_nothing_is_dead(where, tokens):
    """Gradients reach the projections at once, and alpha, beta, gamma when these have moved."""
    documents, training = tiny.batch(TEXTS, 90, seed=2)
    ours = model(where, tokens)
    for later in (False, True):
        ours.zero_grad()
        ours.backward(ours(documents, training))
        for name, parameter in ours.named_parameters():
            expected = "fit" in name or "alpha" in name or (later and "weights.of" in name)
            if expected:
                assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        moved(ours)


def test_runs_and_means_by_hand():
    """[CLS] w1 w2 w3 [SEP] in three layers: places 0 to 4 times 3 / 5 give the runs 0 0 1 1 2."""
    documents, _ = tiny.batch(TEXTS[:2])  # the second has three tokens and two of padding
    ours = model()
    states = ours.encoder(documents)
    block = ours.representation
    last = states.layer_BTH(-1)
    first = [last[0, :2].sum(0), last[0, 2:4].sum(0), last[0, 4]]
    second = [last[1, 0], last[1, 1], last[1, 2]]
    runs = torch.stack([torch.cat(first), torch.cat(second)])
    torch.testing.assert_close(block._runs_BD(states), runs)
    means = torch.stack(
        [
            torch.cat([s[0].mean(0) for s in states.layers]),
            torch.cat([s[1, :3].mean(0) for s in states.layers]),
        ]
    )
    torch.testing.assert_close(block._means_BD(states), means)
    moved(ours)
    alpha, beta = (block.rank["weights"].of[name].relu() for name in ("alpha", "beta"))
    x = torch.cat([s[:, 0] for s in states.layers], 1)
    fit = block.rank["fit"]
    expected = alpha * x + beta * (runs @ fit.weight.T + fit.bias)
    torch.testing.assert_close(block(states).rank_BD, expected)


@pytest.mark.parametrize(("where", "tokens"), PLACES)
def test_padding_and_company_change_nothing(where, tokens):
    ours = moved(model(where, tokens))
    documents, _ = tiny.batch(TEXTS)
    scores, ids = ours.rank(documents, 5)
    for row, text in enumerate(TEXTS):
        alone, _ = tiny.batch([text])
        alone_scores, alone_ids = ours.rank(alone, 5)
        torch.testing.assert_close(alone_scores[0], scores[row], rtol=1e-4, atol=1e-5)
        assert torch.equal(alone_ids[0], ids[row])


@pytest.mark.parametrize("where", ["document", "classifier"])
def test_a_documents_true_labels_change_nothing_of_its_vector(where):
    """With whatever truth, or none as at prediction, the ranker reads the same vector."""
    ours = moved(model(where))
    documents, training = tiny.batch(TEXTS, 90, seed=2)
    other = ragged_labels(Ragged.of([[89], [0, 5, 60], [1], list(range(40))]), 90)
    vectors = ours.vectors(documents)
    read = [
        ours.shortlister(vectors, documents, given).rank_BD
        for given in (training, Training(other, training.rng, training.rows_B), None)
    ]
    assert torch.equal(read[0], read[1]) and torch.equal(read[0], read[2])


def test_the_neighbourhood_by_hand():
    """Two clusters of two labels; the likelier one has probability 0.8 and the other 0.2 of their sum."""
    labels = ragged_labels(Ragged.of([[0], [0, 3], [1, 2], [3]]), 4)
    ours = tiny.model(
        4,
        plugins=["combination"],
        options={"combination": {"likely": 2, "neighbours": 2, "width": 3}},
        starts=[0, 2],
        train_labels=labels,
    ).eval()
    part = ours.shortlister
    # Documents of cluster 0 (labels 0, 1): the first three; of them 0 has two, 1 and 2 one each.
    # Of cluster 1 (labels 2, 3): the last three; of them 3 has two, 0 and 2 one each.
    assert part.ids_KP.tolist() == [[0, 1], [3, 0]]
    torch.testing.assert_close(part.shares_KP, torch.tensor([[2 / 3, 1 / 3], [2 / 3, 1 / 3]]))
    z = torch.logit(torch.tensor([0.8, 0.2]))
    with torch.no_grad():
        part.inner.rows.weight.zero_()
        part.inner.biases.weight[:, 0] = z
    y = part.neighbourhood_BW(torch.zeros(1, 96))
    rows, shares = part.rows.weight, part.shares_KP
    expected = sum(
        p * shares[k, i] * rows[part.ids_KP[k, i]] for k, p in enumerate((0.8, 0.2)) for i in range(2)
    )
    torch.testing.assert_close(y[0], expected)


def test_the_label_side_by_hand():
    ours = moved(model("labels"))
    head, rows = ours.head, torch.tensor([4, 77])
    assert isinstance(head.inner.rows, RowTable)
    table, of = head.inner.rows.weight, head.weights.of
    for i, row in enumerate(rows.tolist()):
        mean = (head.shares_LP[row][:, None] * table[head.ids_LP[row]]).sum(0)
        expected = of["alpha"].relu() * table[row]
        expected = expected + of["beta"].relu() * head.fit_names(NAMES[row])
        expected = expected + of["gamma"].relu() * head.fit_neighbours(mean)
        torch.testing.assert_close(head.label_vectors_UE(rows)[i], expected)
    with torch.no_grad():
        torch.testing.assert_close(head.label_vectors_UE(slice(4, 6))[0], head.label_vectors_UE(rows)[0])


def test_terms_that_are_left_out():
    def terms(of):
        return {name.split(".")[-1] for name, _ in of.named_parameters() if "weights.of" in name}

    assert terms(model("labels", names=None)) == {"alpha", "gamma"}
    assert terms(model("labels", cooccurrence=False)) == {"alpha", "beta"}
    assert terms(model("document", cooccurrence=False)) == {"alpha", "beta"}
    assert terms(model("labels", names=None, cooccurrence=False)) == {"alpha"}


def test_the_saved_shape_follows_from_sizes_alone():
    """A model that is opened has no training labels: its buffers come from the file."""
    for where in ("document", "labels"):
        ours = moved(model(where))
        empty = RaggedLabels(torch.zeros(0, dtype=torch.long), torch.zeros(2, dtype=torch.long), 90, 0)
        other = tiny.model(
            90,
            plugins=["combination"],
            options={"combination": {"where": where}},
            names=torch.zeros(90, 32),
            train_labels=empty,
            starts=STARTS,
            shortlist=4,
            label_width=16,
            start="random",
        ).eval()
        other.load_weights({name: tensor.clone() for name, tensor in ours.weights().items()})
        documents, _ = tiny.batch(TEXTS)
        for a, b in zip(ours.rank(documents, 5), other.rank(documents, 5), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("where", ["document", "labels"])
def test_a_run_that_starts_from_another_counts_in_its_own_documents(tmp_path, where):
    encoder = tiny.save_encoder(tmp_path / "encoder")
    settings = {"encoder": encoder, "max_len": 16, "clustered": True, "cluster_size": 3, "shortlist": 2}
    settings |= {"plugins": ["combination"], "combination": {"where": where}, "device": "cpu", "max_steps": 1}
    corpus = tiny.learnable_corpus()
    training.train(corpus, settings, tmp_path / "start")
    settings["combination"] = {"where": where, "neighbours": 2}
    fresh = training.prepare(corpus, settings, tmp_path / "fresh").model.weights()
    ours = training.prepare(corpus, settings, tmp_path / "next", tmp_path / "start").model.weights()
    counted = [name for name in ours if "/ids_" in name or "/shares_" in name]
    assert len(counted) == 2 and all(torch.equal(ours[name], fresh[name]) for name in counted)


def test_rows_in_bfloat16_have_label_vectors_in_float32():
    options = {"combination": {"where": "labels"}}
    ours = tiny.model(
        90, plugins=["combination"], options=options, starts=range(0, 90, 3), row_precision="bfloat16"
    )
    documents, training = tiny.batch(["w1 w2", "w3"], 90)
    ours.train()
    ours.backward(ours(documents, training))
    assert ours.head.label_vectors_UE(slice(0, 5)).dtype == torch.float32
    assert ours.head_for_prediction().vectors_LE.dtype == torch.float32
