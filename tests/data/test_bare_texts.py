"""Texts without labels, read from files of several kinds."""

from __future__ import annotations

import gzip

import pytest

from xmlkit.data.corpus import Corpus
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
        with pytest.raises(UserError, match=f"unlabelled={path}: no such file"):
            read_unlabelled(str(path), CORPUS)
