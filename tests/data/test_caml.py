"""CAML's tables of discharge summaries; the texts are made up."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from test_formats import documents, error_of, write

from xmlkit.data.corpus import Corpus, load_corpus, load_split
from xmlkit.data.formats import caml
from xmlkit.data.writing import write_corpus
from xmlkit.errors import UserError

TRAIN = (
    "SUBJECT_ID,HADM_ID,TEXT,LABELS,length\n"
    '7908,182396,"admitted with ""pain"",\nsent home",287.31;45.13;287.31,5\n'
    "1233,145140,no code,,2\n"
    "1233,145140,again,45.13;,1\n"
)
TEST = "SUBJECT_ID,HADM_ID,TEXT,LABELS\r\n1,2,unseen,V10.1\r\n"


@pytest.mark.parametrize("names", [("train_full.csv", "test_full.csv"), ("train_50.csv.gz", "test_50.csv")])
def test_tables_of_caml(tmp_path: Path, names: tuple[str, str]) -> None:
    path = write(tmp_path / names[0], TRAIN)
    write(tmp_path / names[1], TEST)
    write(tmp_path / "dev_full.csv", TEST)
    corpus = load_corpus(tmp_path)
    assert corpus.format == "caml"
    assert documents(corpus, "train") == [
        ('admitted with "pain",\nsent home', ["287.31", "45.13"]),
        ("no code", []),
        ("again", ["45.13"]),
    ]
    assert corpus.train.ids == ["182396", "145140", "145140"]
    assert [document.labels for document in corpus.test.documents()] == [["V10.1"]]
    assert load_split(path, corpus.labels).texts == corpus.train.texts


def test_a_text_longer_than_python_s_limit(tmp_path: Path) -> None:
    write(tmp_path / "train_full.csv", f"SUBJECT_ID,HADM_ID,TEXT,LABELS\n1,2,{'word ' * 50_000},a\n")
    assert len(load_corpus(tmp_path).train.texts[0]) == 250_000


@pytest.mark.parametrize(
    "line, problem",
    [
        ("1,2,text", "3 cells, where the header has 5"),
        ("1,2,text, with a comma,a,5", "6 cells, where the header has 5"),
        ('1,2,"text,a,5', "not valid CSV"),
    ],
)
def test_a_row_that_cannot_be_read(tmp_path: Path, line: str, problem: str) -> None:
    path = write(tmp_path / "train_full.csv", f"{TRAIN}{line}\n")
    assert error_of(tmp_path).startswith(f"{path}:6: {problem}")


def test_a_header_that_lacks_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "train_full.csv", "SUBJECT_ID,HADM_ID,NOTE,ICD\n1,2,text,a\n")
    assert error_of(tmp_path).startswith(f"{path}:1: no column TEXT and no LABELS")


def test_as_it_is_written(tmp_path: Path) -> None:
    corpus = Corpus.of(['a "b",\nc', "d\re"], [["y", "x"], []])
    assert write_corpus(corpus, tmp_path / "new", caml) == []
    with (tmp_path / "new/train_full.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["SUBJECT_ID", "HADM_ID", "TEXT", "LABELS", "length"],
            ["", "", 'a "b",\nc', "x;y", "3"],
            ["", "", "d\re", "", "2"],
        ]
    with pytest.raises(UserError, match="train document 1: the label 'a;b' has a semicolon"):
        write_corpus(Corpus.of(["a"], [["a;b"]]), tmp_path / "none", caml)
