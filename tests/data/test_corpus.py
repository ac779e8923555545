from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmlkit.data.corpus import Corpus, load_corpus, load_split, validation_rows
from xmlkit.errors import UserError

SHARED = Path(__file__).parents[3] / "shared" / "data"


def rows(split) -> list[list[int]]:
    return [split.labels[row].tolist() for row in range(len(split))]


def test_labels_of_lists_are_sorted_and_documents_ascending_and_unique() -> None:
    corpus = Corpus.of(["one", "two", ""], [["c", "a", "c"], ["b"], []])
    assert corpus.labels.ids == ["a", "b", "c"]
    assert corpus.labels.names is None
    assert corpus.labels.name(2) == "c"
    assert rows(corpus.train) == [[0, 2], [1], []]
    assert corpus.test is None


def test_corpus_of_one_document() -> None:
    corpus = Corpus.of(["one"], [["a label"]])
    assert corpus.labels.ids == ["a label"]
    assert rows(corpus.train) == [[0]]
    assert not validation_rows(corpus.train.texts, share=0.5, most=10).any()


def test_unknown_test_labels_get_one_row_each_past_the_last() -> None:
    corpus = Corpus.of(["one"], [["a", "b"]], ["two", "three"], [["new", "b"], ["newer", "new", "a"]])
    assert corpus.labels.ids == ["a", "b"]
    assert rows(corpus.test) == [[1, 2], [0, 2, 3]]


def test_unknown_labels_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("one\t<b> <not listed>\n")
    (tmp_path / "test.tsv").write_text("two\t<new> <a>\nthree\t<b> <new> <newer>\n")
    (tmp_path / "labels.tsv").write_text("<b>\tB\n<a>\tA\n")
    corpus = load_corpus(tmp_path)
    assert corpus.labels.ids == ["b", "a", "not listed"]
    assert corpus.labels.names == ["B", "A", "not listed"]
    assert rows(corpus.train) == [[0, 2]]
    assert rows(corpus.test) == [[1, 3], [0, 3, 4]]
    assert rows(load_split(tmp_path, corpus.labels)) == rows(corpus.test)
    assert rows(load_split(tmp_path, corpus.labels, "train")) == rows(corpus.train)


def test_take_keeps_texts_and_labels_together() -> None:
    split = Corpus.of(["one", "two", "three"], [["a"], [], ["b", "a"]]).train.take(np.array([2, 0, 2]))
    assert split.texts == ["three", "one", "three"]
    assert rows(split) == [[0, 1], [0], [0, 1]]


@pytest.mark.parametrize(
    "lists, problem",
    [
        ((["one", "two"], [["a"]]), "texts has 2 items and labels has 1"),
        ((["one"], [["a"]], ["two"]), "test_texts has 1 items and test_labels has 0"),
        ((["one", "two"], [["a"], "ab"]), "labels[1]: 'ab' is no list"),
        ((["one"], [None]), "labels[0]: None is no list"),
        ((["one"], [["a", 3]]), "labels[0]: ['a', 3]; a label is a string"),
        (([None], [["a"]]), "texts[0]: None is not a string"),
        ((["one", "\ud800"], [["a"], []]), "texts[1]: half of a surrogate pair"),
        ((["one"], [["a", "\udfff"]]), "labels[0]: half of a surrogate pair"),
        (([], []), "corpus: no documents in the train split"),
        ((["one"], [["a"]], [], []), "corpus: no documents in the test split"),
        ((["one"], [[]]), "corpus: no training document has a label"),
    ],
)
def test_bad_lists(lists: tuple, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        Corpus.of(*lists)
    assert str(caught.value).startswith(problem)
    assert "\n" not in str(caught.value)


TEXTS = st.lists(st.text(alphabet="abc\ud800é", max_size=3), max_size=60)


@given(TEXTS, st.floats(0, 1), st.integers(0, 20))
def test_validation_is_bounded_and_keeps_equal_texts_together(
    texts: list[str], share: float, most: int
) -> None:
    held_out = validation_rows(texts, share, most)
    assert held_out.shape == (len(texts),)
    assert held_out.dtype == bool
    assert held_out.sum() <= min(most, round(share * len(texts)))
    assert not texts or not held_out.all()
    chosen = {text for text, held in zip(texts, held_out) if held}
    assert chosen.isdisjoint(text for text, held in zip(texts, held_out) if not held)
    assert np.array_equal(held_out, validation_rows(texts, share, most))


@given(st.sets(st.text(max_size=5), min_size=2, max_size=60), st.floats(0, 1), st.integers(0, 70))
def test_validation_of_distinct_texts_is_as_large_as_asked(texts: set[str], share: float, most: int) -> None:
    asked = min(most, round(share * len(texts)), len(texts) - 1)
    assert validation_rows(list(texts), share, most).sum() == asked


@given(st.permutations([f"text {number}" for number in range(40)]))
def test_validation_does_not_depend_on_the_order(texts: list[str]) -> None:
    in_order = [f"text {number}" for number in range(40)]
    expected = {text for text, held in zip(in_order, validation_rows(in_order, 0.2, 40)) if held}
    assert {text for text, held in zip(texts, validation_rows(texts, 0.2, 40)) if held} == expected


@pytest.mark.parametrize(
    "name, train, test, labels, per_document",
    [
        ("yso-en-4k", 40_000, 4_072, 4_000, 3.2),
        ("yso-en", 613_364, 19_545, 25_023, 2.4),
        ("eurlex57k", 45_000, 6_000, 4_108, 5.1),
    ],
)
def test_real_corpora(name: str, train: int, test: int, labels: int, per_document: float) -> None:
    if not (SHARED / name).is_dir():
        pytest.skip(f"{name} is not beside this project in shared/data")
    corpus = load_corpus(SHARED / name)
    assert (len(corpus.train), len(corpus.test), len(corpus.labels)) == (train, test, labels)
    assert round(float(corpus.train.labels.lengths.mean()), 1) == per_document
    assert corpus.test.labels.values.max() < labels
    assert len(corpus.labels.names) == labels
    assert corpus.labels.names != corpus.labels.ids


def test_labels_may_come_one_after_the_other() -> None:
    corpus = Corpus.of(["a", "b"], [iter(["x"]), iter(["y"])], ["c"], [map(str.lower, ["Y"])])
    assert corpus.labels.ids == ["x", "y"]
    assert corpus.test is not None and corpus.test.labels[0].tolist() == [1]
