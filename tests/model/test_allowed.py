"""Only some labels may be suggested. Shape suffixes as in xmlkit.model.model."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

import xmlkit
from xmlkit.errors import UserError
from xmlkit.inference.allowed import allowed_labels
from xmlkit.model import model as model_module
from xmlkit.testing.tiny import named_corpus

NUM_LABELS = 23
MODELS = {
    "every label": {},
    "clusters": {"clustered": True, "starts": [0, 6, 12, 18], "shortlist": 2},
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    settings = dict(MODELS[request.param])
    made = tiny.model(NUM_LABELS, start="random", **settings).eval()
    return made


@given(st.sets(st.integers(0, NUM_LABELS - 1), min_size=1), st.integers(1, NUM_LABELS))
def test_the_best_of_those_that_are_scored(model, allowed, k):
    documents = tiny.batch(tiny.texts(4))[0]
    allowed_L = torch.zeros(NUM_LABELS, dtype=torch.bool)
    allowed_L[sorted(allowed)] = True
    scores_BL, ids_BL = model.rank(documents, NUM_LABELS)
    scores_Bk, ids_Bk = model.rank(documents, k, allowed_L=allowed_L)
    for row in range(len(ids_BL)):
        ranked = zip(ids_BL[row].tolist(), scores_BL[row].tolist())
        expected = [(label, score) for label, score in ranked if label in allowed][:k]
        found, scores = ids_Bk[row].tolist(), scores_Bk[row].tolist()
        missing = len(found) - len(expected)
        assert found == [label for label, _ in expected] + [-1] * missing
        # A sigmoid's last digit depends on its company.
        assert scores == pytest.approx([score for _, score in expected] + [0.0] * missing, rel=1e-6)


def test_label_by_label_in_runs(monkeypatch):
    """A whole run may be without a label that is allowed."""
    monkeypatch.setattr(
        model_module,
        "runs_of_labels",
        lambda end, begin: (slice(i, min(i + 4, end)) for i in range(begin, end, 4)),
    )
    model = tiny.model(NUM_LABELS, start="random").eval()
    allowed_L = torch.zeros(NUM_LABELS, dtype=torch.bool)
    allowed_L[[9, 21]] = True
    _, ids_Bk = model.rank(tiny.batch(tiny.texts(4))[0], 5, allowed_L=allowed_L)
    assert all(sorted(row[:2]) == [9, 21] and row[2:] == [-1] * 3 for row in ids_Bk.tolist())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run, and an ensemble of it and its neighbours."""
    folder, corpus = tmp_path_factory.mktemp("allowed"), named_corpus()
    encoder = tiny.save_encoder(folder / "encoder")
    settings = {"max_len": 16, "batch_size": 16, "validation": 0.3, "epochs": 1, "device": "cpu"}
    xmlkit.train(corpus, {**settings, "encoder": encoder}, folder / "run")
    xmlkit.ensemble([str(folder / "run"), f"neighbours:{folder / 'run'}"], corpus, folder / "whole")
    return folder


@pytest.mark.parametrize("name", ["run", "whole"])
def test_predictions_of_a_run_and_an_ensemble(runs, name):
    model = xmlkit.load(runs / name)
    texts = ["w1 w2 w3", "", "w9 w4"]
    everything = model.predict(texts, top_k=len(model.labels))
    allowed = np.zeros(len(model.labels), bool)
    allowed[[2, 5, 7, 11]] = True
    for found, every in zip(model.predict(texts, 3, allowed=allowed), everything, strict=True):
        ids = {model.labels.ids[row] for row in (2, 5, 7, 11)}
        expected = [prediction for prediction in every if prediction.label in ids][:3]
        assert [prediction.label for prediction in found] == [prediction.label for prediction in expected]
        assert [p.score for p in found] == pytest.approx([p.score for p in expected], rel=1e-6)
    assert model.shortlists == (name == "whole")
    with pytest.raises(UserError, match="12 bools"):
        model.predict(texts, allowed=np.ones(3, bool))
    with pytest.raises(UserError, match="12 bools"):
        model.predict(texts, allowed=np.ones(12))


def test_files_say_which(runs, tmp_path, capsys):
    labels = xmlkit.load(runs / "run").labels
    only, without = tmp_path / "only.txt", tmp_path / "without.txt"
    only.write_text(f"{labels.ids[4]}\n{labels.ids[1]}\n{labels.ids[1]}\nnever seen\n")
    without.write_text(f"{labels.ids[1]}\n")
    assert allowed_labels(labels, None, None) is None
    assert np.flatnonzero(allowed_labels(labels, only, None)).tolist() == [1, 4]
    assert "1 of 3 labels are unknown to the model, such as 'never seen'" in capsys.readouterr().err
    assert np.flatnonzero(allowed_labels(labels, only, without)).tolist() == [4]
    assert np.flatnonzero(~allowed_labels(labels, None, without)).tolist() == [1]
    with pytest.raises(UserError, match="no label of the model is left"):
        allowed_labels(labels, without, only)
