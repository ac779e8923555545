"""The Extreme Classification Repository's layouts, as its data sets have them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_formats import documents, error_of, write

from xmlkit.data.corpus import Corpus, Labels, load_corpus, load_split
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import xc_json, xc_text
from xmlkit.data.writing import write_corpus
from xmlkit.errors import UserError

TRN = (
    '{"uid": "B0001", "title": "Title", "content": "a body", "target_ind": [2, 0], "target_rel": [1, 0.5]}\n'
    '{"uid": "B0002", "title": "", "content": "", "target_ind": [], "target_rel": []}\n'
    '{"uid": "B0003", "title": "caf\\u00e9", "content": "", "target_ind": [1, 1], "target_rel": [0.0, 1.0]}\n'
)
TST = '{"uid": "B0009", "title": "only", "content": "this", "target_ind": [1]}\n'
LBL = (
    '{"uid": "L7", "title": "same"}\n{"uid": "L8", "title": "same"}\n'
    '{"uid": "L9", "title": "other", "content": "more of it"}\n'
)


def json_folder(folder: Path, trn: str = TRN, lbl: str = LBL, end: str = ".json.gz") -> Path:
    write(folder / f"trn{end}", trn)
    write(folder / f"tst{end}", TST)
    write(folder / f"lbl{end}", lbl)
    return folder


@pytest.mark.parametrize("end", [".json.gz", ".json", ".raw.json.gz"])
def test_json(tmp_path: Path, end: str) -> None:
    corpus = load_corpus(json_folder(tmp_path, end=end))
    assert corpus.format == "xc-json"
    assert (corpus.labels.ids, corpus.labels.names) == (["L7", "L8", "L9"], ["same", "same", "other"])
    assert documents(corpus, "train") == [("Title a body", ["L7", "L9"]), ("", []), ("café", ["L8"])]
    assert corpus.train.ids == ["B0001", "B0002", "B0003"]
    assert documents(corpus, "test") == [("only this", ["L8"])]


@pytest.mark.parametrize("uids", [["L7", "L7", "L9"], ["L7", None, "L9"], ["", "L8", "L9"]])
def test_labels_are_numbered_where_not_all_have_a_uid_of_their_own(tmp_path: Path, uids: list) -> None:
    records = [
        {"title": f"name {place}"} | ({} if uid is None else {"uid": uid}) for place, uid in enumerate(uids)
    ]
    corpus = load_corpus(json_folder(tmp_path, lbl="".join(json.dumps(record) + "\n" for record in records)))
    assert (corpus.labels.ids, corpus.labels.names) == (["0", "1", "2"], ["name 0", "name 1", "name 2"])


def test_a_folder_with_features_and_texts_beside_the_json(tmp_path: Path) -> None:
    json_folder(tmp_path)
    text_folder(tmp_path)
    write(tmp_path / "trn_X_Xf.txt", "3 5\n0:1.0\n\n4:0.5\n")
    write(tmp_path / "filter_labels_test.txt", "0 2\n")
    write(tmp_path / "filter_labels_train.txt", "")
    corpus = load_corpus(tmp_path)
    assert corpus.format == "xc-json" and corpus.labels.ids == ["L7", "L8", "L9"]
    assert corpus.train.left_out is None
    assert corpus.test is not None and [document.left_out for document in corpus.test.documents()] == [
        ("L9",)
    ]


@pytest.mark.parametrize(
    "line, problem",
    [
        ("{", "not valid JSON"),
        ("[]", "not an object"),
        ('{"title": "a"}', '"target_ind" is not a list but null'),
        ('{"target_ind": [0]}', "no 'title' and no 'content'"),
        ('{"title": 1, "target_ind": [0]}', "'title' is not a string but a number"),
        ('{"title": "a", "content": ["b"], "target_ind": [0]}', "'content' is not a string but a list"),
        ('{"title": "a", "target_ind": [3]}', '"target_ind" holds 3, where the last label is 2'),
        ('{"title": "a", "target_ind": [-1]}', '"target_ind" holds -1'),
        ('{"title": "a", "target_ind": ["0"]}', '"target_ind" holds a string'),
        ('{"title": "a", "target_ind": [true]}', '"target_ind" holds a boolean'),
        ('{"title": "a", "target_ind": [0], "target_rel": []}', '"target_rel" is no list as long'),
        ('{"title": "a", "target_ind": [0], "target_rel": ["1"]}', '"target_rel" holds a string'),
        ('{"uid": 1.5, "title": "a", "target_ind": [0]}', "'uid' is not a string but a number"),
        ('{"title": "\\ud800", "target_ind": [0]}', "half of a surrogate pair"),
    ],
)
def test_json_bad_line(tmp_path: Path, line: str, problem: str) -> None:
    good = '{"title": "fine", "target_ind": [0]}\n'
    json_folder(tmp_path, good + line + "\n" + good * 9)
    assert error_of(tmp_path).startswith(f"{tmp_path / 'trn.json.gz'}:2: {problem}")
    assert len(load_corpus(tmp_path, Dialect(bad_lines="skip")).train) == 10


@pytest.mark.parametrize(
    "line", ["{", '{"uid": "a"}', '{"uid": [], "title": "a"}', '{"uid": "a", "title": 7}']
)
def test_json_bad_label(tmp_path: Path, line: str) -> None:
    json_folder(tmp_path, lbl=f'{{"uid": "L7", "title": "one"}}\n{line}\n')
    assert error_of(tmp_path).startswith(f"{tmp_path / 'lbl.json.gz'}:2: ")


def test_json_without_its_labels(tmp_path: Path) -> None:
    (json_folder(tmp_path) / "lbl.json.gz").unlink()
    assert error_of(tmp_path).startswith(f"{tmp_path / 'lbl.json'}: missing; trn.json.gz needs it")


def test_filters_keep_their_documents_where_lines_are_skipped(tmp_path: Path) -> None:
    """Numbers are those of the file's documents, a bad one among them."""
    good = '{"title": "fine", "target_ind": [0]}\n'
    json_folder(tmp_path, good + "{\n" + good * 10)
    write(tmp_path / "filter_labels_train.txt", "2 1\n")
    corpus = load_corpus(tmp_path, Dialect(bad_lines="skip"))
    assert [document.left_out for document in corpus.train.documents()][:3] == [(), ("L8",), ()]
    path = write(tmp_path / "filter_labels_train.txt", "12 1\n")
    with pytest.raises(UserError) as caught:
        load_corpus(tmp_path, Dialect(bad_lines="skip"))
    assert str(caught.value) == f"{path}:1: document 12, where the last one is 11"


def test_json_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    corpus = load_corpus(json_folder(tmp_path / "old"))
    assert write_corpus(corpus, tmp_path / "new", xc_json) == []
    lines = (tmp_path / "new/trn.json").read_text().splitlines()
    assert json.loads(lines[0]) == {
        "uid": "B0001",
        "title": "Title a body",
        "content": "",
        "target_ind": [0, 2],
        "target_rel": [0.5, 1.0],
    }
    assert json.loads((tmp_path / "new/lbl.json").read_text().splitlines()[2]) == {
        "uid": "L9",
        "title": "other",
    }


# Texts


def text_folder(folder: Path) -> Path:
    write(folder / "trn_X.txt", "first text\n\nthird\n")
    write(folder / "trn_X_Y.txt", "3 3\n0:1.00000 2:1.00000\n\n1:1.00000 0:0.00000\n")
    write(folder / "tst_X.txt", "unseen\n")
    write(folder / "tst_X_Y.txt", "1 3\n2:1.00000\n")
    write(folder / "Y.txt", "one thing\nanother\nanother\n")
    return folder


def test_texts(tmp_path: Path) -> None:
    write(text_folder(tmp_path) / "filter_labels_train.txt", "2 0\n")
    corpus = load_corpus(tmp_path)
    assert corpus.format == "xc-text"
    assert (corpus.labels.ids, corpus.labels.names) == (["0", "1", "2"], ["one thing", "another", "another"])
    assert documents(corpus, "train") == [("first text", ["0", "2"]), ("", []), ("third", ["1"])]
    assert documents(corpus, "test") == [("unseen", ["2"])]
    assert [document.left_out for document in corpus.train.documents()] == [(), (), ("0",)]


def test_texts_in_latin_1(tmp_path: Path) -> None:
    path = write(text_folder(tmp_path) / "trn_X.txt", "Grüße\n\nthird\n".encode("latin-1"))
    message = error_of(tmp_path)
    assert message.startswith(f"{path}:1: not valid UTF-8") and message.endswith("try --encoding latin-1")
    assert load_corpus(tmp_path, Dialect(encoding="latin-1")).train.texts[0] == "Grüße"


@pytest.mark.parametrize("end", ["", "\n", "\n \n\n"])
def test_the_last_documents_may_be_empty(tmp_path: Path, end: str) -> None:
    """A file's header says how many there are, whatever blank lines there are."""
    text_folder(tmp_path)
    write(tmp_path / "trn_X.txt", f"first\nsecond\n\n{end}")
    write(tmp_path / "trn_X_Y.txt", f"3 3\n0:1\n1:1\n\n{end}")
    assert documents(load_corpus(tmp_path), "train") == [("first", ["0"]), ("second", ["1"]), ("", [])]


@pytest.mark.parametrize(
    "lines, problem",
    [
        ("", ":1: no header"),
        ("0:1.0\n1:1.0\n2:1.0\n", ":1: no header"),
        ("3 3\n0:1\n\n3:1\n", ":4: label 3, where the last one is 2"),
        ("3 3\n0:1\n\n1\n", ":4: '1' is no label"),
        ("3 3\n0:1\n\n1:x\n", ":4: '1:x' is no label"),
        (f"3 3\n0:1\n\n{'9' * 5000}:1\n", f":4: {'9' * 40!r} is no label"),
        ("3 3\n0:1\n\n1:-\n", ":4: '1:-' is no label"),
        ("2 3\n0:1\n\n1:1\n", " has 3 documents, and its header says 2"),
        ("4 3\n0:1\n\n1:1\n", " has 3 documents, and its header says 4"),
    ],
)
def test_texts_with_labels_that_are_wrong(tmp_path: Path, lines: str, problem: str) -> None:
    path = write(text_folder(tmp_path) / "trn_X_Y.txt", lines)
    assert error_of(tmp_path).startswith(f"{path}{problem}")


def test_a_header_of_more_labels_than_there_can_be(tmp_path: Path) -> None:
    (text_folder(tmp_path) / "Y.txt").unlink()
    write(tmp_path / "trn_X_Y.txt", f"3 {10**12}\n0:1\n\n3:1\n")
    expected = (
        "the header of trn_X_Y.txt says 1,000,000,000,000 labels, more than the 100,000,000 that are read"
    )
    assert error_of(tmp_path).startswith(f"{tmp_path}: {expected}")
    write(tmp_path / "trn_X_Y.txt", f"3 {'9' * 5000}\n0:1\n\n3:1\n")
    assert error_of(tmp_path).startswith(f"{tmp_path / 'trn_X_Y.txt'}:1: no header")


def test_a_header_of_another_list(tmp_path: Path) -> None:
    write(text_folder(tmp_path) / "trn_X_Y.txt", "3 4\n0:1\n\n3:1\n")
    expected = f"{tmp_path / 'Y.txt'} has 3 labels and the header of trn_X_Y.txt says 4"
    assert error_of(tmp_path).startswith(expected)


@pytest.mark.parametrize("texts, count", [("one\ntwo\n", 2), ("1\n2\n3\n4\n", 4)])
def test_texts_of_another_number(tmp_path: Path, texts: str, count: int) -> None:
    path = write(text_folder(tmp_path) / "trn_X.txt", texts)
    assert error_of(tmp_path).startswith(f"{path} has {count} lines and {tmp_path / 'trn_X_Y.txt'} has 3")


@pytest.mark.parametrize("kept, lost", [("trn_X", "trn_X_Y"), ("trn_X_Y", "trn_X")])
def test_half_of_a_pair(tmp_path: Path, kept: str, lost: str) -> None:
    write(tmp_path / f"{kept}.txt", "1 1\n0:1\n")
    assert error_of(tmp_path).startswith(f"{tmp_path / f'{lost}.txt'}: missing")


def test_texts_as_they_are_written(tmp_path: Path) -> None:
    corpus = Corpus.of(["a\nb", "c", "d"], [["x", "y"], [], ["y"]])
    assert write_corpus(corpus, tmp_path / "new", xc_text) == ["texts whose line feeds become spaces: 1"]
    assert (tmp_path / "new/trn_X.txt").read_bytes() == b"a b\nc\nd\n"
    assert (tmp_path / "new/trn_X_Y.txt").read_bytes() == b"3 2\n0:1.00000 1:1.00000\n\n1:1.00000\n"
    assert (tmp_path / "new/Y.txt").read_bytes() == b"x\ny\n"


# Features in place of texts


@pytest.mark.parametrize(
    "content",
    [
        "3 5 2\n0,1 0:1.0 4:0.5\n 1:0.2\n1 2:1\n",
        "2 5 2\n0,1\n1 2:1\n",
        "2 5 2\n 1:0.2\n1 2:1\n",
        "12,7 1:0.5 3:1e-05\n7 2:1\n",
    ],
)
def test_features_in_place_of_texts(tmp_path: Path, content: str) -> None:
    write(tmp_path / "train.txt.gz", content)
    message = error_of(tmp_path)
    assert message.startswith(
        f"{tmp_path}: no training documents; train.txt.gz holds features (counted words)"
    )
    assert "raw texts, which are needed, are missing" in message


@pytest.mark.parametrize("has_labels", [True, False])
def test_features_in_place_of_texts_beside_labels(tmp_path: Path, has_labels: bool) -> None:
    write(tmp_path / "trn_X_Xf.txt", "3 5\n0:1.0\n\n4:0.5\n" if not has_labels else "1 2\n0:1.0\n")
    if has_labels:
        write(tmp_path / "trn_X_Y.txt", "1 2\n0:1.0\n")
    message = error_of(tmp_path)
    assert "trn_X_Xf.txt holds features" in message and "raw texts" in message


def test_a_test_split_of_features(tmp_path: Path) -> None:
    write(tmp_path / "test.txt", "1 5 2\n0,1 0:1.0\n")
    with pytest.raises(UserError, match=r"no test split; test\.txt holds features"):
        load_split(tmp_path, Labels(["x"], None))


@pytest.mark.parametrize("value", ["1" + "0" * 400, "Infinity", "NaN"])
def test_a_relevance_is_finite(tmp_path: Path, value: str) -> None:
    write(tmp_path / "trn.json", f'{{"title": "a", "target_ind": [0], "target_rel": [{value}]}}\n')
    write(tmp_path / "lbl.json", '{"title": "x"}\n')
    assert "a number that is not finite" in error_of(tmp_path)


def test_a_relevance_in_a_line_is_finite(tmp_path: Path) -> None:
    path = write(text_folder(tmp_path) / "trn_X_Y.txt", "3 3\n0:1e999\n\n\n")
    assert error_of(tmp_path) == f"{path}:2: '0:1e999': a relevance is a finite number"
