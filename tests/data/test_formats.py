from __future__ import annotations

import gc
import gzip
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from xmlkit.data.corpus import Corpus, Labels, load_corpus, load_split
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import formats
from xmlkit.data.lines import read_lines
from xmlkit.data.remarks import remarks
from xmlkit.errors import UserError

TEXTS = ["a first text", "", "third: ünïcode\u2028one line"]
LABELS = [["x", "y"], ["z"], []]


def write(path: Path, content: str | bytes) -> Path:
    """Writes text as UTF-8, compressed where the name ends in .gz."""
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def error_of(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_corpus(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


def documents(corpus: Corpus, split: str) -> list[tuple[str, list[str]]]:
    part = getattr(corpus, split)
    return [
        (text, [corpus.labels.ids[row] for row in part.labels[place]])
        for place, text in enumerate(part.texts)
    ]


def write_annif(folder: Path, split: str, end: str) -> None:
    lines = [f"{text}\t{' '.join(f'<{label}>' for label in labels)}\n" for text, labels in zip(TEXTS, LABELS)]
    write(folder / f"{split}.tsv{end}", "".join(lines))


def write_lightxml(folder: Path, split: str, end: str) -> None:
    write(folder / f"{split}_texts.txt{end}", "".join(f"{text}\n" for text in TEXTS))
    write(folder / f"{split}_labels.txt{end}", "".join(f"{' '.join(labels)}\n" for labels in LABELS))


def write_jsonl(folder: Path, split: str, end: str) -> None:
    records = [{"text": text, "labels": labels} for text, labels in zip(TEXTS, LABELS)]
    write(folder / f"{split}.jsonl{end}", "".join(json.dumps(record) + "\n" for record in records))


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("write_split", [write_annif, write_lightxml, write_jsonl])
def test_every_format_reads_the_same_corpus(tmp_path: Path, write_split, end: str) -> None:
    write_split(tmp_path, "train", end)
    write_split(tmp_path, "test", end)
    corpus = load_corpus(tmp_path)
    assert corpus.name == tmp_path.name
    assert corpus.labels.ids == ["x", "y", "z"]
    assert documents(corpus, "train") == documents(corpus, "test") == list(zip(TEXTS, LABELS))


def test_each_module_in_the_folder_is_a_format() -> None:
    names = {format.NAME for format in formats()}
    assert {"annif-tsv", "jsonl", "lightxml"} <= names and len(names) == len(formats())


# Lines


def test_lines_end_at_line_feeds_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "x.txt", b"\xef\xbb\xbfone\r\ntwo\x0b\x0c\xe2\x80\xa8\x1e\rstill\n\nlast")
    assert list(read_lines(path)) == [(1, "one"), (2, "two\x0b\x0c\u2028\x1e\rstill"), (3, ""), (4, "last")]


@pytest.mark.parametrize("name", ["train.tsv", "train.tsv.gz"])
def test_invalid_utf8_names_file_and_line(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, b"fine\t<x>\ncaf\xe9\t<x>\n")
    assert error_of(tmp_path).startswith(f"{path}:2: not valid UTF-8")


def test_gzip_that_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv.gz"
    path.write_bytes(gzip.compress(b"text\t<x>\n" * 100)[:-6])
    assert error_of(tmp_path).startswith(f"{path}: damaged gzip file")


def test_gzip_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv.gz"
    path.write_bytes(b"text\t<x>\n")
    assert error_of(tmp_path).startswith(f"{path}: damaged gzip file after line 0")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_file_without_permission_to_read(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", "text\t<x>\n")
    path.chmod(0)
    assert error_of(tmp_path).startswith(f"{path}: cannot be read (Permission denied)")


# Annif


def test_annif_labels_in_brackets_may_hold_spaces(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", "text\t<a b> <http://x/1>\t<last> <a b>\n")
    corpus = load_corpus(tmp_path)
    assert documents(corpus, "train") == [("text", ["a b", "http://x/1", "last"])]


@pytest.mark.parametrize(
    ("lines", "bare", "bracketed"),
    [
        ("fine\t<x>\na tab\tin it\t<y>\n", 2, 1),
        ("one\tbare words\nfine\t<x>\n", 1, 2),
        ("text\t<a b> bare <c>\n", 1, 1),
    ],
)
def test_annif_words_of_a_text_with_a_tab_are_no_labels(tmp_path: Path, lines, bare, bracketed) -> None:
    path = write(tmp_path / "train.tsv", lines)
    expected = f"{path}:{bare}: labels that are bare words, where line {bracketed} has them in <>"
    assert error_of(tmp_path).startswith(expected)


def test_annif_bare_words_throughout(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", "text\tone two\nmore\t\nand\ttwo\n")
    assert documents(load_corpus(tmp_path), "train") == [
        ("text", ["one", "two"]),
        ("more", []),
        ("and", ["two"]),
    ]


@pytest.mark.parametrize("blank", ["\n", "\n\n \n", "\r\n\r\n"])
@pytest.mark.parametrize("write_split", [write_annif, write_lightxml, write_jsonl])
def test_blank_lines_at_the_end(tmp_path: Path, write_split, blank: str) -> None:
    write_split(tmp_path, "train", "")
    write(tmp_path / "labels.tsv", f"x\tan x\n{blank}")
    files = [path for path in tmp_path.iterdir() if path.name != "train_labels.txt"]
    for path in files:
        write(path, path.read_bytes() + blank.encode())
    assert documents(load_corpus(tmp_path), "train") == list(zip(TEXTS, LABELS))


def test_two_files_of_one_name(tmp_path: Path, capsys) -> None:
    write(tmp_path / "train.tsv", "text\t<x>\n")
    write(tmp_path / "train.tsv.gz", "text\t<y>\n")
    assert load_corpus(tmp_path).labels.ids == ["x"]
    assert "train.tsv is read, and train.tsv.gz beside it is not" in capsys.readouterr().err


def test_keys_that_are_there_twice(tmp_path: Path, capsys) -> None:
    lines = ['{"text": "a", "labels": ["x"]}', '{"text": "b", "text": "c", "labels": ["y"], "labels": ["x"]}']
    path = write(tmp_path / "train.jsonl", "\n".join([*lines, lines[1]]))
    assert documents(load_corpus(tmp_path), "train") == [("a", ["x"]), ("c", ["x"]), ("c", ["x"])]
    told = "".join(capsys.readouterr().err.splitlines())
    assert f"{path}:2: a key is there twice, and the last one counts, and so in 1 more places" in told


def test_remarks() -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    corpus = Corpus.of(["one", "two", "three"], [[composed], [apart], ["z"]])
    (found,) = remarks(corpus)
    assert "'caf\\xe9' and 'cafe\\u0301'" in found or "'cafe\\u0301' and 'caf\\xe9'" in found
    labels = Labels(["a", "b", "c", "d"], ["same", "same", composed, apart])
    (found,) = remarks(replace(corpus, labels=labels))
    assert found == "the labels 'a' and 'b' have one name, 'same', and so 1 more"
    assert remarks(Corpus.of(["one"], [["a", "b"]])) == []


@pytest.mark.parametrize(
    ("cell", "first", "advice"),
    [
        ("u:1; u:2; u:3", "u:1;", "--label-separator ';'"),
        ("a|b c;d", "", None),
        ("['x', 'y']", "['x',", "JSON Lines"),
        ("['x']", "['x']", "JSON Lines"),
        ("a, b", "a,", "--label-separator ','"),
        ("<u:1> <u:2>", "'<u:1>'", "in which the brackets count"),
    ],
)
def test_labels_that_another_mark_seems_to_part(
    tmp_path: Path, cell: str, first: str, advice: str | None
) -> None:
    write(tmp_path / "train.csv", f'text,labels\none,"{cell}"\n')
    found = remarks(load_corpus(tmp_path))
    assert [first in line and str(advice) in line for line in found] == [True] * bool(advice)
    assert (
        remarks(Corpus.of(["one"], [["a", *map(str, range(40)), "odd;"]])) == []
    )  # one of 42 is so by right


@pytest.mark.parametrize(
    ("name", "content", "unheeded"),
    [
        ("train.tsv", "one\t<x>\n", ["--text-column", "--label-column", "--label-separator"]),
        ("train.csv", "text,labels\none,x\n", []),
        (
            "train.jsonl",
            '{"text": "one", "subjects": [{"uri": "x"}]}\n',
            ["--label-column", "--label-separator"],
        ),
    ],
)
def test_options_of_tables_where_there_is_none(
    tmp_path: Path, name: str, content: str, unheeded: list[str]
) -> None:
    write(tmp_path / name, content)
    dialect = Dialect(text_columns=("text",), label_column=("labels",), label_separator=";")
    found = remarks(load_corpus(tmp_path, dialect))
    assert [line.partition(" is not heeded: ")[0] for line in found] == unheeded
    assert remarks(load_corpus(tmp_path)) == []


def test_a_line_of_column_names(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", "text\tLabels\none\tu:1\n")
    write(tmp_path / "test.tsv", "two\tlabel\tu:1\n")
    (found,) = remarks(load_corpus(tmp_path))
    assert found.startswith("the first document of train is 'text' with the label 'Labels': if that is")


def test_annif_line_without_a_tab(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", "fine\t<x>\nno tab <x>\n")
    assert error_of(tmp_path).startswith(f"{path}:2: no tab")


def test_annif_bad_line_of_the_test_split(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", "fine\t<x>\n")
    path = write(tmp_path / "test.tsv.gz", "fine\t<x>\nfine\t\n\nfine\t\n")
    assert error_of(tmp_path).startswith(f"{path}:3: no tab")


def test_annif_empty_label(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", "text\t<x> <>\n")
    assert error_of(tmp_path).startswith(f"{path}:1: an empty label")


# LightXML


def test_lightxml_unequal_line_counts(tmp_path: Path) -> None:
    texts = write(tmp_path / "train_texts.txt", "one\ntwo\nthree\n")
    labels = write(tmp_path / "train_labels.txt.gz", "x\ny")
    assert error_of(tmp_path).startswith(f"{texts} has 3 lines and {labels} has 2;")


def test_lightxml_more_labels_than_texts(tmp_path: Path) -> None:
    texts = write(tmp_path / "train_texts.txt", "one\n")
    labels = write(tmp_path / "train_labels.txt", "x\ny\n\n")
    assert error_of(tmp_path).startswith(f"{texts} has 1 lines and {labels} has 2;")


@pytest.mark.parametrize("kept, lost", [("texts", "labels"), ("raw_texts", "labels"), ("labels", "texts")])
@pytest.mark.parametrize("split", ["train", "test"])
def test_lightxml_half_of_a_pair(tmp_path: Path, split: str, kept: str, lost: str) -> None:
    if split == "test":
        write_lightxml(tmp_path, "train", "")
    write(tmp_path / f"{split}_{kept}.txt", "one\n")
    assert error_of(tmp_path).startswith(f"{tmp_path / f'{split}_{lost}.txt'}: missing")


def test_lightxml_prefers_raw_texts(tmp_path: Path) -> None:
    write_lightxml(tmp_path, "train", "")
    write(tmp_path / "train_raw_texts.txt.gz", "Raw 1\nRaw 2\nRaw 3\n")
    assert load_corpus(tmp_path).train.texts == ["Raw 1", "Raw 2", "Raw 3"]


# JSON Lines


@pytest.mark.parametrize(
    "line, problem",
    [
        ('{"text": "a", "labels": [', "not valid JSON (Expecting value at column 26)"),
        ("[" * 100_000, "not valid JSON"),
        ('["a", ["x"]]', "not an object"),
        ('{"labels": ["x"]}', 'no "text"'),
        ('{"text": "a"}', 'no "labels"'),
        ('{"text": null, "labels": ["x"]}', '"text" is not a string but null'),
        ('{"text": "a", "labels": "x"}', '"labels" is not a list but a string'),
        ('{"text": "a", "labels": {"x": 1}}', '"labels" is not a list but an object'),
        ('{"text": "a", "labels": ["x", 1.5]}', '"labels" holds a number'),
        ('{"text": "a", "labels": [true]}', '"labels" holds a boolean'),
        ('{"text": "a", "labels": [["x"]]}', '"labels" holds a list'),
        ('{"text": "a", "labels": [""]}', "an empty label"),
        ('{"text": "\\ud800", "labels": ["x"]}', "half of a surrogate pair"),
    ],
)
def test_jsonl_bad_line(tmp_path: Path, line: str, problem: str) -> None:
    path = write(tmp_path / "train.jsonl", f'{{"text": "fine", "labels": ["x"]}}\n\n{line}\n')
    assert error_of(tmp_path).startswith(f"{path}:3: {problem}")


def test_what_holds_a_bad_line_is_closed_at_once(tmp_path: Path, monkeypatch) -> None:
    """And not when the collector comes round to it, which is when Python may warn."""
    write(tmp_path / "train.jsonl", "not JSON\n")
    files, real = [], Path.open

    def open_(path, *arguments):
        files.append(real(path, *arguments))
        return files[-1]

    monkeypatch.setattr(Path, "open", open_)
    gc.disable()
    try:
        error_of(tmp_path)
        assert files and all(file.closed for file in files)
    finally:
        gc.enable()


def test_jsonl_takes_integers_and_skips_blank_lines(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", '\n{"text": "a", "labels": [7, "a b", 7], "id": 1}\n  \n')
    assert documents(load_corpus(tmp_path), "train") == [("a", ["7", "a b"])]


# Label names


@pytest.mark.parametrize("name", ["labels.tsv", "labels.tsv.gz"])
@pytest.mark.parametrize("write_split", [write_annif, write_lightxml, write_jsonl])
def test_label_names_in_any_format(tmp_path: Path, write_split, name: str) -> None:
    write_split(tmp_path, "train", "")
    write(tmp_path / name, "<z>\tlast one\n<a b>\tnever used\nx\t\n")
    labels = load_corpus(tmp_path).labels
    assert labels.ids == ["z", "a b", "x", "y"]
    assert [labels.name(row) for row in range(4)] == ["last one", "never used", "x", "y"]
    assert labels.rows == {"z": 0, "a b": 1, "x": 2, "y": 3}


@pytest.mark.parametrize(
    "line, problem",
    [("<x>\tagain", "label x is listed twice"), ("<>\tnothing", "an empty label id")],
)
def test_label_names_bad_line(tmp_path: Path, line: str, problem: str) -> None:
    write_annif(tmp_path, "train", "")
    path = write(tmp_path / "labels.tsv", f"<x>\tname\n{line}\n")
    assert error_of(tmp_path).startswith(f"{path}:2: {problem}")


# Folders and single files


def test_missing_folder(tmp_path: Path) -> None:
    message = error_of(tmp_path / "nowhere")
    assert message.startswith(f"{tmp_path / 'nowhere'}: no such file or folder; give a folder with train")


@pytest.mark.parametrize("present", [[], ["notes.txt"], ["test.tsv"]])
def test_folder_without_a_known_train_split(tmp_path: Path, present: list[str]) -> None:
    for name in present:
        write(tmp_path / name, "text\t<x>\n")
    message = error_of(tmp_path)
    assert message.startswith(f"{tmp_path}: no training documents")
    assert "train.tsv" in message and "xmlkit data formats" in message


def test_one_file_is_a_corpus_without_a_test_split(tmp_path: Path) -> None:
    write_annif(tmp_path, "test", "")
    write(tmp_path / "labels.tsv", "<y>\tnamed\n<x>\tas well\n")
    path = write(tmp_path / "mine.tsv", "text\t<x>\n")
    corpus = load_corpus(path)
    assert (corpus.name, list(corpus.train.texts), corpus.test) == ("mine", ["text"], None)
    assert (corpus.labels.ids, corpus.labels.names) == (["y", "x"], ["named", "as well"])
    assert corpus.source == str(path.resolve())


def test_folder_in_two_formats(tmp_path: Path) -> None:
    write_annif(tmp_path, "train", "")
    write_jsonl(tmp_path, "train", ".gz")
    assert error_of(tmp_path).startswith(f"{tmp_path}: train.tsv and train.jsonl.gz are two formats")


@pytest.mark.parametrize("split", ["train", "test"])
def test_split_without_documents(tmp_path: Path, split: str) -> None:
    write_annif(tmp_path, "train", "")
    write(tmp_path / f"{split}.tsv", "")
    assert error_of(tmp_path).startswith(f"{tmp_path}: no documents in the {split} split")


def test_train_split_without_any_label(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", "text\t\n")
    assert error_of(tmp_path).startswith(f"{tmp_path}: no training document has a label")


@pytest.mark.parametrize(
    "name, content",
    [("mine.tsv", "text\t<y> <q> <x>\n"), ("mine.jsonl.gz", '{"text": "text", "labels": ["y", "q", "x"]}\n')],
)
def test_split_from_a_single_file(tmp_path: Path, name: str, content: str) -> None:
    split = load_split(write(tmp_path / name, content), Labels(["x", "y"], None))
    assert split.texts == ["text"]
    assert split.labels[0].tolist() == [0, 1, 2]


def test_split_from_an_unknown_kind_of_file(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.doc", "text,x\n")
    with pytest.raises(UserError) as caught:
        load_split(path, Labels(["x"], None))
    assert str(caught.value).startswith(f"{path}: unknown kind of file")
    assert ".jsonl or .ndjson or .parquet or .tsv or .txt" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        (
            "train.txt",
            "2 4 3\n1 0:0.5 3:1\n0,2 1:1\n",
            "train.txt holds features (counted words); the raw texts",
        ),
        (
            "trn.json",
            '{"uid": "1", "title": "a", "target_ind": [0]}\n',
            "labels of such a file are in lbl.json",
        ),
    ],
)
def test_one_file_of_a_format_that_has_several(tmp_path: Path, name: str, content: str, advice: str) -> None:
    with pytest.raises(UserError) as caught:
        load_split(write(tmp_path / name, content), Labels(["x"], None))
    assert advice in str(caught.value)


def test_split_that_the_folder_lacks(tmp_path: Path) -> None:
    write_annif(tmp_path, "train", "")
    with pytest.raises(UserError) as caught:
        load_split(tmp_path, Labels(["x"], None))
    assert str(caught.value).startswith(f"{tmp_path}: no test split")
    assert "\n" not in str(caught.value)
