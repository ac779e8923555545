"""PECOS, X-Transformer and text2text, as these projects have their files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from test_formats import documents, error_of, write

from xmlkit.data.corpus import Corpus, Labels, load_corpus, load_split
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import formats, lightxml, pecos, pecos_text2text
from xmlkit.data.remarks import remarks
from xmlkit.data.writing import write_corpus
from xmlkit.errors import UserError

FORMATS = {format.NAME: format for format in formats()}
Y = np.array([[1, 0, 0.5], [0, 0, 0], [0, 1, 1]], np.float32)
ITEMS = "one thing\nanother\nanother\n"


def pecos_folder(folder: Path, items: str = ITEMS, y: np.ndarray = Y) -> Path:
    write(folder / "X.trn.txt", "first text\n\nthird\n")
    write(folder / "X.tst.txt", "unseen\n")
    write(folder / "output-items.txt", items)
    sparse.save_npz(folder / "Y.trn.npz", sparse.csr_matrix(y))
    sparse.save_npz(folder / "Y.tst.npz", sparse.csr_matrix(np.array([[0, 0, 1.0]])))
    return folder


def test_a_folder_of_pecos(tmp_path: Path) -> None:
    corpus = load_corpus(pecos_folder(tmp_path))
    assert corpus.format == "pecos"
    assert corpus.labels.ids == ["0", "1", "2"]
    assert corpus.labels.names == ["one thing", "another", "another"]
    assert documents(corpus, "train") == [("first text", ["0", "2"]), ("", []), ("third", ["1", "2"])]
    assert documents(corpus, "test") == [("unseen", ["2"])]
    assert load_split(tmp_path, corpus.labels).texts == ["unseen"]


def test_lines_that_are_one_word_each_and_different_are_ids(tmp_path: Path) -> None:
    corpus = load_corpus(pecos_folder(tmp_path, "web2.0\nart\nhttp://x/1\n\n"))
    assert corpus.labels.ids == ["web2.0", "art", "http://x/1"]
    assert not corpus.labels.named_L.any()
    assert documents(corpus, "train")[0] == ("first text", ["web2.0", "http://x/1"])


def test_a_label_may_lack_a_name_and_all_of_them_the_list(tmp_path: Path) -> None:
    corpus = load_corpus(pecos_folder(tmp_path, "\nart\nart\n"))
    assert [corpus.labels.name(row) for row in range(3)] == ["0", "art", "art"]
    (tmp_path / "output-items.txt").unlink()
    corpus = load_corpus(tmp_path)
    assert corpus.labels.ids == ["0", "1", "2"] and corpus.labels.names is None


def test_values_are_relevances_and_zero_is_none(tmp_path: Path) -> None:
    stored = sparse.csr_matrix(([0.0, 0.1, 3], [0, 1, 1], [0, 2, 2, 3]), shape=(3, 3))
    pecos_folder(tmp_path)
    sparse.save_npz(tmp_path / "Y.trn.npz", stored)
    corpus = load_corpus(tmp_path)
    assert [labels for _, labels in documents(corpus, "train")] == [["1"], [], ["1"]]
    assert corpus.train.relevances.tolist() == [0.1, 3]
    assert remarks(corpus)[0] == "2 relevances are not 1: each label counts as one all the same"
    for name in ("pecos", "pecos-text2text", "xc-json", "xc-text"):
        assert write_corpus(corpus, tmp_path / name, FORMATS[name]) == []
        again = load_corpus(tmp_path / name)
        assert again.train.relevances.tolist() == [0.1, 3], name
    assert (tmp_path / "pecos-text2text/training-data.txt").read_text().splitlines()[2].startswith("1::3.0\t")
    assert (tmp_path / "xc-text/trn_X_Y.txt").read_text() == "3 3\n1:0.10000\n\n1:3.00000\n"
    lost = write_corpus(corpus, tmp_path / "jsonl", FORMATS["jsonl"])
    assert lost == ["relevances other than 1 that are left out: 2"]


def test_of_two_relevances_of_one_label_the_larger_counts(tmp_path: Path) -> None:
    write(tmp_path / "output-labels.txt", "an art\na craft\n")
    write(tmp_path / "training-data.txt", "1::0.5,0::2,1::0.75\ttext\n")
    split = load_corpus(tmp_path).train
    assert (split.labels[0].tolist(), split.relevances.tolist()) == ([0, 1], [2, 0.75])
    order = split.numbered_as(Labels(["1", "0"], None))
    assert (order.labels[0].tolist(), order.relevances.tolist()) == ([0, 1], [0.75, 2])
    assert split.take(np.array([0, 0])).relevances.tolist() == [2, 0.75, 2, 0.75]


@pytest.mark.parametrize("kind", ["csc_matrix", "coo_matrix", "csr_array"])
@pytest.mark.parametrize("dtype", [np.int64, np.bool_])
def test_any_sparse_matrix_of_scipy(tmp_path: Path, kind: str, dtype) -> None:
    pecos_folder(tmp_path)
    sparse.save_npz(tmp_path / "Y.trn.npz", getattr(sparse, kind)(np.ceil(Y).astype(dtype)))
    assert [labels for _, labels in documents(load_corpus(tmp_path), "train")] == [["0", "2"], [], ["1", "2"]]


def test_x_transformer(tmp_path: Path) -> None:
    write(tmp_path / "train_raw_texts.txt.gz", "Title /SEP/ the body\nno mark\n/SEP/ body\n")
    write(tmp_path / "label_map.txt", "an art\na craft\na trade\n")
    sparse.save_npz(tmp_path / "Y.trn.npz", sparse.csr_matrix(Y))
    corpus = load_corpus(tmp_path)
    assert corpus.format == "pecos" and corpus.test is None
    assert corpus.train.texts == ["Title the body", "no mark", " body"]
    assert corpus.labels.names == ["an art", "a craft", "a trade"]


def test_labels_in_a_text_file_are_lightxml_s(tmp_path: Path) -> None:
    write(tmp_path / "train_raw_texts.txt", "Title /SEP/ the body\ntwo\nthree\n")
    write(tmp_path / "train_labels.txt", "art craft\n\nart\n")
    write(tmp_path / "label_map.txt", "an art\na craft\na craft\n")
    sparse.save_npz(tmp_path / "Y.trn.npz", sparse.csr_matrix(Y))
    corpus = load_corpus(tmp_path)
    assert corpus.format == "lightxml" and corpus.labels.ids == ["art", "craft"]
    assert corpus.train.texts[0] == "Title the body"
    write(tmp_path / "X.trn.txt", "one\ntwo\nthree\n")
    assert "are two formats of one split" in error_of(tmp_path)


@pytest.mark.parametrize("format, where", [(pecos, "X.trn.txt"), (lightxml, "train_raw_texts.txt")])
def test_a_mark_that_would_be_lost_is_told(tmp_path: Path, format, where: str) -> None:
    corpus = Corpus.of(["a /SEP/ b", "c"], [["x"], ["y"]])
    assert write_corpus(corpus, tmp_path / "new", format) == ["texts whose /SEP/ becomes a space: 1"]
    assert (tmp_path / "new" / where).read_text() == "a b\nc\n"


def test_texts_without_their_matrix(tmp_path: Path) -> None:
    write(tmp_path / "X.trn.txt", "one\n")
    assert error_of(tmp_path).startswith(f"{tmp_path / 'Y.trn.npz'}: missing; X.trn.txt needs it")


def test_a_matrix_without_its_texts(tmp_path: Path) -> None:
    (pecos_folder(tmp_path) / "X.trn.txt").unlink()
    sparse.save_npz(tmp_path / "X.trn.npz", sparse.csr_matrix(Y))
    assert error_of(tmp_path).startswith(f"{tmp_path / 'X.trn.txt'}: missing; raw texts are needed")


@pytest.mark.parametrize("texts, count", [("one\ntwo\n", 2), ("1\n2\n3\n4\n", 4)])
def test_unequal_lengths(tmp_path: Path, texts: str, count: int) -> None:
    write(pecos_folder(tmp_path) / "X.trn.txt", texts)
    expected = f"{tmp_path / 'X.trn.txt'} has {count} lines and {tmp_path / 'Y.trn.npz'} has 3 rows"
    assert error_of(tmp_path).startswith(expected)


def test_blank_lines_at_the_end(tmp_path: Path) -> None:
    write(pecos_folder(tmp_path) / "X.trn.txt", "1\n2\n3\n\n \n")
    assert load_corpus(tmp_path).train.texts == ["1", "2", "3"]


def test_a_list_of_another_length(tmp_path: Path) -> None:
    message = error_of(pecos_folder(tmp_path, "a\nb\n"))
    assert message.startswith(f"{tmp_path / 'output-items.txt'} has 2 labels and Y.trn.npz has columns for 3")


def test_a_matrix_of_more_labels_than_there_can_be(tmp_path: Path) -> None:
    (pecos_folder(tmp_path) / "output-items.txt").unlink()
    matrix = sparse.csr_matrix((np.ones(1), np.array([0]), np.array([0, 1, 1, 1])), shape=(3, 10**12))
    sparse.save_npz(tmp_path / "Y.trn.npz", matrix)
    expected = "Y.trn.npz has columns for 1,000,000,000,000 labels, more than the 100,000,000 that are read"
    assert error_of(tmp_path).startswith(f"{tmp_path}: {expected}")


def archive(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def damaged() -> dict[str, bytes]:
    """Files that are no matrix of relevances, by what is wrong with them."""
    file = io.BytesIO()
    sparse.save_npz(file, sparse.csr_matrix(np.ones((3, 40), np.float32)))
    whole = file.getvalue()
    good = {"format": np.array("csr"), "shape": np.array([3, 3]), "data": np.ones(2)}
    hollow = io.BytesIO()
    with zipfile.ZipFile(hollow, "w") as file_:
        file_.writestr("format.npy", b"\x93NUMPY\x01\x00\x76\x00{'descr': [")
    return {
        "empty": b"",
        "text": b"0,1\n",
        "cut": whole[: len(whole) // 2],
        "flipped": whole[:60] + bytes(byte ^ 255 for byte in whole[60:160]) + whole[160:],
        "another archive": archive(x=np.ones(3)),
        "half of a header": hollow.getvalue(),
        "a column that is none": archive(**good, indices=np.array([0, 7]), indptr=np.array([0, 1, 2, 2])),
        "a negative column": archive(**good, indices=np.array([0, -7]), indptr=np.array([0, 1, 2, 2])),
        "rows that run backwards": archive(**good, indices=np.array([0, 1]), indptr=np.array([0, 2, 1, 2])),
        "objects": archive(**{**good, "data": np.array([None, {}])}, indices=np.zeros(2), indptr=np.zeros(4)),
        "words": archive(
            **{**good, "data": np.array(["a", "b"])}, indices=np.array([0, 1]), indptr=np.array([0, 1, 2, 2])
        ),
        "a relevance below 0": archive(
            **{**good, "data": np.array([1, -1])}, indices=np.array([0, 1]), indptr=np.array([0, 1, 2, 2])
        ),
        "no number": archive(
            **{**good, "data": np.array([1, np.nan])}, indices=np.array([0, 1]), indptr=np.array([0, 1, 2, 2])
        ),
        "an unknown format": archive(**{**good, "format": np.array("xyz")}),
    }


@pytest.mark.parametrize("what", damaged())
def test_every_damage_of_a_matrix_is_one_line(tmp_path: Path, what: str) -> None:
    path = pecos_folder(tmp_path) / "Y.trn.npz"
    path.write_bytes(damaged()[what])
    assert error_of(tmp_path).startswith(f"{path}: ")


def test_what_is_written_is_as_scipy_and_others_read_it(tmp_path: Path) -> None:
    corpus = Corpus.of(["a\nb", "c"], [["x", "y"], ["y"]], ["d"], [["new"]])
    assert write_corpus(corpus, tmp_path / "new", pecos) == [
        "labels that only the test split has, and that join the list: 1",
        "texts whose line feeds become spaces: 1",
    ]
    assert (tmp_path / "new/output-items.txt").read_bytes() == b"x\ny\nnew\n"
    assert (tmp_path / "new/X.trn.txt").read_bytes() == b"a b\nc\n"
    y = sparse.load_npz(tmp_path / "new/Y.trn.npz")
    assert y.format == "csr" and y.dtype == np.float32 and y.toarray().tolist() == [[1, 1, 0], [0, 1, 0]]
    assert sparse.load_npz(tmp_path / "new/Y.tst.npz").toarray().tolist() == [[0, 0, 1]]


def test_ids_with_spaces_become_names(tmp_path: Path) -> None:
    corpus = Corpus.of(["a", "b"], [["machine learning"], ["art"]])
    (told,) = write_corpus(corpus, tmp_path / "new", pecos)
    assert told.startswith("ids of labels that are left out") and told.endswith(": 2")
    again = load_corpus(tmp_path / "new").labels
    assert (again.ids, again.names) == (["0", "1"], ["art", "machine learning"])


# text2text

LINES = "0,2\tfirst text\n1::0.8,2::0\tsecond\ta tab\n\tno label\n\n"


@pytest.mark.parametrize(
    "names", [("training-data.txt", "output-labels.txt"), ("train.txt.gz", "output-items.txt")]
)
def test_text2text(tmp_path: Path, names: tuple[str, str]) -> None:
    write(tmp_path / names[0], LINES)
    write(tmp_path / names[1], ITEMS)
    corpus = load_corpus(tmp_path)
    assert corpus.format == "pecos-text2text"
    assert corpus.labels.names == ["one thing", "another", "another"]
    expected = [("first text", ["0", "2"]), ("second\ta tab", ["1"]), ("no label", [])]
    assert documents(corpus, "train") == expected
    split = load_split(tmp_path / names[0], corpus.labels)
    assert split.texts == [text for text, _ in expected] and split.labels[0].tolist() == [0, 2]


@pytest.mark.parametrize(
    "line, problem",
    [
        ("0,2 no tab", "no tab"),
        ("0,3\ttext", "label 3, where the last one is 2"),
        ("0,x\ttext", "'x' is no label"),
        ("-1\ttext", "'-1' is no label"),
        ("1::\ttext", "'1::' is no label"),
        ("1::-\ttext", "'1::-' is no label"),
        ("\u0661\ttext", "'\u0661' is no label"),
    ],
)
def test_text2text_bad_line(tmp_path: Path, line: str, problem: str) -> None:
    path = write(tmp_path / "training-data.txt", f"0\tfine\n{line}\n" + "1\tfine\n" * 9)
    write(tmp_path / "output-labels.txt", ITEMS)
    assert error_of(tmp_path).startswith(f"{path}:2: {problem}")
    assert len(load_corpus(tmp_path, Dialect(bad_lines="skip")).train) == 10


def test_text2text_as_it_is_written(tmp_path: Path) -> None:
    corpus = Corpus.of(["a\tb", "c"], [["x", "y"], []])
    told = write_corpus(corpus, tmp_path / "new", pecos_text2text)
    assert told == ["texts whose tabs and line feeds become spaces: 1"]
    assert (tmp_path / "new/training-data.txt").read_bytes() == b"0,1\ta b\n\tc\n"
    assert (tmp_path / "new/output-labels.txt").read_bytes() == b"x\ny\n"


def test_a_list_of_labels_is_no_split(tmp_path: Path) -> None:
    corpus = load_corpus(pecos_folder(tmp_path))
    for name in ("output-items.txt", "X.tst.txt"):
        with pytest.raises(UserError, match="unknown kind of file"):
            load_split(tmp_path / name, corpus.labels)


# Filters


def test_filters(tmp_path: Path) -> None:
    pecos_folder(tmp_path)
    write(tmp_path / "filter_labels_train.txt", "2 1\n0 0\n2 0\n\n")
    write(tmp_path / "filter_labels_test.txt", "")
    corpus = load_corpus(tmp_path)
    assert [document.left_out for document in corpus.train.documents()] == [("0",), (), ("0", "1")]
    assert corpus.test is not None and corpus.test.left_out is None
    assert write_corpus(corpus, tmp_path / "new", pecos) == []
    assert (tmp_path / "new/filter_labels_train.txt").read_text() == "0 0\n2 0\n2 1\n"
    assert not (tmp_path / "new/filter_labels_test.txt").exists()


@pytest.mark.parametrize(
    "line, problem",
    [
        ("1", "not two numbers"),
        ("1 2 3", "not two numbers"),
        ("1 -1", "not two numbers"),
        ("a b", "not two numbers"),
        (f"0 {'9' * 5000}", "not two numbers"),
        (f"{'9' * 5000} 0", "not two numbers"),
        ("0 3", "label 3, where the last one is 2"),
        ("3 0", "document 3, where the last one is 2"),
    ],
)
def test_filters_with_a_line_that_says_nothing(tmp_path: Path, line: str, problem: str) -> None:
    path = write(pecos_folder(tmp_path) / "filter_labels_train.txt", f"0 0\n{line}\n0 1\n")
    assert error_of(tmp_path).startswith(f"{path}:2: {problem}")
