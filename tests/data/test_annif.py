"""Annif's corpora and vocabularies, typed by hand as its documentation and its source (1.4) have them."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from xmlkit.data.asked import asked
from xmlkit.data.corpus import Corpus, Labels, load_corpus, load_split
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import annif_csv
from xmlkit.data.remarks import remarks
from xmlkit.errors import UserError

CATS, DOGS = "http://example.org/cats", "http://example.org/dogs"
LABELS = f"<{CATS}>\tcats\n<{DOGS}>\tdogs\n"


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return path


def documents(corpus: Corpus) -> list[tuple[str, list[str], str | None]]:
    return [(text, labels, id) for text, labels, id, *_ in corpus.train.documents()]


def error_of(folder: Path, dialect: Dialect | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_corpus(folder, dialect or Dialect())
    assert "\n" not in str(caught.value)
    return str(caught.value)


# CSV


@pytest.mark.parametrize("name", ["train.csv", "train.csv.gz"])
def test_csv(tmp_path: Path, name: str) -> None:
    write(
        tmp_path / name,
        "\ufeffdocument_id,title,text,subject_uris\r\n"
        f'd1,Cats,"about ""cats"",\r\nand dogs",<{CATS}> <{DOGS}>\r\n'
        f"\r\n,None,,{DOGS}  {CATS}\n"
        "d3,x,y,\n",
    )
    corpus = load_corpus(tmp_path)
    assert corpus.format == "annif-csv"
    assert documents(corpus) == [
        ('about "cats",\r\nand dogs', [CATS, DOGS], "d1"),
        ("", [CATS, DOGS], None),
        ("y", [], "d3"),
    ]
    selected = load_corpus(tmp_path, Dialect(text_columns=("title", "text")))
    assert selected.train.texts == ['Cats\nabout "cats",\r\nand dogs', "None", "x\ny"]
    assert error_of(tmp_path, Dialect(text_columns=("body",))) == (
        f"{tmp_path / name}: --text-column body: there is no such column; "
        "there are document_id, title, text, subject_uris"
    )


@pytest.mark.parametrize(
    "row, problem",
    [
        ("one", ":4: 1 cells, where the header has 2"),
        ("a,b,c", ":4: 3 cells, where the header has 2"),
        ("a,<>", ":4: an empty label <>"),
        ("a,<x>;<y>", ":4: subject_uris holds ';<y>' outside of <>; write <uri> <uri>"),
        ("a,x <y>", ":4: subject_uris holds 'x' outside of <>"),
        ("a,<x", ":4: subject_uris holds '<x' outside of <>"),
        ('a,"b', ":4: not valid CSV"),
        ('"a"b,c', ":4: not valid CSV"),
    ],
)
def test_bad_rows_of_csv(tmp_path: Path, row: str, problem: str) -> None:
    path = write(tmp_path / "train.csv", f'text,subject_uris\n"two\nlines",<x>\n{row}\n')
    assert error_of(tmp_path).startswith(f"{path}{problem}")


def test_a_bad_row_of_csv_is_skipped_alone(tmp_path: Path) -> None:
    rows = ["a,<x>"] * 10 + ['"a"b,c', "a", "last,<y>"] + ["a,<x>"] * 10
    write(tmp_path / "train.csv", "\n".join(["text,subject_uris", *rows]))
    assert load_corpus(tmp_path, Dialect(bad_lines="skip")).train.texts == ["a"] * 10 + ["last"] + ["a"] * 10


def test_each_line_that_a_stray_quote_swallows_is_a_bad_one(tmp_path: Path, capsys) -> None:
    """Lines 3 to 7: the quote of the first is closed by the one that opens the last."""
    bad = ['"a,<x>', *["a,<x>"] * 3, '"b" it says,<x>']
    path = write(tmp_path / "train.csv", "\n".join(["text,subject_uris", "a,<x>", *bad, *["a,<x>"] * 44]))
    assert error_of(tmp_path).startswith(f"{path}:3: not valid CSV")
    assert len(load_corpus(tmp_path, Dialect(bad_lines="skip")).train) == 45
    said = " ".join(capsys.readouterr().err.split())
    assert "5 of 50 documents were skipped" in said and "train.csv:4: in quotes since line 3" in said
    write(path, "\n".join(["text,subject_uris", *bad, *["a,<x>"] * 44]))
    assert "5 of 49 documents can't be read" in error_of(tmp_path, Dialect(bad_lines="skip"))


@pytest.mark.parametrize("lost", ["text", "subject_uris"])
def test_csv_that_lacks_a_column(tmp_path: Path, lost: str) -> None:
    path = write(tmp_path / "train.csv", "text,subject_uris\n".replace(lost, "topic"))
    with pytest.raises(UserError, match=f"{lost}: there is no such column; there are .*topic"):
        next(annif_csv.read((path,), Dialect()))


def test_a_text_longer_than_pythons_csv_takes(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", f"text,subject_uris\n{'x' * 200_000},<y>\n")
    assert len(load_corpus(tmp_path).train.texts[0]) == 200_000


def test_file_names_of_another_encoding(tmp_path: Path) -> None:
    """As a zip from elsewhere leaves them."""
    (tmp_path / "train").mkdir()
    write(tmp_path / "train" / "a.txt", "one")
    write(tmp_path / "train" / "a.tsv", "<x>")
    try:
        (tmp_path / "train" / os.fsdecode(b"b\xfc.txt")).write_text("two")
    except OSError:
        pytest.skip("such names can't be made here")
    assert "'b\\udcfc.txt': the file's name is not UTF-8; rename it" in error_of(tmp_path)


# JSON Lines


@pytest.mark.parametrize("name", ["train.jsonl", "train.jsonl.gz"])
def test_json_lines(tmp_path: Path, name: str) -> None:
    records = [
        {"text": "one", "document_id": "d1", "metadata": {"title": "T"}, "subjects": [{"uri": DOGS}]},
        {"text": "two", "subjects": [{"uri": CATS, "label": "never read"}, {"label": "dogs"}]},
        {"text": "", "metadata": {"title": "no text"}},
    ]
    write(tmp_path / name, "\n" + "\n \n".join(map(json.dumps, records)))
    write(tmp_path / "labels.tsv", LABELS)
    corpus = load_corpus(tmp_path)
    assert corpus.format == "annif-jsonl"
    assert documents(corpus) == [("one", [DOGS], "d1"), ("two", [CATS, DOGS], None), ("", [], None)]
    selected = load_corpus(tmp_path, Dialect(text_columns=("title", "text")))
    assert selected.train.texts == ["T\none", "two", "no text"]


def test_json_lines_of_metadata_alone(tmp_path: Path) -> None:
    """Their strings are text where they are chosen, as by Annif's transform `select`, and only then."""
    record = {"metadata": {"title": "T", "abstract": "A"}, "subjects": [{"uri": CATS}]}
    path = write(tmp_path / "train.jsonl", json.dumps(record))
    assert error_of(tmp_path).startswith(f'{path}:1: no "text"; metadata are read as such with --text-column')
    assert error_of(tmp_path).endswith("as in title,abstract")
    corpus = load_corpus(tmp_path, Dialect(text_columns=("abstract", "title", "other")))
    assert corpus.train.texts == ["A\nT"]


def test_json_lines_are_told_by_their_keys(tmp_path: Path) -> None:
    for number, (record, format) in enumerate(
        [
            ({"text": "a", "labels": ["x"], "metadata": {}}, "jsonl"),
            ({"text": "a", "subjects": [{"uri": "x"}]}, "annif-jsonl"),
        ]
    ):
        write(
            tmp_path / str(number) / "train.jsonl", '{"text": "first", "labels": []}\n' * (format == "jsonl")
        )
        with (tmp_path / str(number) / "train.jsonl").open("a") as file:
            file.write(json.dumps(record))
        assert load_corpus(tmp_path / str(number)).format == format
        split = load_split(tmp_path / str(number) / "train.jsonl", Labels(["x"], None))
        assert split.labels[len(split) - 1].tolist() == [0]


@pytest.mark.parametrize(
    "record, problem",
    [
        ('{"text": 1, "subjects": []}', '"text" is not a string but a number'),
        ('{"text": "a", "subjects": {}}', '"subjects" is not a list but an object'),
        ('{"text": "a", "subjects": ["x"]}', '"subjects" holds a string'),
        ('{"text": "a", "subjects": [{}]}', '"subjects" holds an object'),
        ('{"text": "a", "subjects": [{"uri": ""}]}', '"uri" of a subject is no text'),
        ('{"text": "a", "metadata": {"year": 1}}', '"metadata" is no object of strings'),
        ('{"text": "a", "document_id": 1}', '"document_id" is not a string'),
        ('{"text": "\\ud800", "subjects": []}', "half of a surrogate pair"),
        ('{"text": "a", "subjects": [{"label": "mice"}]}', "the label 'mice' comes by its name: no label in"),
        ("[]", "not an object"),
        ('{"text": ', "not valid JSON (Expecting value at column 10)"),
    ],
)
def test_bad_json_lines(tmp_path: Path, record: str, problem: str) -> None:
    path = write(tmp_path / "train.jsonl", f'{{"text": "a", "subjects": [{{"uri": "x"}}]}}\n\n{record}\n')
    write(tmp_path / "labels.tsv", LABELS)
    assert error_of(tmp_path).startswith(f"{path}:3: {problem}")


# Labels by name


def test_names_that_several_labels_have_or_none(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", '{"text": "a", "subjects": [{"label": "cats"}]}\n')
    assert "'cats' comes by its name: add a vocabulary" in error_of(tmp_path)
    write(tmp_path / "labels.tsv", "<a>\tcats\n<b>\tcats\n")
    assert error_of(tmp_path) == (
        f"{path}:1: the label 'cats' comes by its name: a and b are called so; give the id"
    )
    write(tmp_path / "labels.tsv", "<a>\tcats\n<b>\tdogs\n")
    assert load_split(path, load_corpus(tmp_path).labels).labels[0].tolist() == [0]
    assert load_split(tmp_path, Labels(["z", "c"], ["z", "cats"]), "train").labels[0].tolist() == [1]


def test_names_where_ids_should_be(tmp_path: Path) -> None:
    """As a spreadsheet has them, beside a vocabulary; an id goes before a name, and who is unknown stays."""
    path = write(tmp_path / "train.csv", "text,labels\none,cats;b\ntwo,a;mice\nthree,dogs\n")
    write(tmp_path / "labels.tsv", "<a>\tcats\n<b>\ta\n<c>\tdogs\n<d>\tdogs\n")
    parted = Dialect(label_separator=";", labels_by_name=True)
    with pytest.raises(UserError) as told:
        load_corpus(tmp_path, parted)
    assert (
        str(told.value) == f"{path}: the label 'dogs' comes by its name: c and d are called so; give the id"
    )
    write(tmp_path / "labels.tsv", "<a>\tcats\n<b>\ta\n<c>\tdogs\n")
    corpus = load_corpus(tmp_path, parted)
    assert [labels for _, labels, *_ in corpus.train.documents()] == [["a", "b"], ["a", "mice"], ["c"]]
    assert corpus.labels.ids == ["a", "b", "c", "mice"]
    assert load_split(path, corpus.labels, dialect=parted).labels[2].tolist() == [2]
    by_id = load_corpus(tmp_path, Dialect(label_separator=";"))
    assert by_id.labels.ids == ["a", "b", "c", "cats", "dogs", "mice"]
    advice = "2 of 5 labels of documents are called as others in the list of labels, as 'cats'"
    assert any(line.startswith(advice) for line in remarks(by_id)) and not remarks(corpus)
    (tmp_path / "labels.tsv").unlink()
    assert "--labels-by-name is not heeded: there is no list of labels" in remarks(
        load_corpus(tmp_path, parted)
    )


def test_unknown_names_are_bad_lines(tmp_path: Path) -> None:
    lines = ['{"text": "a", "subjects": [{"label": "cats"}]}'] * 10
    write(tmp_path / "train.jsonl", "\n".join([*lines, '{"text": "b", "subjects": [{"label": "mice"}]}']))
    write(tmp_path / "labels.tsv", LABELS)
    assert load_corpus(tmp_path, Dialect(bad_lines="skip")).train.texts == ["a"] * 10


# Full-text folders


def test_full_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "labels.tsv", LABELS)
    train = tmp_path / "train"
    write(train / "b.txt", "\ufefftwo\r\n\tlines\n")
    write(train / "b.tsv", f"<{DOGS}>\tany name\n\n<{CATS}>\ncats\tnot this\n")
    write(train / "a.txt", "by key")
    write(train / "a.key", "dogs\n\n cats \n")
    write(train / "c.txt.gz", "")
    write(train / "c.tsv.gz", "")
    write(train / "d.txt", "no subjects")
    write(train / "a.json", json.dumps({"text": "JSON", "subjects": [{"label": "cats"}]}, indent=1))
    write(train / "README.md", "nothing")
    corpus = load_corpus(tmp_path)
    assert corpus.format == "annif-folder"
    assert documents(corpus) == [
        ("by key", [CATS, DOGS], "a"),
        ("two\r\n\tlines\n", [CATS, DOGS], "b"),
        ("", [], "c"),
        ("no subjects", [], "d"),
        ("JSON", [CATS], "a"),
    ]
    assert "1 texts have no .tsv or .key beside them" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name, content, problem",
    [
        ("x.key", "cats\nmice\n", "x.key:2: the label 'mice' comes by its name: no label"),
        ("x.tsv", "<>\tnothing\n", "x.tsv:1: an empty label <>"),
        ("y.json", '{"text":\n ?}', "y.json: not valid JSON (Expecting value at line 2, column 2)"),
        ("y.json", '{"subjects": []}', 'y.json: no "text"'),
    ],
)
def test_bad_full_texts(tmp_path: Path, name: str, content: str, problem: str) -> None:
    write(tmp_path / "labels.tsv", LABELS)
    write(tmp_path / "train/x.txt", "text")
    write(tmp_path / "train" / name, content)
    assert error_of(tmp_path).startswith(f"{tmp_path}/train/{problem}")


def test_a_full_text_of_another_encoding_is_one_bad_document(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path / f"train/{number:02}.txt", "text")
        write(tmp_path / f"train/{number:02}.tsv", "<x>")
    (tmp_path / "train/07.txt").write_bytes(b"caf\xe9")
    assert error_of(tmp_path).startswith(f"{tmp_path}/train/07.txt:1: not valid UTF-8")
    assert len(load_corpus(tmp_path, Dialect(bad_lines="skip")).train) == 19


def test_json_of_another_encoding_is_one_bad_document(tmp_path: Path) -> None:
    for number in range(20):
        record = {"text": "text", "subjects": [{"uri": "x"}]}
        write(tmp_path / f"train/{number:02}.json", json.dumps(record))
    (tmp_path / "train/07.json").write_bytes(b'{"text": "caf\xe9"}')
    assert error_of(tmp_path).startswith(f"{tmp_path}/train/07.json:1: not valid UTF-8")
    assert len(load_corpus(tmp_path, Dialect(bad_lines="skip")).train) == 19


def test_hidden_files_are_no_documents_and_a_packed_copy_is_none_more(tmp_path: Path, capsys) -> None:
    for name in ("a.txt", "a.txt.gz", "._a.txt", ".b.json"):
        write(tmp_path / "train" / name, "text")
    write(tmp_path / "train/a.tsv", "<x>")
    assert documents(load_corpus(tmp_path)) == [("text", ["x"], "a")]
    assert "a.txt is read, and a.txt.gz beside it is not" in " ".join(capsys.readouterr().err.split())


def test_a_text_beside_another_format_is_no_document(tmp_path: Path) -> None:
    """In `train`, a folder that is a corpus too: `train` of one format, `LICENSE.txt` of none."""
    write(tmp_path / "train.tsv", "text\t<x>\n")
    write(tmp_path / "train/LICENSE.txt", "do as you like")
    assert load_corpus(tmp_path).format == "annif-tsv"
    write(tmp_path / "train/LICENSE.key", "x")
    assert "are two formats of one split" in error_of(tmp_path)


def test_texts_to_be_labelled_need_no_subjects(tmp_path: Path) -> None:
    write(tmp_path / "test/a.txt", "alone")
    assert [document.text for document in asked(str(tmp_path), None, Dialect())] == ["alone"]


# Vocabularies


def corpus_with(folder: Path, name: str, content: str, dialect: Dialect | None = None) -> Labels:
    write(folder / "train.tsv", f"text\t<{DOGS}>\n")
    write(folder / name, content)
    return load_corpus(folder, dialect or Dialect()).labels


def test_tsv_vocabulary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = f"<{CATS}>\tcats\t59.9\n{DOGS}\tdogs\n<http://example.org/old>\n<old2>\t\t12\n\n"
    labels = corpus_with(tmp_path, "labels.tsv", content)
    assert (labels.ids, labels.names, labels.notations) == ([CATS, DOGS], ["cats", "dogs"], ["59.9", None])
    assert "2 labels have no name, and count where documents have them" in capsys.readouterr().err


def test_a_label_that_is_not_in_use_any_more_but_has_a_document(tmp_path: Path) -> None:
    labels = corpus_with(tmp_path, "labels.tsv", f"<{DOGS}>\n<{CATS}>\tcats\n")
    assert (labels.ids, labels.names) == ([CATS, DOGS], ["cats", DOGS])


TWO = f"uri,label_en,label_fi,notation\n{CATS},cats,kissat,1\n<{DOGS}>,,koirat,\nold,,,\n"


def test_csv_vocabulary(tmp_path: Path) -> None:
    fi = corpus_with(tmp_path, "labels.csv", TWO, Dialect(language="fi"))
    assert (fi.ids, fi.names, fi.notations) == ([CATS, DOGS], ["kissat", "koirat"], ["1", None])
    en = load_corpus(tmp_path, Dialect(language="en")).labels
    assert (en.ids, en.names) == ([CATS, DOGS], ["cats", DOGS])
    assert error_of(tmp_path) == (
        f"{tmp_path}/labels.csv: names in 2 languages; choose one with --language: en, fi"
    )
    assert "--language de: no names in it; there are en, fi" in error_of(tmp_path, Dialect(language="de"))
    one = corpus_with(tmp_path, "labels.csv", f"uri,label_en\n{DOGS},dogs\n")
    assert (one.names, one.notations) == (["dogs"], None)


@pytest.mark.parametrize(
    "content, problem",
    [
        ("id,name\na,b\n", ":1: no column uri or none for names"),
        ("uri,label_en\n,x\n", ":2: an empty uri"),
        ("uri,label_en\na,x\n<a>,y\n", ":3: label a is listed twice"),
        ("uri,label_en\na\n", ":2: 1 cells"),
        ("uri,uri,label_en\na,a,b\n", ":1: the column 'uri' is there twice"),
    ],
)
def test_bad_csv_vocabularies(tmp_path: Path, content: str, problem: str) -> None:
    write(tmp_path / "train.tsv", "text\t<x>\n")
    write(tmp_path / "labels.csv", content)
    assert error_of(tmp_path).startswith(f"{tmp_path}/labels.csv{problem}")


def test_two_vocabularies(tmp_path: Path) -> None:
    write(tmp_path / "labels.csv", TWO)
    write(tmp_path / "train.tsv", "text\t<x>\n")
    write(tmp_path / "labels.tsv", LABELS)
    assert error_of(tmp_path).endswith("labels.csv and labels.tsv are two lists of labels; keep one of them")
