"""What any format writes is read as the same corpus, but for what it says that it leaves out."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from marking import mostly_slow

from xmlkit.data.corpus import Corpus, Labels, load_corpus
from xmlkit.data.formats import Format, formats
from xmlkit.data.ragged import Ragged
from xmlkit.data.writing import write_corpus
from xmlkit.errors import UserError

FORMATS = {format.NAME: format for format in formats()}
SOME = ("annif-tsv", "annif-folder", "csv", "jsonl", "parquet", "pecos", "xc-text")
BENIGN = st.text("abc", min_size=1, max_size=3)
HARSH = st.text("ab \t\r\n<>\\\"',;:é\u2028\x85\x1c\ufeff", min_size=1, max_size=5)


@st.composite
def corpora(draw, texts, labels) -> Corpus:
    """With ids, names, filters, a test split, labels that only test has, each of them or not."""
    some = st.lists(labels, max_size=3)
    trained = draw(st.lists(st.tuples(texts, some), min_size=1, max_size=4))
    trained.append((draw(texts), [draw(labels)]))
    tested = draw(st.none() | st.lists(st.tuples(texts, some), min_size=1, max_size=3))
    corpus = Corpus.of(*zip(*trained), *(zip(*tested) if tested else ()))
    known = corpus.labels
    if draw(st.booleans()):
        more = draw(st.lists(labels, max_size=2, unique=True).map(lambda ids: set(ids) - set(known.ids)))
        known = known.and_more(sorted(more))
        order = draw(st.permutations(range(len(known))))
        ids = [known.ids[row] for row in order]
        known = Labels(ids, draw(st.none() | st.tuples(*(texts.filter(bool) for _ in ids)).map(list)))
        if draw(st.booleans()):
            known = replace(known, alternatives=[("further",) for _ in ids])
        if draw(st.booleans()):
            known = replace(known, notations=["12.3" for _ in ids])
    splits = {}
    for name, split in corpus.splits.items():
        split = split.numbered_as(known)
        if draw(st.booleans()):
            ids = [f"id {row}" if draw(st.booleans()) else None for row in range(len(split))]
            split = replace(split, ids=ids if any(ids) else None)
        if draw(st.booleans()):
            split = replace(split, left_out=Ragged.of([[0]] * len(split)))
        if draw(st.booleans()):
            some = st.lists(
                st.sampled_from([0.25, 1.0, 3.0]),
                min_size=(count := len(split.labels.values)),
                max_size=count,
            )
            relevances = np.array(draw(some))
            split = replace(split, relevances=relevances if (relevances != 1).any() else None)
        splits[name] = split
    return replace(corpus, labels=known, **splits)


def content(corpus: Corpus, left_out: list[str] = ()) -> dict:
    """All of a corpus, without what lines of `write` say."""
    said = " ".join(left_out)

    def plain(text: str) -> str:
        return " ".join(text.split()) if "texts" in said else text

    labels = corpus.labels
    if "join the list" in said and corpus.test is not None:
        used = corpus.test.numbered_as(labels).labels.values
        labels = labels.and_more(
            [corpus.test.label_ids[row] for row in sorted({*used} - {*range(len(labels))})]
        )
    called = dict(zip(labels.ids, labels.ids))
    if "ids of labels" in said:
        called = {label: " ".join(labels.name(row).split()) or str(row) for label, row in labels.rows.items()}
    found: dict = {"labels": [called[label] for label in labels.ids]}
    if "names of labels that are left out" not in said:
        found["names"] = [
            (" ".join(labels.name(row).split()) or " ".join(called[label].split()))
            if "names" in said
            else labels.name(row)
            for label, row in labels.rows.items()
        ]
    if "further names" not in said:
        found["alternatives"] = labels.alternatives
    if "notations" not in said:
        found["notations"] = labels.notations
    for name, split in corpus.splits.items():
        found[name] = [
            (
                plain(text),
                sorted(called.get(name, name) for name in names),
                None if "ids" in said.replace("ids of labels", "") else id,
                () if "filters" in said else tuple(called.get(label, label) for label in filtered),
                "relevances" not in said
                and sorted(zip((called.get(name, name) for name in names), relevances or [1.0] * len(names))),
            )
            for text, names, id, filtered, _, relevances, _ in split.documents()
        ]
    return found


def named(corpus: Corpus, names: list[str]) -> Corpus:
    return replace(corpus, labels=replace(corpus.labels, names=names))


def again(corpus: Corpus, format: Format) -> tuple[Corpus, list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        left_out = write_corpus(corpus, Path(folder) / "new", format)
        assert [path.name for path in Path(folder).iterdir()] == ["new"]
        return load_corpus(Path(folder) / "new"), left_out


@pytest.mark.parametrize("first", mostly_slow(FORMATS, SOME))
@settings(max_examples=40)
@given(st.sampled_from(sorted(FORMATS)), corpora(st.text("abc ", max_size=8).map(str.strip), BENIGN))
def test_there_and_back_through_any_two(first: str, second: str, corpus: Corpus) -> None:
    once, lost = again(corpus, FORMATS[first])
    assert content(once, lost) == content(corpus, lost)
    assert once.format == first
    twice, lost = again(once, FORMATS[second])
    assert content(twice, lost) == content(once, lost)


@pytest.mark.parametrize("name", mostly_slow(FORMATS, SOME))
@settings(max_examples=60)
@given(corpora(st.just("") | HARSH, BENIGN) | corpora(HARSH, HARSH))
@example(named(Corpus.of(["a", "b"], [[":"], [": "]]), [":", ":"]))
def test_odd_characters_are_kept_refused_or_told_of(name: str, corpus: Corpus) -> None:
    try:
        once, lost = again(corpus, FORMATS[name])
    except UserError as error:
        assert "\n" not in str(error)
        return
    assert content(once, lost) == content(corpus, lost)
    assert again(once, FORMATS[name])[1] == []  # what was written needs no second cleaning


IDS = Corpus.of(["one\ttwo\nthree", "four"], [["x"], ["y"]])
IDS = replace(IDS, train=replace(IDS.train, ids=["7", None], left_out=Ragged.of([[0], []])))


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    names = {"jsonl": [], "lightxml": ["texts whose line feeds become spaces: 1"]}
    names["annif-tsv"] = ["texts whose tabs and line feeds become spaces: 1"]
    for name, lines in names.items():
        ids = [] if name == "jsonl" else ["ids of documents that are left out: 1"]
        filters = ["documents whose filters are left out: 1"]
        assert write_corpus(IDS, tmp_path / name, FORMATS[name]) == filters + ids + lines
    assert load_corpus(tmp_path / "jsonl").train.ids == ["7", None]
    assert load_corpus(tmp_path / "lightxml").train.texts == ["one\ttwo three", "four"]


def test_the_files_themselves(tmp_path: Path) -> None:
    """By hand, as others read them."""
    corpus = Corpus.of(["a text", ""], [["y", "x"], []], ["ü"], [["new"]])
    corpus = replace(corpus, labels=Labels(["x", "y"], ["an x", "y"]))
    for name in ("annif-tsv", "annif-csv", "annif-folder", "annif-jsonl", "csv", "lightxml", "jsonl"):
        numbered = ["documents whose ids become numbers: 3"] if name == "annif-folder" else []
        assert write_corpus(corpus, tmp_path / name, FORMATS[name]) == numbered
        assert (tmp_path / name / "labels.tsv").read_bytes() == b"<x>\tan x\n<y>\ty\n"
    assert (tmp_path / "annif-tsv/train.tsv").read_bytes() == b"a text\t<x> <y>\n\t\n"
    assert (tmp_path / "annif-tsv/test.tsv").read_bytes() == "ü\t<new>\n".encode()
    assert (tmp_path / "lightxml/train_raw_texts.txt").read_bytes() == b"a text\n\n"
    assert (tmp_path / "lightxml/train_labels.txt").read_bytes() == b"x y\n\n"
    assert (tmp_path / "annif-csv/train.csv").read_bytes() == b"text,subject_uris\r\na text,<x> <y>\r\n,\r\n"
    assert (tmp_path / "csv/train.csv").read_bytes() == b"text,labels\r\na text,x y\r\n,\r\n"
    assert (tmp_path / "annif-folder/train/00000001.tsv").read_bytes() == b"<x>\tan x\n<y>\ty\n"
    assert (tmp_path / "annif-folder/train/00000002.txt").read_bytes() == b""
    lines = (tmp_path / "annif-jsonl/train.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"text": "a text", "subjects": [{"uri": "x"}, {"uri": "y"}]},
        {"text": "", "subjects": []},
    ]
    lines = (tmp_path / "jsonl/train.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"text": "a text", "labels": ["x", "y"]},
        {"text": "", "labels": []},
    ]


@pytest.mark.parametrize(
    "name, label, expected",
    [
        ("annif-tsv", "a<b", "train document 2: the label 'a<b' has <, > or a line feed"),
        ("lightxml", "a b", "train document 2: the label 'a b' has white space"),
        ("jsonl", "a\tb", "the label 'a\\tb' has a tab or a line feed, which labels.tsv can't hold"),
    ],
)
def test_labels_that_cannot_be_written(tmp_path: Path, name: str, label: str, expected: str) -> None:
    corpus = Corpus.of(["one", "two"], [["x"], [label]])
    corpus = replace(corpus, labels=replace(corpus.labels, names=["some", "names"]))
    with pytest.raises(UserError) as caught:
        write_corpus(corpus, tmp_path / "new" / "out", FORMATS[name])
    assert expected in str(caught.value)
    assert not any((tmp_path / "new").iterdir())


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    for place in (tmp_path, tmp_path / "notes"):
        with pytest.raises(UserError, match="there is something already"):
            write_corpus(IDS, place, FORMATS["jsonl"])
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]
    (tmp_path / "empty").mkdir()
    write_corpus(IDS, tmp_path / "empty", FORMATS["jsonl"])
    assert load_corpus(tmp_path / "empty").files == (tmp_path / "empty" / "train.jsonl",)


def test_a_link_to_a_folder_is_followed_and_where_we_are_is_none_to_fill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(UserError, match="it is the current folder, which can't be replaced"):
        write_corpus(IDS, Path(), FORMATS["jsonl"])
    monkeypatch.chdir(tmp_path)
    write_corpus(IDS, Path("link"), FORMATS["jsonl"])
    assert load_corpus(tmp_path / "empty").train.ids == IDS.train.ids and (tmp_path / "link").is_symlink()
