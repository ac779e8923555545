"""Label names as training documents: which there are, who sees them, and what is learnt from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file

import xmlkit
from xmlkit.data.batches import training_steps
from xmlkit.data.corpus import Corpus, Labels
from xmlkit.data.ragged import Ragged
from xmlkit.data.tokens import tokenise
from xmlkit.errors import UserError
from xmlkit.testing.tiny import tiny_run
from xmlkit.training import train as training
from xmlkit.training.name_documents import name_documents

QUICK = {"max_len": 16, "batch_size": 16, "epochs": 2, "validation": 0.2, "log_every": 1, "device": "cpu"}
UNREAD = "w49"  # its name is all that is known of it: no document has it


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


def named_corpus():
    """Labels w0 to w9 named `wN w40`, but w3, whose name is its id; and one that no document has."""
    corpus = tiny.learnable_corpus()
    names = [label if label == "w3" else f"{label} w40" for label in corpus.labels.ids]
    return replace(corpus, labels=Labels([*corpus.labels.ids, UNREAD], [*names, "w49 w50"]))


def settings(encoder, **given):
    return {"encoder": encoder, **QUICK, **given}


def prepared(folder, encoder, corpus=None, **given):
    return training.prepare(corpus or named_corpus(), settings(encoder, **given), folder)


def tokens_of(texts):
    return tokenise(texts, tiny.tokenizer(), 100)


def test_what_is_true_of_a_name_by_hand():
    """Label 0 is on three documents, on two of them with 1, on one with 2; 3 is on none; 2 has no name."""
    labels = Labels(["a", "b", "c", "d"], ["w1 w2", "w3", "c", "w4"])
    trained_on = Ragged.of([[0, 1], [0, 1, 2], [0]])
    hard, soft = (name_documents(labels, trained_on, kind, tokens_of) for kind in ("hard", "soft"))
    for found in (hard, soft):
        assert found.texts.lengths.tolist() == [2, 1, 1] and len(found.labels) == 3
        assert np.array_equal(found.texts.values, tokens_of(["w1 w2", "w3", "w4"]).values)
    assert [hard.labels[i].tolist() for i in range(3)] == [[0], [1], [3]] and hard.targets is None
    assert [soft.labels[i].tolist() for i in range(3)] == [[0, 1, 2], [0, 1, 2], [3]]
    expected = [[1, 2 / 3, 1 / 3], [1, 1, 1 / 2], [1]]
    for i, row in enumerate(expected):
        assert soft.targets[i].tolist() == pytest.approx(row)


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_an_epoch_reads_each_document_and_each_name_once(tmp_path, encoder, kind):
    trainer = prepared(tmp_path / "a", encoder, name_documents=kind)
    data, corpus = trainer.data, named_corpus()
    assert trainer.run.num_steps == 2 * -(-(len(data.train_rows) + 10) // 16)
    lengths = data.steps.reader.lengths[data.steps.rows]
    read = []
    for rows in training_steps(lengths, 16, 0, 0):
        for batch in trainer.micro_batches(data.steps.rows[rows]):
            text, labels = batch.documents.text, batch.labels
            assert (labels.targets_V is None) == (kind == "hard")
            for i in range(len(labels)):
                (a, b), (c, d) = text.offsets[i : i + 2].tolist(), labels.offsets[i : i + 2].tolist()
                targets = [1.0] * (d - c) if kind == "hard" else labels.targets_V[c:d].tolist()
                read.append((text.values_W[a:b].tolist(), labels.values_V[c:d].tolist(), targets))
    labels = corpus.train.labels.take(data.train_rows)
    expected = [
        (tokens_of([corpus.train.texts[row]]).values.tolist(), labels[i].tolist(), [1.0] * len(labels[i]))
        for i, row in enumerate(data.train_rows.tolist())
    ]
    for label, name in enumerate(corpus.labels.names):
        if name == "w3":
            continue
        with_label = [row.tolist() for row in map(labels.__getitem__, range(len(labels))) if label in row]
        share = {
            other: sum(other in row for row in with_label) / max(len(with_label), 1) for other in range(11)
        }
        share[label] = 1.0
        true = [label] if kind == "hard" else [other for other in range(11) if share[other] >= 0.1]
        targets = np.float32([share[other] for other in true]).tolist()
        expected.append((tokens_of([name]).values.tolist(), true, pytest.approx(targets)))
    assert len(read) == len(expected)
    for found in read:
        expected.remove(found)
    assert not expected


def test_nobody_but_the_steps_sees_them(tmp_path, encoder):
    plain, soft = (prepared(tmp_path / str(i), encoder, name_documents=i) for i in (None, "soft"))
    for one, other in zip(plain.model.weights().items(), soft.model.weights().items(), strict=True):
        assert one[0] == other[0] and torch.equal(one[1], other[1])  # the warm start reads documents alone
    a, b = plain.data, soft.data
    assert np.array_equal(a.train_rows, b.train_rows) and np.array_equal(a.validation_rows, b.validation_rows)
    assert np.array_equal(a.counts_L, b.counts_L) and a.num_documents == b.num_documents
    assert a.steps.rows is a.train_rows and a.steps.reader is a.reader  # nothing is between without them
    assert len(b.reader.store) == b.num_documents


@pytest.mark.slow
@pytest.mark.parametrize(("clustered", "epochs"), [(False, 12), (True, 6)])
def test_a_label_that_no_document_has_is_learnt_from_its_name(tmp_path, encoder, clustered, epochs):
    given = {
        "epochs": epochs,
        "lr": 3e-3,
        "head_lr": 2e-2,
        "clustered": clustered,
        "cluster_size": 3,
        "validation": 0,
    }
    scores = {}
    for kind in (None, "hard", "soft"):
        chosen = settings(encoder, **given, start="prior", shortlist=4, name_documents=kind)
        model = training.train(named_corpus(), chosen, tmp_path / str(kind)).model
        scores[kind] = {found.label: found.score for found in model.predict(["w49 w50"], top_k=11)[0]}[UNREAD]
    assert scores["hard"] > 5 * scores[None] and scores["soft"] > 5 * scores[None]


@pytest.mark.parametrize("names", [None, ["a", "b"]])
def test_without_names_it_is_a_one_line_error(tmp_path, encoder, names):
    corpus = Corpus.of(["w1", "w2"] * 5, [["a"], ["b"]] * 5, name="bare")
    corpus = replace(corpus, labels=Labels(corpus.labels.ids, names))
    with pytest.raises(
        UserError, match=r"^name_documents=soft: no label of bare has a name; add labels.tsv.*$"
    ):
        prepared(tmp_path / "a", encoder, corpus, name_documents="soft")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("clustered", [False, True])
def test_a_run_that_goes_on_reads_the_names_that_it_began_with(tmp_path, encoder, clustered):
    chosen = settings(encoder, checkpoint_every=5, name_documents="soft", clustered=clustered, cluster_size=3)
    training.train(named_corpus(), chosen, tmp_path / "whole")
    with tiny.killed_before_step(8):
        training.train(named_corpus(), chosen, tmp_path / "killed")
    renamed = replace(named_corpus(), labels=Labels(named_corpus().labels.ids, ["w7"] * 11))
    training.resume(tmp_path / "killed", renamed)
    whole, killed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_it_may_start_from_a_run_without(tmp_path, encoder):
    training.train(named_corpus(), settings(encoder, max_steps=2), tmp_path / "a")
    chosen = settings(encoder, max_steps=2, name_documents="soft")
    trained = training.train(named_corpus(), chosen, tmp_path / "b", tmp_path / "a")
    assert trained.outcome == "finished" and xmlkit.load(tmp_path / "b").predict(["w1 w2"])


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize(
    "plugins",
    [["se"], ["loss-fix"], ["astec-negatives"], ["combination"], ["lexical"], ["neighbours"], "all"],
    ids=lambda found: found[0] if isinstance(found, list) else found,
)
def test_every_plugin_works_with_it(plugins, clustered, kind):
    every = ["se", "loss-fix", "astec-negatives", "combination", "lexical", "neighbours"]
    chosen = every if plugins == "all" else plugins
    found = tiny_run(chosen, clustered=clustered, name_documents=kind, validation=0.2)
    losses = [line["loss"] for line in found.losses if "loss" in line]
    assert len(losses) == 5 and np.isfinite(losses).all()
