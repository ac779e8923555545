"""Starting from names and training documents: by hand, beside slow references, through all doors."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from marking import mostly_slow
from safetensors.torch import load_file

import xmlkit
from xmlkit.config import resolve
from xmlkit.data.corpus import Corpus, Labels
from xmlkit.data.ragged import Ragged
from xmlkit.data.tokens import tokenise
from xmlkit.labels.clusters import cluster_labels
from xmlkit.model.folder import read_labels
from xmlkit.model.inputs import Reader
from xmlkit.model.start import principal_ED
from xmlkit.passing import Start
from xmlkit.training import assemble
from xmlkit.training import train as training
from xmlkit.training import vectors as vectors_module
from xmlkit.training import warm as warm_module
from xmlkit.training.feed import TrainingData
from xmlkit.training.known import Known, Mix, Scored, fit
from xmlkit.training.warm import documents_to_read

QUICK = {"max_len": 16, "batch_size": 16, "epochs": 2, "validation": 0.2, "log_every": 1, "device": "cpu"}
CLUSTERED = {"clustered": True, "cluster_size": 3, "shortlist": 2, "label_width": 32}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


def named_corpus():
    """Each label's name is its word and another one; the last label has no training document."""
    corpus = tiny.learnable_corpus()
    ids = [*corpus.labels.ids, "lonely"]
    names = [f"{label} w40" for label in corpus.labels.ids] + ["w50 w51"]
    return replace(corpus, labels=Labels(ids, names))


def vectors_of(model, texts, column="rank_BD"):
    """One text at a time, in float64."""
    model.eval()
    with torch.no_grad():
        found = [getattr(model.vectors(tiny.batch([text])[0]), column)[0].double() for text in texts]
    return torch.stack(found)


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def mixed(share, name_D, sum_D):
    return unit(share * name_D + (1 - share) * unit(sum_D))


def scored(u_BD, names_RD, centroids_RD, truth_BR):
    """Every row for these documents, at their binary cross-entropy."""

    def cost(z_BR):
        return F.binary_cross_entropy_with_logits(z_BR, truth_BR, reduction="sum")

    return Scored(u_BD @ names_RD.T, u_BD @ centroids_RD.T, slice(0, len(names_RD)), cost)


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_rows_are_names_and_centroids_as_an_independent_sum_has_them(tmp_path, encoder, pooling, capsys):
    corpus = named_corpus()
    settings = {"encoder": encoder, **QUICK, "pooling": pooling}
    trainer = training.prepare(corpus, settings, tmp_path / "run")
    model, data = trainer.model, trainer.data
    rows, head = documents_to_read(data, trainer.config), model.head
    x_ND = vectors_of(model, [corpus.train.texts[row] for row in rows])
    sample = min(warm_module.SAMPLE, len(rows) // 4 + 1)
    centre_D = x_ND[:sample].mean(0)
    u_ND = unit(x_ND - centre_D)
    names_LD = vectors_of(model, corpus.labels.names)
    names_LD = unit(names_LD - names_LD.mean(0))
    sums_LD = torch.zeros_like(names_LD)
    for row, u_D in zip(rows, u_ND, strict=True):
        for label in data.labels[row]:
            sums_LD[label] += u_D
    torch.testing.assert_close(head.centre.centre_D.double(), centre_D, rtol=1e-3, atol=1e-4)
    rows_LD, biases_L = head.rows.weight.detach().double(), head.biases.weight[:, 0]
    scale = rows_LD.norm(dim=1)
    torch.testing.assert_close(scale, scale[:1].expand(11), rtol=1e-3, atol=1e-3)
    assert torch.all(biases_L == biases_L[0]) and biases_L[0] < 0
    torch.testing.assert_close(unit(rows_LD[10]), names_LD[10], rtol=1e-3, atol=1e-4)  # no documents
    share = min(
        np.linspace(0, 1, 1001),
        key=lambda share: (mixed(share, names_LD[0], sums_LD[0]) - unit(rows_LD[0])).norm(),
    )
    for name_D, sum_D, row_D in zip(names_LD[:10], sums_LD, unit(rows_LD)):
        torch.testing.assert_close(mixed(share, name_D, sum_D), row_D, rtol=0, atol=2e-3)
    assert f"a label is {100 * share:.0f}% its name" in " ".join(capsys.readouterr().err.split())


def test_the_numbers_are_the_best_of_all_nearby():
    """Against a dense loss, computed for each of many other shares, scales and biases."""
    rng = torch.Generator().manual_seed(0)
    u_BD, names_RD, sums_RD = (F.normalize(torch.randn(n, 8, generator=rng), dim=1) for n in (60, 9, 9))
    names_RD[2] = 0
    noise_BR = 0.3 * torch.randn(60, 9, generator=rng)
    truth_BR = (u_BD @ (0.3 * names_RD + 0.7 * sums_RD).T + noise_BR > 0.4).float()
    known = Known(torch.zeros(8), names_RD, 5 * sums_RD)
    parts = zip(u_BD.split(20), truth_BR.split(20))
    mix = fit(
        known, known.centroids_RD, [scored(part_BD, names_RD, sums_RD, truth) for part_BD, truth in parts]
    )
    share, scale, bias = (parameter.item() for parameter in (mix.share, mix.scale, mix.bias))

    def loss(z_BR):
        return float(F.binary_cross_entropy_with_logits(z_BR, truth_BR.to(z_BR), reduction="sum")) / 60

    def cost(share, scale, bias):
        v_RD = F.normalize((share * names_RD + (1 - share) * sums_RD).double(), dim=1)
        return loss(scale * u_BD.double() @ v_RD.T + bias)

    best, start = cost(share, scale, bias), mix.start(known)
    assert loss(u_BD @ start.vectors_RD.T + start.bias_R) == pytest.approx(best, rel=1e-4)
    for change in (0.05, -0.05):
        assert cost(share + change, scale, bias) > best - 2e-3
        assert cost(share, scale * (1 + change), bias) > best - 2e-3
        assert cost(share, scale, bias + 4 * change) > best - 2e-3
    assert best < cost(0.31, 12.2, -9.0) / 2  # where it began


def test_a_scale_without_an_end_stays_finite():
    """Documents that are told apart exactly: the loss falls for ever as the scale grows."""
    names_RD = torch.eye(3)
    mix = fit(
        Known(torch.zeros(3), names_RD, names_RD),
        names_RD,
        [scored(names_RD, names_RD, names_RD, torch.eye(3))],
    )
    assert all(torch.isfinite(parameter) for parameter in mix.parameters()) and mix.scale < 1000
    assert mix.scale != Mix().scale


def test_a_loss_without_a_least_value_leaves_the_numbers_as_they_began(capsys):
    """As unbiased propensities make of labels that are told apart exactly."""
    names_RD = torch.eye(3)
    never_ending = Scored(names_RD, names_RD, slice(0, 3), lambda z_BR: -z_BR.diagonal().sum())
    mix = fit(Known(torch.zeros(3), names_RD, names_RD), names_RD, [never_ending])
    for number, began in zip(mix.parameters(), Mix().parameters(), strict=True):
        assert number.item() == began.item()
    assert "the loss has no least cost on what is known" in " ".join(capsys.readouterr().err.split())


@given(
    st.lists(st.lists(st.integers(0, 6), unique=True, max_size=4), min_size=1, max_size=30),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_each_label_is_read_as_often_as_asked_where_it_can_be(labels, most, seed):
    """And no document is read that none of its labels needs, in the order in which they come."""
    rows = Ragged.of([sorted(row) for row in labels])
    chosen = np.arange(0, len(labels), 2)
    data = TrainingData(None, rows, chosen, np.arange(0), np.bincount(rows.values, minlength=7))
    config = resolve({"start_documents": most, "seed": seed})
    found = documents_to_read(data, config)
    assert len(set(found)) == len(found) and set(found) <= set(chosen)
    expected, seen = [], [0] * 7
    for row in np.random.default_rng(seed).permutation(chosen):
        wanted = any(seen[label] < most for label in labels[row])
        for label in labels[row]:
            seen[label] += 1
        expected += [row] if wanted else []
    assert found.tolist() == expected


def test_principal_directions_keep_what_lies_in_them():
    rng = torch.Generator().manual_seed(1)
    flat_RD = torch.randn(20, 3, generator=rng) @ torch.randn(3, 8, generator=rng)
    basis_ED = principal_ED(flat_RD, 3)
    torch.testing.assert_close(basis_ED @ basis_ED.T, torch.eye(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(flat_RD @ basis_ED.T @ basis_ED, flat_RD, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("starts", [None, [0, 5, 9]], ids=["flat", "clustered"])
@pytest.mark.parametrize("label_width", [16, 32, 48])
@pytest.mark.parametrize("cluster_width", [None, 16])
def test_parts_score_as_their_start_does(starts, label_width, cluster_width):
    """Exactly where the space is wide enough, here for vectors of 12 dimensions."""
    rng = torch.Generator().manual_seed(2)
    base_FD, centre_D = torch.randn(12, 32, generator=rng), torch.randn(32, generator=rng)
    sizes = {"label_width": label_width, "cluster_width": cluster_width}
    model = tiny.model(14, starts=starts, pooling="mean", start="warm", **sizes).eval()
    x_BD = vectors_of(model, ["w1 w2", "w3", "", "w5 w6 w7"]).float()
    parts = {model.head: (14, lambda: model.head.scores_BU(x_BD, slice(0, 14)))}
    if starts:
        parts[model.shortlister] = (3, lambda: model.shortlister.cluster_logits_BK(x_BD))
    for part, (count, scores) in parts.items():
        vectors_RD = torch.randn(count, 12, generator=rng) @ base_FD
        bias_R = torch.randn(count, generator=rng)
        part.take_start(Start(centre_D, vectors_RD, bias_R))
        expected = F.normalize(x_BD - centre_D, dim=1) @ vectors_RD.T + bias_R
        with torch.no_grad():
            torch.testing.assert_close(scores(), expected, rtol=1e-3, atol=1e-3)


def test_wrappers_hand_a_start_on(example_plugins):
    """A cosine around the rows ranks as the start does, whose rows are equally long."""
    model = tiny.model(14, plugins=["cosine"], pooling="mean", start="warm").eval()
    rng = torch.Generator().manual_seed(3)
    vectors_RD, texts = 9 * F.normalize(torch.randn(14, 32, generator=rng), dim=1), ["w1 w2", "w3 w4"]
    model.head.take_start(Start(torch.zeros(32), vectors_RD, torch.zeros(14)))
    x_BD = vectors_of(model, texts).float()
    with torch.no_grad():
        found = model.head.scores_BU(x_BD, slice(0, 14)).argsort(1)
    assert torch.equal(found, (F.normalize(x_BD, dim=1) @ vectors_RD.T).argsort(1))


@pytest.mark.parametrize("clustered", [False, True])
def test_the_start_alone_is_a_model(tmp_path, encoder, clustered):
    """epochs=0: better than chance, evaluated, saved, opened in a new process with the same predictions."""
    settings = {
        "encoder": encoder,
        **QUICK,
        "epochs": 0,
        "pooling": "mean",
        **(CLUSTERED if clustered else {}),
    }
    trained = training.train(named_corpus(), settings, tmp_path / "run")
    chance = training.train(named_corpus(), {**settings, "start": "prior"}, tmp_path / "prior")
    assert trained.outcome == "finished" and trained.metrics["P@1"] > 2 * chance.metrics["P@1"]
    line, end = map(json.loads, (tmp_path / "run" / "log.jsonl").read_text().splitlines())
    assert line["step"] == 0 and line["validation/P@1"] > 50 and end == {"step": 0, "outcome": "finished"}
    texts = ["w1 w2 w3", "", "w9"]
    here = [[[p.label, p.score.hex()] for p in ps] for ps in trained.model.predict(texts)]
    assert tiny.predicted_in_a_new_process(tmp_path / "run", texts) == here


@pytest.mark.parametrize("clustered", mostly_slow([False, True], (True,)))
def test_a_resumed_run_ends_in_the_same_weights_and_reads_nothing_again(
    tmp_path, encoder, clustered, monkeypatch
):
    settings = {"encoder": encoder, **QUICK, "eval_every": 4, **(CLUSTERED if clustered else {})}
    training.train(named_corpus(), settings, tmp_path / "whole")
    with tiny.killed_before_step(9):
        training.train(named_corpus(), settings, tmp_path / "broken")
    monkeypatch.setattr(assemble, "warm_start", None)  # it would be called
    training.resume(tmp_path / "broken", named_corpus())
    whole, broken = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    assert whole.keys() == broken.keys() and all(torch.equal(whole[name], broken[name]) for name in whole)


def test_a_run_that_starts_from_another_takes_its_weights_and_no_start(tmp_path, encoder, monkeypatch):
    start = training.store_start(named_corpus(), {"encoder": encoder, **QUICK}, tmp_path / "start")
    monkeypatch.setattr(assemble, "warm_start", None)
    ours = training.prepare(named_corpus(), {**QUICK}, tmp_path / "ours", start).model.weights()
    assert all(
        torch.equal(tensor, ours[name]) for name, tensor in load_file(start / "model.safetensors").items()
    )
    assert ours["head/lightxml/rows.weight"].abs().min() > 0


PARTED = '''
"""Recall sees the mean, ranking twice as much."""
import torch
from xmlkit import Representation, Vectors, hookimpl

class Parted(Representation):
    def __init__(self, inner):
        super().__init__(inner, inner.recall_width, 2 * inner.rank_width)

    def forward(self, states):
        vectors = self.inner(states)
        return Vectors(vectors.recall_BD, torch.cat([vectors.rank_BD, vectors.rank_BD ** 2], 1))

@hookimpl(wrapper=True)
def representation():
    return Parted((yield))
'''


@pytest.mark.parametrize("plugins", [["parted"], ["lexical"], ["combination"], ["se", "loss-fix"]])
def test_whatever_makes_the_vectors(tmp_path, encoder, plugin_folder, plugins):
    """With clusters: labels by what ranks, clusters by what recalls, each as wide as it is."""
    from installing import install

    install(plugin_folder, "parted", PARTED)
    options = {"lexical": {"buckets": 64, "width": 8}} if plugins == ["lexical"] else {}
    settings = {"encoder": encoder, **QUICK, **CLUSTERED, "pooling": "first", "max_steps": 3}
    trainer = training.prepare(named_corpus(), {**settings, "plugins": plugins, **options}, tmp_path / "run")
    model = trainer.model
    assert model.head.vector_maker.centre.centre_D.shape == (model.representation.rank_width,)
    part = model.shortlister
    while part.inner is not None:
        part = part.inner
    assert part.rows.weight.shape[1] == model.representation.recall_width
    assert part.rows.weight.abs().sum(1).min() > 0 and part.centre.centre_D.abs().sum() > 0
    trainer.fit()
    assert all(torch.isfinite(tensor.float()).all() for tensor in model.weights().values())


def test_two_that_want_the_same_vectors_encode_each_text_once(monkeypatch, tmp_path):
    """As two runs of a comparison do that begin together: the second finds what the first has written."""
    monkeypatch.setenv("XMLKIT_CACHE", str(tmp_path))
    model, texts = tiny.model(), tiny.texts(12)
    reader = Reader(tokenise(texts, tiny.tokenizer(), 100), model.encoder.template, 16)
    both = [vectors_module.kept_means(model.encoder, reader, 2048) for _ in range(2)]
    encoded, real = [], vectors_module.encode_documents
    other = threading.Thread(target=both[1].encode, args=[np.arange(12)])

    def encode(model, reader, rows, *given):
        if not encoded:
            other.start()  # and it waits
            time.sleep(0.3)
        encoded.append(sorted(rows.tolist()))
        return real(model, reader, rows, *given)

    monkeypatch.setattr(vectors_module, "encode_documents", encode)
    both[0].encode(np.arange(8))
    other.join()
    assert encoded == [[*range(8)], [*range(8, 12)]]
    assert (both[0].rank(np.arange(8)) == both[1].rank(np.arange(8))).all()


def test_without_names_ids_are_read_and_ids_in_place_of_names_are_not(tmp_path, encoder, capsys):
    corpus = tiny.learnable_corpus()
    training.prepare(corpus, {"encoder": encoder, **QUICK}, tmp_path / "a")
    assert "and 10 names read" in " ".join(capsys.readouterr().err.split())
    half = [f"{label} w40" if row % 2 else label for row, label in enumerate(corpus.labels.ids)]
    corpus = replace(corpus, labels=Labels(corpus.labels.ids, half))
    training.prepare(corpus, {"encoder": encoder, **QUICK}, tmp_path / "b")
    assert "and 5 names read" in " ".join(capsys.readouterr().err.split())


def test_what_has_nothing_to_start_from(tmp_path, encoder):
    """No training document with a label is left once documents are held out; one label in all."""
    texts = ["w1 w2 w3 w4", "w5", "w6", "w7"]
    for number in range(4):
        labels = [["a"] if row == number else [] for row in range(4)]
        settings = {"encoder": encoder, **QUICK, "validation": 0.25, "max_steps": 1}
        trained = training.train(Corpus.of(texts, labels), settings, tmp_path / str(number))
        assert [p.label for p in xmlkit.load(tmp_path / str(number)).predict(["w3"])[0]] == ["a"]
        assert trained.outcome == "finished"


def test_a_second_run_encodes_nothing_and_starts_equal(tmp_path, encoder, monkeypatch):
    """But for texts that it has not read before; other weights, another window, another form are others."""
    monkeypatch.setenv("XMLKIT_CACHE", str(tmp_path / "cache"))
    read = []
    real = vectors_module.encode_documents

    def counted(model, reader, rows, *rest):
        read.append(len(rows))
        return real(model, reader, rows, *rest)

    monkeypatch.setattr(vectors_module, "encode_documents", counted)

    def start(name, **settings):
        read.clear()
        trainer = training.prepare(named_corpus(), {"encoder": encoder, **QUICK, **settings}, tmp_path / name)
        return trainer, [count for count in read if count != 1]  # one shows the width

    first, found = start("a", start_documents=5)
    fewer = sum(found) - 11  # names
    assert 0 < fewer < len(first.data.train_rows)
    again, found = start("b", start_documents=5)
    assert sum(found) == 0
    weights = again.model.weights()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in first.model.weights().items())
    more, found = start("c", start_documents=100)
    assert sum(found) == len(documents_to_read(more.data, more.config)) - fewer
    for name, other in {"d": {"pooling": "first"}, "e": {"max_len": 12}, "f": {"layers": 1}}.items():
        assert sum(start(name, **other, start_documents=5)[1]) == fewer + 11


def test_clusters_hold_labels_whose_documents_are_alike(tmp_path, encoder):
    """By an independent sum of vectors: halves of the spherical 2-means that those vectors have."""
    settings = {"encoder": encoder, **QUICK, **CLUSTERED, "pooling": "mean"}
    corpus = named_corpus()
    trainer = training.prepare(corpus, settings, tmp_path / "run")
    flat = training.prepare(corpus, {**settings, "clustered": False}, tmp_path / "flat")
    rows = documents_to_read(flat.data, flat.config)
    x_ND = vectors_of(flat.model, [corpus.train.texts[row] for row in rows])
    u_ND = unit(x_ND - x_ND[: warm_module.SAMPLE].mean(0))
    names_LD = vectors_of(flat.model, corpus.labels.names)
    features_LD = unit(names_LD - names_LD.mean(0))
    for label in range(10):
        members = [place for place, row in enumerate(rows) if label in flat.data.labels[row]]
        features_LD[label] = unit(u_ND[members].sum(0))
    expected = cluster_labels(features_LD.numpy(), 3, 0)
    labels, _, clusters = read_labels(tmp_path / "run")
    assert labels.ids == [corpus.labels.ids[row] for row in expected.order_L]
    assert clusters.starts.tolist() == expected.starts.tolist()
    assert trainer.model.shortlister.clusters.num_clusters == len(expected.starts) - 1
