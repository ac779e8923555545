"""Texts without labels, read from files of several kinds."""

from __future__ import annotations

import gzip

import pytest

from xmlkit.cli.options import format_named
from xmlkit.data.asked import asked
from xmlkit.data.corpus import Corpus
from xmlkit.data.dialect import Dialect
from xmlkit.data.unlabelled import read_unlabelled
from xmlkit.errors import UserError

CORPUS = Corpus.of(["one text", "held out"], [["a"], ["b"]], ["of test"], [["a"]], name="mine")


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("texts", "{}\n"),
        ("texts.txt.gz", "{}\n"),
        ("train.tsv", "{}\t<a> <never seen>\n"),
        ("no-labels.tsv", "{}\n"),
        ("train.jsonl.gz", '{{"text": "{}", "labels": []}}\n'),
        ("no-labels.jsonl", '{{"text": "{}"}}\n'),
        ("no-labels.ndjson", '{{"text": "{}"}}\n'),
    ],
)
def test_by_the_files_name(tmp_path, name, lines, capsys):
    """Labels are not looked at; what the corpus holds is not among them, and no text twice."""
    texts = ["first", "one  text", " ", "second\u00e9", "of test", "first ", "held out", "third"]
    path = tmp_path / name
    data = "".join(lines.format(text) for text in texts).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert read_unlabelled(str(path), CORPUS) == ["first", "second\u00e9", "third"]
    said = f"unlabelled={path}: 3 texts; 5 are blank, there twice, or documents of mine: left out"
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("beside", [[], ["output-labels.txt"]])
def test_a_text_file_is_of_texts_whatever_tabs_they_have(tmp_path, beside):
    """It is of another format where that is named."""
    for name in beside:
        (tmp_path / name).write_text("zero\none\n")
    path = tmp_path / "texts.txt"
    path.write_text("A title\tits abstract\nno tab\n")
    assert read_unlabelled(str(path), CORPUS) == ["A title\tits abstract", "no tab"]
    named = asked(str(path), format_named("libmultilabel"), Dialect(bad_lines="error"))
    assert next(iter(named)).text == "its abstract"


def test_json_is_no_text_a_line(tmp_path):
    path = tmp_path / "tst.json"
    path.write_text('{"uid": "1", "title": "cats", "content": ""}\n')
    with pytest.raises(UserError, match="JSON is no text a line; give its folder"):
        asked(str(path), None, Dialect())


def test_documents_to_be_labelled_may_lack_what_says_labels(tmp_path):
    """Tables without a column of labels, and lines without a tab; those that are there need not fit."""
    texts = ["one", "two"]

    def found(name, content, format=None):
        (tmp_path / name).write_text(content)
        documents = asked(str(tmp_path / name), format and format_named(format), Dialect())
        return [document.text for document in documents]

    assert found("a.csv", "id,text\n1,one\n2,two\n") == texts
    assert found("a.csv", "text,labels,label\none,x,y\ntwo,,\n") == texts
    assert found("a.csv", "text,topic\none,x\ntwo,y\n", "annif-csv") == texts
    assert found("a.csv", "TEXT,HADM_ID\none,1\ntwo,2\n", "caml") == texts
    assert found("a.csv", "TEXT\none\ntwo\n", "caml") == texts
    (tmp_path / "output-labels.txt").write_text("zero\n")
    assert found("a.txt", "0\tone\ntwo\n", "pecos-text2text") == texts
    (tmp_path / "lbl.json").write_text('{"title": "zero"}\n')
    (tmp_path / "tst.json").write_text('{"title": "one"}\n{"title": "two", "target_ind": [0]}\n')
    assert [document.text for document in asked(str(tmp_path), None, Dialect())] == texts


def test_columns_that_no_dialect_can_do_without(tmp_path):
    (tmp_path / "a.csv").write_text("topic\nx\n")
    for name, message in (
        ("csv", "which column has the texts"),
        ("annif-csv", "--text-column text: there is no such column; there are topic"),
        ("caml", ":1: no column TEXT; the header is"),
    ):
        with pytest.raises(UserError, match=message):
            list(asked(str(tmp_path / "a.csv"), format_named(name), Dialect()))
    with pytest.raises(UserError, match=r"a\.csv: no output-items\.txt or output-labels\.txt beside it"):
        list(asked(str(tmp_path / "a.csv"), format_named("pecos-text2text"), Dialect()))


def test_of_texts_that_are_all_new_nothing_is_left_out(tmp_path, capsys):
    (tmp_path / "texts").write_text("x\ny")
    assert read_unlabelled(str(tmp_path / "texts"), CORPUS) == ["x", "y"]
    assert "left out" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("texts", b"one text\nheld out\n", "texts: 0 texts; 2 are blank, .*; name other texts"),
        ("texts", b"", "texts: 0 texts; name other texts"),
        ("texts", b"fine\n\xff", "texts:2: not valid UTF-8"),
        ("texts.gz", b"no gzip", "texts.gz: damaged gzip file"),
        ("more.jsonl", b'{"text": 7, "labels": []}\n', 'more.jsonl:1: "text" is not a string'),
    ],
)
def test_mistakes(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_unlabelled(str(tmp_path / name), CORPUS)
    assert "\n" not in str(error.value)


def test_what_is_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=f"unlabelled={path}: it is no file"):
            read_unlabelled(str(path), CORPUS)
