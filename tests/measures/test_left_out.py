"""Shape suffixes as in xmlkit.metrics."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

import xmlkit
from xmlkit.data.ragged import Ragged
from xmlkit.measures.left_out import depth_for, without
from xmlkit.metrics import score_ranking
from xmlkit.testing.tiny import named_corpus


def test_by_hand():
    scores_NK = np.array([[0.9, 0.8, 0.7, 0.6], [0.5, 0.4, 0.3, 0.2], [0.1, 0.0, 0.0, 0.0]])
    ids_NK = np.array([[4, 1, 0, 2], [3, 2, 1, 0], [2, -1, -1, -1]])
    left_out = Ragged.of([[0, 4], [7], [2]])  # 7 is ranked nowhere
    assert depth_for(2, left_out) == 4
    scores_Nk, ids_Nk = without(scores_NK, ids_NK, left_out, 2)
    assert ids_Nk.tolist() == [[1, 2], [3, 2], [-1, -1]]
    assert scores_Nk.tolist() == [[0.8, 0.6], [0.5, 0.4], [0.0, 0.0]]
    # Label 4 is true of the first document: it can't be hit, and is part of every denominator.
    truth = Ragged.of([[2, 4], [3], [2]])
    found = score_ranking(ids_Nk, truth, np.full(5, 3), 20, ks=(1, 2))
    assert found["P@1"] == pytest.approx(100 / 3)  # (0 + 1 + 0) / 3
    assert found["P@2"] == pytest.approx(100 / 3)  # (1/2 + 1/2 + 0) / 3
    assert found["R@2"] == pytest.approx(50)  # (1/2 + 1 + 0) / 3


def test_nothing_left_out_is_the_ranking_itself():
    ids_NK = np.array([[4, 1, 0, 2]])
    assert depth_for(3, None) == 3
    assert without(ids_NK / 10, ids_NK, None, 3)[1].tolist() == [[4, 1, 0]]


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 9), unique=True, min_size=9), st.sets(st.integers(0, 12))),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 4),
)
def test_it_is_as_if_they_had_never_been_ranked(documents, k):
    left_out = Ragged.of([sorted(gone) for _, gone in documents])
    depth = min(depth_for(k, left_out), 9)
    ids_NK = np.array([ranking[:depth] for ranking, _ in documents])
    scores_NK = 1 - ids_NK / 20 - np.arange(depth) / 100
    scores_Nk, ids_Nk = without(scores_NK, ids_NK, left_out, k)
    for row, (ranking, gone) in enumerate(documents):
        expected = [label for label in ranking[:depth] if label not in gone][:k]
        assert ids_Nk[row].tolist() == expected + [-1] * (ids_Nk.shape[1] - len(expected))
        score_of = dict(zip(ids_NK[row].tolist(), scores_NK[row].tolist()))
        assert [score_of[label] for label in expected] == scores_Nk[row, : len(expected)].tolist()


@pytest.fixture(scope="module")
def filtered(tmp_path_factory):
    """A corpus whose test documents are not asked about their first true label, and a model."""
    corpus = named_corpus()
    gone = Ragged.of(
        [row[:1].tolist() for row in map(corpus.test.labels.__getitem__, range(len(corpus.test)))]
    )
    corpus = replace(corpus, test=replace(corpus.test, left_out=gone))
    folder = tmp_path_factory.mktemp("filtered")
    encoder = tiny.save_encoder(folder / "encoder")
    settings = {"max_len": 16, "batch_size": 16, "validation": 0.2, "epochs": 2, "device": "cpu"}
    clustered = {
        "clustered": True,
        "cluster_size": 3,
        "shortlist": 4,
        "label_width": 16,
    }  # labels in another order
    trained = xmlkit.train(corpus, {**settings, **clustered, "encoder": encoder}, folder / "run")
    return corpus, trained


def slow_precision(model, split, k):
    """Precision of the first k of all labels, but for those that are left out, one by one."""
    hits = 0
    for row, found in enumerate(model.predict(split.texts, top_k=len(model.labels))):
        gone = {split.label_ids[label] for label in split.left_out[row]}
        true = {split.label_ids[label] for label in split.labels[row]}
        kept = [prediction.label for prediction in found if prediction.label not in gone]
        hits += len(true.intersection(kept[:k]))
    return 100 * hits / (k * len(split))


def test_a_run_is_scored_without_them_at_the_end_of_training_and_later(filtered):
    corpus, trained = filtered
    kept = json.loads((trained.folder / "metrics.json").read_text())
    model = xmlkit.load(trained.folder)
    for k in (1, 3, 5):
        expected = slow_precision(model, corpus.test, k)
        assert trained.metrics[f"P@{k}"] == pytest.approx(expected)
        assert kept[f"P@{k}"] == pytest.approx(expected)
        assert model.terms(corpus.test, (k,))[f"P@{k}"].percent == pytest.approx(expected)
    asked = model.evaluate(replace(corpus.test, left_out=None))
    assert asked["P@5"] > kept["P@5"]


def test_an_ensemble_is_scored_without_them(filtered):
    corpus, trained = filtered
    members = [str(trained.folder), f"neighbours:{trained.folder}"]
    made = xmlkit.ensemble(members, corpus, trained.folder.with_name("whole"))
    model = xmlkit.load(made.folder)
    for k in (1, 5):
        expected = slow_precision(model, corpus.test, k)
        assert model.evaluate(corpus.test)[f"P@{k}"] == pytest.approx(expected)
        found = model.evaluated(corpus.test, 5)
        assert model.scoring.of(found.ranking)[f"P@{k}"] == pytest.approx(expected)
        alone = model.scoring.scores(dict(found.members)[members[0]], found.ranking.truth)
        assert alone[f"P@{k}"] == pytest.approx(trained.metrics[f"P@{k}"])
