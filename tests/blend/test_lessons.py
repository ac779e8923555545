"""What a run says of texts for a student: as it predicts, but for what it looks up, and asked once."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny

import xmlkit
from xmlkit.blend import lessons as lessons_module
from xmlkit.data.cache import cache_folder
from xmlkit.data.corpus import validation_rows
from xmlkit.errors import UserError
from xmlkit.testing.tiny import named_corpus

SETTINGS = {"max_len": 16, "batch_size": 16, "validation": 0.3, "max_steps": 8, "device": "cpu"}
SETTINGS |= {"precision": "float32"}


@pytest.fixture(scope="module")
def corpus():
    return named_corpus()


@pytest.fixture(scope="module")
def runs(corpus, tmp_path_factory):
    """A run, one with votes of its own that were not fitted, and the first with neighbours beside it."""
    folder = tmp_path_factory.mktemp("runs")
    encoder = tiny.save_encoder(folder / "encoder")
    xmlkit.train(corpus, {**SETTINGS, "encoder": encoder}, folder / "plain")
    voting = {"plugins": ["neighbours"], "freeze": True, "validation": 0}
    xmlkit.train(corpus, {**SETTINGS, **voting, "encoder": encoder}, folder / "voting")
    members = [f"neighbours:{folder / 'plain'}", str(folder / "plain")]
    xmlkit.ensemble(members, corpus, folder / "whole")
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XMLKIT_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["plain", "voting", "whole"])
def test_of_new_texts_it_says_what_it_predicts(runs, cache, name):
    texts = ["w1 w2 w3", "", "w9 w4", "w7"]
    found = list(xmlkit.lessons(runs / name, texts, 4))
    for scores, best in zip(found, xmlkit.load(runs / name).predict(texts, 4), strict=True):
        assert scores == pytest.approx({label.label: label.score for label in best}, rel=1e-6)


@pytest.mark.parametrize("name", ["plain", "voting", "whole"])
def test_of_texts_that_it_looks_up_it_knows_less(runs, corpus, cache, name):
    """Without the document's own vote its labels have lower scores; a plain run looks nothing up."""
    train = corpus.train.take(np.flatnonzero(~validation_rows(corpus.train.texts, 0.3, 4000)))
    told, differences = xmlkit.load(runs / name).predict(train.texts, 12), []
    for row, (scores, best) in enumerate(
        zip(xmlkit.lessons(runs / name, train.texts, 12), told, strict=True)
    ):
        knew = {label.label: label.score for label in best}
        differences += [knew[id] - scores[id] for id in (corpus.labels.ids[n] for n in train.labels[row])]
    assert len(differences) > 100
    if name == "plain":
        assert max(map(abs, differences)) < 1e-5
    else:  # calibration may make equal what was not
        assert np.mean(differences) > 0.01 and np.mean(np.array(differences) > -1e-6) > 0.9


def test_what_was_broken_off_is_gone_on_with(runs, cache, monkeypatch):
    """Two texts at once; Ctrl-C in the third pair. Another k, or another run, is asked anew."""
    monkeypatch.setattr(lessons_module, "TEXTS_AT_ONCE", 2)
    asked, real = [], lessons_module._ask

    def ask(model, texts, top_k, folder):
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(list(texts))
        real(model, texts, top_k, folder)

    texts = ["w1", "w2", "w3", "w4", "w5", "w6", "w7"]
    monkeypatch.setattr(lessons_module, "_ask", ask)
    with pytest.raises(KeyboardInterrupt):
        list(xmlkit.lessons(runs / "whole", texts, 3))
    assert asked == [["w1", "w2"], ["w3", "w4"]]
    asked.clear()
    found = []
    with pytest.raises(KeyboardInterrupt):  # two more, and on more
        found += xmlkit.lessons(runs / "whole", [*texts, "w8", "w9"], 3)
    assert asked == [["w5", "w6"], ["w7", "w8"]]
    monkeypatch.setattr(lessons_module, "_ask", real)
    whole = list(xmlkit.lessons(runs / "whole", texts, 3))
    assert all(len(scores) == 3 for scores in whole)
    kept = {path.name for path in (cache_folder() / "lessons").iterdir()}
    list(xmlkit.lessons(runs / "whole", texts, 3))
    assert {path.name for path in (cache_folder() / "lessons").iterdir()} == kept
    for run, k in (("whole", 4), ("plain", 3)):
        list(xmlkit.lessons(runs / run, ["w1", "w2"], k))
        more = {path.name for path in (cache_folder() / "lessons").iterdir()}
        assert len(more) == len(kept) + 1
        kept = more


def test_files_that_say_nothing_of_labels_ask_nothing_anew(runs, cache):
    """Figures may be written, and a log grow; other weights of a blend are another teacher."""
    before = list(xmlkit.lessons(runs / "plain", ["w1"], 3))
    (runs / "plain" / "metrics.json").write_text(json.dumps({"P@1": 0.0}))
    assert list(xmlkit.lessons(runs / "plain", ["w1"], 3)) == before
    assert len(list((cache_folder() / "lessons").iterdir())) == 1


def test_more_labels_than_there_are(runs, cache):
    (scores,) = xmlkit.lessons(runs / "whole", ["w1 w2"], 100)
    assert len(scores) == 12


def test_what_is_no_run(tmp_path, cache):
    with pytest.raises(UserError, match="is not a run"):
        next(xmlkit.lessons(tmp_path, ["w1"]))
