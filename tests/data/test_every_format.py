"""A corpus of each format is trained on, scored and answered as the same corpus in any other is."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

import xmlkit
from xmlkit.data.corpus import documents_of, load_corpus, load_split
from xmlkit.data.describe import describe
from xmlkit.data.formats import formats
from xmlkit.data.writing import write_corpus

FORMATS = {format.NAME: format for format in formats()}
SETTINGS = {
    "encoder": "none",
    "plugins": ["lexical"],
    "lexical": {"buckets": 997},
    "epochs": 1,
    "device": "cpu",
}


def figures(folder: Path, run: Path) -> tuple[dict[str, float], list[list[str]]]:
    trained = xmlkit.train(load_corpus(folder), SETTINGS, run)
    model = xmlkit.load(trained.folder)
    texts = [document.text for document in documents_of(folder, "test")]
    labels = [[one.name for one in found] for found in model.predict(texts, 3)]
    return model.evaluate(load_split(folder, model.labels)), labels


@pytest.fixture(scope="module")
def corpus() -> xmlkit.Corpus:
    return tiny.learnable_corpus()


@pytest.fixture(scope="module")
def expected(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("as-lists")
    write_corpus(corpus, folder / "data", FORMATS["jsonl"])
    return figures(folder / "data", folder / "run")


@pytest.mark.parametrize("name", FORMATS)
def test_it_trains_evaluates_and_predicts(name: str, corpus, expected, tmp_path: Path) -> None:
    write_corpus(corpus, tmp_path / "data", FORMATS[name])
    assert describe(load_corpus(tmp_path / "data"))["format"] == name
    scores, labels = figures(tmp_path / "data", tmp_path / "run")
    assert scores == pytest.approx(expected[0]) and labels == expected[1]
