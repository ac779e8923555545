"""`xmlkit data`."""

from __future__ import annotations

import gzip

import pytest
from commands import xmlkit

from xmlkit.data.corpus import load_corpus
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import formats


@pytest.fixture
def folder(tmp_path):
    """JSON Lines with ids, of which one line can't be read."""
    lines = [f'{{"id": "d{row}", "text": "w{row} text", "labels": ["x{row % 3}"]}}' for row in range(30)]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "train.jsonl").write_text("\n".join([*lines, "[]"]))
    (tmp_path / "in" / "labels.tsv").write_text("x2\tthe third\n")
    return tmp_path


def test_convert(folder):
    skip = ["--bad-lines", "skip"]
    out, err = xmlkit("data", "convert", "in", "new/out", "--format", "annif-tsv", *skip, cwd=folder)
    assert out == "" and "ids of documents that are left out: 30" in err
    assert "1 of 31 documents were skipped" in err and "new/out: 30 train documents as annif-tsv" in err
    found = load_corpus(folder / "new/out")
    assert found.labels.ids == ["x2", "x0", "x1"] and found.labels.name(0) == "the third"
    before = load_corpus(folder / "in", Dialect(bad_lines="skip"))
    assert found.train.texts == before.train.texts
    _, err = xmlkit("data", "convert", "in", "new/out", "--format", "jsonl", *skip, cwd=folder, code=1)
    assert "error: new/out: there is something already" in err
    _, err = xmlkit("data", "convert", "in", "new/other", "--format", "jsonl", cwd=folder, code=1)
    assert "train.jsonl:31: not an object" in err and len(list((folder / "new").iterdir())) == 1
    _, err = xmlkit("data", "convert", "in", "new/other", "--format", "anif-tsv", cwd=folder, code=1)
    assert "error: --format anif-tsv: no such format: did you mean 'annif-tsv'?" in err


def test_convert_one_file(folder):
    with gzip.open(folder / "some.tsv.gz", "wt") as file:
        file.write("one\t<a b>\n")
    xmlkit("data", "convert", "some.tsv.gz", "out", "--format", "jsonl", cwd=folder)
    assert (folder / "out" / "train.jsonl").read_text() == '{"text": "one", "labels": ["a b"]}\n'


def test_formats_are_listed_with_all_that_they_look_for(folder):
    out, _ = xmlkit("data", "formats", cwd=folder)
    listed = " ".join(out.replace("│", " ").split())
    assert all(" ".join(format.DESCRIPTION.split()) in listed for format in formats())


@pytest.mark.slow
def test_convert_demo(folder):
    _, err = xmlkit("data", "convert", "demo", "demo", "--format", "jsonl", cwd=folder)
    demo, found = load_corpus("demo"), load_corpus(folder / "demo")
    assert found.digest == demo.digest and found.test.texts == demo.test.texts
    assert found.labels == demo.labels and f"{len(demo.train):,} train and" in err


def test_split_and_sample(folder):
    skip = ["--bad-lines", "skip"]
    _, err = xmlkit("data", "split", "in", "parted", "--test", "0.2", "--seed", "3", *skip, cwd=folder)
    assert "24 train and 6 test documents as jsonl" in err and "0 documents are nearly the same" in err
    found = load_corpus(folder / "parted")
    assert {*found.train.ids, *found.test.ids} == {f"d{row}" for row in range(30)}
    assert found.labels.name(0) == "the third"
    _, err = xmlkit(
        *["data", "sample", "parted", "few", "--documents", "12", "--format", "lightxml"], cwd=folder
    )
    few = load_corpus(folder / "few")
    assert (few.format, len(few.train), len(few.test)) == ("lightxml", 12, 3)
    assert few.labels == found.labels
    _, err = xmlkit("data", "split", "parted", "again", cwd=folder, code=1)
    assert "there is a test split already" in err and not (folder / "again").exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--where", "part=a", "--test", "0.5"), "--test: the values of --where say what the test split is"),
        (("--where", "part=a", "--seed", "1"), "--seed: nothing is drawn with --where"),
        (("--by-time", "year", "--seed", "0"), "--seed: nothing is drawn with --by-time"),
    ],
)
def test_options_of_a_split_that_would_do_nothing(folder, options, error):
    _, err = xmlkit("data", "split", "in", "parted", *options, cwd=folder, code=1)
    assert error in err and not (folder / "parted").exists()


def test_describe_names_what_it_read(folder):
    out, err = xmlkit("data", "describe", "in", "--bad-lines", "skip", cwd=folder)
    rows = [line.replace("│", " ").split() for line in out.splitlines()]
    assert ["format", "jsonl"] in rows and ["files", "train.jsonl"] in rows and ["labels.tsv"] in rows
    assert ["documents", "with", "ids", "30"] in rows
    assert "skipped: in/train.jsonl:31: not an object" in err


def test_options_that_a_format_makes_nothing_of_are_told(tmp_path):
    """A spreadsheet's tabs are read as Annif's TSV, whose columns are fixed."""
    (tmp_path / "excel.tsv").write_text("Title\tSubjects\n" + "".join(f"text {n}\ta\n" for n in range(9)))
    named = ["--text-column", "Title", "--label-separator", ";"]
    for command in (["convert", "excel.tsv", "a", "--format", "jsonl"], ["split", "excel.tsv", "b"]):
        _, err = xmlkit("data", *command, *named, cwd=tmp_path)
        said = " ".join(err.split())
        assert "--text-column is not heeded: excel is read as annif-tsv" in said
        assert "--label-separator is not heeded" in said
