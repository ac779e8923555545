"""A threshold fitted on what was held out, kept in the folder, and used."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tiny
from commands import xmlkit as run_command

import xmlkit
from xmlkit.blend.threshold import FILE, Fitted, fit, keep, kept
from xmlkit.data.corpus import validation_rows
from xmlkit.data.formats import jsonl
from xmlkit.data.writing import write_corpus
from xmlkit.errors import UserError
from xmlkit.model.folder import files_of_run
from xmlkit.testing.tiny import named_corpus

SETTINGS = {
    "max_len": 16,
    "batch_size": 16,
    "validation": 0.3,
    "epochs": 2,
    "device": "cpu",
    "pooling": "mean",
}


@pytest.fixture(scope="module")
def corpus():
    return named_corpus()


@pytest.fixture(scope="module")
def made(corpus, tmp_path_factory):
    """A run, and an ensemble of it and its neighbours."""
    folder = tmp_path_factory.mktemp("made")
    encoder = tiny.save_encoder(folder / "encoder")
    xmlkit.train(corpus, {**SETTINGS, "encoder": encoder}, folder / "run")
    xmlkit.ensemble([str(folder / "run"), f"neighbours:{folder / 'run'}"], corpus, folder / "whole")
    return folder


def micro_f1(model, split, top_k, threshold):
    right = given = 0
    for row, found in enumerate(model.predict(split.texts, top_k, threshold)):
        true = {split.label_ids[label] for label in split.labels[row]}
        given += len(found)
        right += len(true.intersection(prediction.label for prediction in found))
    return 100 * 2 * right / (given + len(split.labels.values))


@pytest.mark.parametrize("name", ["run", "whole"])
def test_what_is_fitted_is_what_predictions_then_reach(made, corpus, name):
    folder, model = made / name, xmlkit.load(made / name)
    held_out = model.held_out(corpus)
    rows = np.flatnonzero(validation_rows(corpus.train.texts, 0.3, 10**6))
    assert held_out.texts == [corpus.train.texts[row] for row in rows]
    fitted = {found.measure: found for found in fit(folder, model, held_out)}
    best = fitted["micro-F1"]
    reached = micro_f1(model, held_out, best.limit, best.threshold)
    assert reached == pytest.approx(best.percent) and best.documents == len(held_out)
    for threshold in np.linspace(0, 1, 21):
        for limit in (1, 2, 3, 5, 12):
            assert micro_f1(model, held_out, limit, threshold) <= reached + 1e-9
    keep(folder, best)
    assert kept(folder) == best
    again = xmlkit.load(folder)  # the folder is whole as before
    assert again.predict(["w1 w2"]) == model.predict(["w1 w2"])
    (folder / FILE).unlink()


def test_other_documents_and_none_held_out_are_refused(made, corpus, tmp_path):
    from dataclasses import replace

    other = replace(corpus, train=corpus.train.take(np.arange(30)))
    for name in ("run", "whole"):
        with pytest.raises(UserError, match="trained on other documents or labels than"):
            xmlkit.load(made / name).held_out(other)
    settings = {**SETTINGS, "validation": 0, "epochs": 1, "encoder": str(made / "encoder")}
    xmlkit.train(corpus, settings, tmp_path / "all")
    with pytest.raises(UserError, match="validation=0"):
        xmlkit.load(tmp_path / "all").held_out(corpus)


def test_a_threshold_of_other_weights_and_a_damaged_one_are_refused(made, tmp_path):
    run = shutil.copytree(made / "run", tmp_path / "run")
    assert kept(run) is None
    whole = {"measure": "micro-F1", "percent": 50.0, "threshold": 0.25, "limit": 3, "labels_each": 2.0}
    keep(run, Fitted(**whole, documents=7, weights="of another"))
    with pytest.raises(UserError, match="fitted for other weights than are there: fit it again"):
        kept(run)
    for damage in (
        "{",
        "[]",
        json.dumps({**whole, "documents": 7, "weights": "x", "limit": 0}),
        '{"limit": 1}',
    ):
        (run / FILE).write_text(damage)
        with pytest.raises(UserError, match="is damaged: fit it again: xmlkit threshold") as error:
            kept(run)
        assert "\n" not in str(error.value)


def test_an_ensemble_takes_no_members_threshold_along(made, corpus):
    run = made / "run"
    keep(run, fit(run, xmlkit.load(run), xmlkit.load(run).held_out(corpus))[0])
    assert FILE not in files_of_run(run)
    (run / FILE).unlink()


@pytest.mark.slow
def test_from_the_command_line(made, corpus, tmp_path):
    """Fitted, shown by evaluate, used by predict; the corpus was made in memory, and is named."""
    folder = tmp_path / "corpus"
    write_corpus(corpus, folder, jsonl)
    for name in ("run", "whole"):
        run = shutil.copytree(made / name, tmp_path / name)
        _, err = run_command("predict", run, "--threshold", "auto", stdin="w1\n", code=1)
        assert f"--threshold auto: none was fitted; first: xmlkit threshold {run}" in " ".join(err.split())
        _, err = run_command("threshold", run, code=1)
        assert "made in memory: name DATA" in " ".join(err.split())
        out, err = run_command("threshold", run, folder, "--for", "example-F1")
        assert [line for line in out.splitlines() if "micro-F1" in line] and "38 held-out documents" in out
        assert ("weights were fitted on these documents" in err) == (name == "whole")
        fitted = kept(run)
        assert fitted.measure == "example-F1"
        texts = corpus.test.texts[:20]
        lines = "".join(f"{text}\n" for text in texts)
        out, _ = run_command("predict", run, "--threshold", "auto", "--format", "jsonl", stdin=lines)
        found = [[label["label"] for label in json.loads(line)["labels"]] for line in out.splitlines()]
        expected = xmlkit.load(run).predict(texts, fitted.limit, fitted.threshold)
        assert found == [[prediction.label for prediction in labels] for labels in expected]
        out, _ = run_command("evaluate", run, folder)
        assert f"at most {fitted.limit} label" in out and "macro" in out
