"""LibMultiLabel's text files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from test_formats import documents, error_of, write

from xmlkit.data.corpus import Corpus, load_corpus, load_split
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import libmultilabel
from xmlkit.data.writing import write_corpus
from xmlkit.errors import UserError

THREE = '2286\tE21 NA\trecovery of excess levies\n2287\t\tno label\n\n\tnull NA M132\t"quoted\n'
TWO = 'E21 NA\trecovery of excess levies\n\tno label\n\nnull NA M132\t"quoted\n'
EXPECTED = [
    ("recovery of excess levies", ["E21", "NA"]),
    ("no label", []),
    ('"quoted', ["M132", "NA", "null"]),
]


@pytest.mark.parametrize("name", ["train.txt", "train.txt.gz"])
@pytest.mark.parametrize("content, ids", [(THREE, ["2286", "2287", None]), (TWO, None)])
def test_two_or_three_columns(tmp_path: Path, name: str, content: str, ids) -> None:
    path = write(tmp_path / name, content)
    write(tmp_path / "test.txt", "1\tnew\tunseen\n")
    corpus = load_corpus(tmp_path)
    assert corpus.format == "libmultilabel"
    assert documents(corpus, "train") == EXPECTED
    assert corpus.train.ids == ids
    assert corpus.test is not None and corpus.test.texts == ["unseen"]
    assert load_split(path, corpus.labels).texts == corpus.train.texts


@pytest.mark.parametrize("content", ["", "plain text\nof a file\n", "1 2 3\n1,2 1:0.5\n", "7 1:0.5 2:1\n"])
def test_another_text_file_is_none(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "train.txt", content)
    assert error_of(tmp_path).startswith(f"{tmp_path}: no training documents")
    with pytest.raises(UserError, match=r"unknown kind of file|train\.txt holds features"):
        load_split(path, Corpus.of(["a"], [["x"]]).labels)


def test_beside_a_list_of_labels_it_is_pecos_s(tmp_path: Path) -> None:
    write(tmp_path / "train.txt", "1\ttext\n")
    assert load_corpus(tmp_path).labels.ids == ["1"]
    write(tmp_path / "output-items.txt", "zero\none\n")
    assert load_corpus(tmp_path).format == "pecos-text2text"
    assert documents(load_corpus(tmp_path), "train") == [("text", ["one"])]


@pytest.mark.parametrize(
    "first, bad, problem",
    [
        ("a\ttext", "a\ttext\twith a tab", "3 columns, not 2"),
        ("1\ta\ttext", "a\ttext", "2 columns, not 3"),
        ("1\ta\ttext", "no tab", "1 columns, not 3"),
        ("a\ttext", "a\tb\tc\td", "4 columns, not 2"),
    ],
)
def test_lines_of_other_columns(tmp_path: Path, first: str, bad: str, problem: str) -> None:
    path = write(tmp_path / "train.txt", f"{first}\n{bad}\n" + f"{first}\n" * 9)
    assert error_of(tmp_path).startswith(f"{path}:2: {problem}")
    assert len(load_corpus(tmp_path, Dialect(bad_lines="skip")).train) == 10


def test_as_it_is_written(tmp_path: Path) -> None:
    corpus = Corpus.of(["a\tb", "c"], [["x", "y"], []])
    told = "texts whose tabs and line feeds become spaces: 1"
    assert write_corpus(corpus, tmp_path / "two", libmultilabel) == [told]
    assert (tmp_path / "two/train.txt").read_bytes() == b"x y\ta b\n\tc\n"
    corpus = replace(corpus, train=replace(corpus.train, ids=["7", None]))
    assert write_corpus(corpus, tmp_path / "three", libmultilabel) == [told]
    assert (tmp_path / "three/train.txt").read_bytes() == b"7\tx y\ta b\n\t\tc\n"
    with pytest.raises(UserError, match="train document 1: the label 'two words' has white space"):
        write_corpus(Corpus.of(["a"], [["two words"]]), tmp_path / "none", libmultilabel)
