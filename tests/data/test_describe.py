from __future__ import annotations

import json

from rich.console import Console

from xmlkit.data.corpus import Corpus, Labels
from xmlkit.data.describe import describe, render

CORPUS = Corpus.of(
    ["one two", "one two", " ", "four"],
    [["a", "b"], ["a"], ["a", "b", "c"], []],
    ["test", "test"],
    [["a", "new"], ["new", "newer"]],
    name="mine",
)


def test_figures_worked_out_by_hand() -> None:
    description = describe(CORPUS)
    assert description == {
        "name": "mine",
        "format": None,
        "files": [],
        "train_documents": 4,
        "test_documents": 2,
        "labels": 3,
        "labels_without_training_document": 0,
        "test_labels_unknown_to_train": 2,
        "documents_without_labels": 1,
        "documents_with_ids": 0,
        "documents_with_filters": 0,
        "empty_texts": 1,
        "duplicate_texts": 1,
        "labels_per_document": {"mean": 1.5, "median": 1.5, "min": 0, "max": 3},
        "documents_per_label": {"mean": 2.0, "median": 2.0, "min": 1, "max": 3},
        "characters_per_text": {"mean": 4.75, "median": 5.5, "min": 1, "max": 7},
        "words_per_text": {"mean": 1.25, "median": 1.5, "min": 0, "max": 2},
        "deciles": [
            {"labels": 1, "share": 0.5, "largest_count": 3, "smallest_count": 3},
            {"labels": 1, "share": 2 / 6, "largest_count": 2, "smallest_count": 2},
            {"labels": 1, "share": 1 / 6, "largest_count": 1, "smallest_count": 1},
        ],
    }
    assert json.loads(json.dumps(description)) == description


def test_a_test_label_without_a_training_document_is_unknown_to_train() -> None:
    labels = Labels([*CORPUS.labels.ids, "listed"], None)
    corpus = Corpus("mine", labels, CORPUS.train, CORPUS.test)
    description = describe(corpus)
    assert description["labels_without_training_document"] == 1
    # Row 3, "new" in the corpus above, is "listed" here; "newer" stays past the last label.
    assert description["test_labels_unknown_to_train"] == 2
    assert description["documents_per_label"]["min"] == 0


def test_ten_groups_of_labels_cover_all_occurrences() -> None:
    names = [[f"label {label}" for label in range(25) if document >= label] for document in range(25)]
    deciles = describe(Corpus.of([f"text {document}" for document in range(25)], names))["deciles"]
    assert [group["labels"] for group in deciles] == [3, 3, 3, 3, 3, 2, 2, 2, 2, 2]
    assert (deciles[0]["largest_count"], deciles[-1]["smallest_count"]) == (25, 1)
    assert abs(sum(group["share"] for group in deciles) - 1) < 1e-9


def test_rendered_tables_show_the_figures() -> None:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(render(describe(CORPUS)))
    lines = [line.replace("│", " ").split() for line in capture.get().splitlines()]
    assert ["train", "documents", "4"] in lines
    assert ["test", "labels", "unknown", "to", "train", "2"] in lines
    assert ["words", "per", "text", "1.2", "1.5", "0", "2"] in lines
    assert ["2", "1", "33.3%", "2", "2"] in lines


def test_a_corpus_without_a_test_split() -> None:
    description = describe(Corpus.of(["one"], [["a"]]))
    assert description["test_documents"] is None
    assert description["test_labels_unknown_to_train"] is None
    console = Console(width=100)
    with console.capture() as capture:
        console.print(render(description))
    assert "none" in capture.get()
