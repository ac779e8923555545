"""Further names of labels: read wherever names are, kept by runs, and nothing where there are none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny

import xmlkit
from xmlkit.data.corpus import Corpus, Labels
from xmlkit.data.ragged import Ragged
from xmlkit.errors import UserError
from xmlkit.model.folder import open_description
from xmlkit.model.inputs import names_of
from xmlkit.testing.tiny import named_corpus, tokenizer
from xmlkit.training.name_documents import name_documents

LABELS = Labels(["a", "b", "c"], ["w1", "b", "w3 w4"], [("w7", "w8 w9"), (), ()])
SETTINGS = {"max_len": 16, "batch_size": 16, "epochs": 1, "device": "cpu", "clustered": False}


def further(corpus: Corpus) -> Corpus:
    names = [(f"w{row + 20}", "w50") if row % 2 else () for row in range(len(corpus.labels))]
    return replace(corpus, labels=replace(corpus.labels, alternatives=names))


def test_the_text_of_a_label() -> None:
    assert [LABELS.text(row) for row in range(3)] == ["w1, w7, w8 w9", "b", "w3 w4"]
    assert [LABELS.name(row) for row in range(3)] == ["w1", "b", "w3 w4"]
    assert LABELS.named_L.tolist() == [True, False, True]
    more = LABELS.and_more(["d"], ["w5"])
    assert (more.ids[3], more.names[3], more.alternatives[3], more.text(3)) == ("d", "w5", (), "w5")


def test_ids_that_are_words_are_names_where_no_label_has_one() -> None:
    assert LABELS.worded_L.tolist() == LABELS.named_L.tolist()
    ids = ["tax law", "Überlieferung", "http://a.org/law", "D012345", "12", "os", "role::program"]
    assert Labels(ids, None).worded_L.tolist() == [True, True, False, False, False, False, True]
    assert Labels(ids, list(ids)).worded_L.tolist() == Labels(ids, None).worded_L.tolist()


def test_what_plugins_read() -> None:
    """As the tokens of these very texts; nothing of a label without a name."""
    text = tokenizer()
    template = tiny.Template.of(text)
    read = names_of(LABELS, text, template)(16)
    expected = names_of(Labels(["a", "b", "c"], ["w1, w7, w8 w9", "b", "w3 w4"]), text, template)(16)
    assert np.array_equal(read.tokens_BT, expected.tokens_BT)
    plain = names_of(replace(LABELS, alternatives=None), text, template)(16)
    assert not np.array_equal(read.mask_BT.sum(1), plain.mask_BT.sum(1))


def test_names_as_documents() -> None:
    said: list[str] = []

    def tokenise(texts: list[str]) -> Ragged:
        said.extend(texts)
        return Ragged.of([[1]] * len(texts))

    name_documents(LABELS, Ragged.of([[0]]), "hard", tokenise)
    assert said == ["w1, w7, w8 w9", "w3 w4"]


def test_a_run_keeps_them(tmp_path: Path) -> None:
    corpus = further(named_corpus())
    settings = {**SETTINGS, "encoder": tiny.save_encoder(tmp_path / "encoder"), "plugins": ["label-text"]}
    run = xmlkit.train(corpus, settings, tmp_path / "run").folder
    lines = [json.loads(line) for line in (run / "labels.jsonl").read_text().splitlines()]
    assert lines[1]["alternatives"] == ["w21", "w50"] and lines[0]["alternatives"] == []
    opened = open_description(run).labels
    assert (opened.names, opened.alternatives) == (corpus.labels.names, corpus.labels.alternatives)
    grown = xmlkit.add_labels(run, {"new": "w30"}, tmp_path / "more")
    assert open_description(grown).labels.alternatives == [*corpus.labels.alternatives, ()]
    text = xmlkit.load(run).predict(["w1 w2"])[0][0]
    assert text.name == corpus.labels.names[corpus.labels.rows[text.label]]  # shown is the name alone


def test_a_run_without_any_says_nothing_of_them(tmp_path: Path) -> None:
    settings = {**SETTINGS, "encoder": tiny.save_encoder(tmp_path / "encoder")}
    run = xmlkit.train(named_corpus(), settings, tmp_path / "run").folder
    assert "alternatives" not in (run / "labels.jsonl").read_text()
    assert open_description(run).labels.alternatives is None


@pytest.mark.parametrize("damage", ["[1, 2]", '"w21"', "7", "null"])
def test_further_names_that_are_no_texts(tmp_path: Path, damage: str) -> None:
    settings = {**SETTINGS, "encoder": tiny.save_encoder(tmp_path / "encoder")}
    run = xmlkit.train(further(named_corpus()), settings, tmp_path / "run").folder
    path = run / "labels.jsonl"
    path.write_text(path.read_text().replace('["w21", "w50"]', damage))
    tiny.belong_together(run)
    with pytest.raises(UserError, match=r"labels\.jsonl is damaged"):
        open_description(run)
