"""Scores from elsewhere in an ensemble: evidence by hand, files of both layouts, and what goes wrong."""

from __future__ import annotations

import gzip
import json
import re

import numpy as np
import pytest

from xmlkit.blend.kinds.scores import Scores
from xmlkit.blend.member import Making
from xmlkit.blend.scored import read_scores
from xmlkit.blend.towers import Towers
from xmlkit.data.corpus import Corpus
from xmlkit.errors import UserError
from xmlkit.testing.tiny import named_corpus

LEAST = np.float32(np.log(1e-6))
CORPUS = Corpus.of(
    ["red sky", "green sea", "blue sea", "no colour"], [["red"], ["green", "sea"], ["blue", "sea"], ["red"]]
)  # rows: blue 0, green 1, red 2, sea 3
HELD_OUT = np.array([True, True, False, False])
JSONL = re.escape('; write {"text": "...", "labels": [{"label": "...", "score": 0 to 1}, ...]}')
SAID = [("red sky", [("red", 0.5), ("sea", 0.125)]), ("green sea", [("sea", 0.25), ("green", 0.75)])]


def write(path, said=SAID):
    """Texts with their labels' scores, in the layout that the name says."""
    if ".jsonl" in path.name:
        lines = [
            json.dumps({"text": text, "labels": [{"label": k, "name": k, "score": v} for k, v in scores]})
            for text, scores in said
        ]
    else:
        lines = [f"{text}\t{label}\t{score}" for text, scores in said for label, score in scores]
    with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
        file.writelines(f"{line}\n" for line in lines)
    return path


def make(path, corpus=CORPUS, held_out_N=HELD_OUT):
    return Scores.make(str(path), Making(corpus, held_out_N, Towers()))


def refused(path, line):
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}{line}$"):
        dict(read_scores(path))


# ------------------------------------------------------------------------------------------ by hand


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.tsv", "a.tsv.gz"])
def test_evidence_is_the_logarithm_of_a_score_and_the_floor_lies_below_the_smallest(tmp_path, name):
    found = make(write(tmp_path / name)).candidates(["green sea", "blue sea", "red sky"], 3)
    assert found.ids_NK.tolist() == [[1, 3, -1], [-1, -1, -1], [2, 3, -1]]
    expected = [[np.log(0.75), np.log(0.25), LEAST], [LEAST] * 3, [np.log(0.5), np.log(0.125), LEAST]]
    np.testing.assert_allclose(found.evidence_NK, expected, rtol=1e-6)
    np.testing.assert_allclose(found.floor_N, [np.log(0.25) - 1, LEAST, np.log(0.125) - 1], rtol=1e-6)
    assert (found.ids_NK.dtype, found.evidence_NK.dtype, found.floor_N.dtype) == ("i8", "f4", "f4")


def test_scores_of_nothing_and_of_certainty(tmp_path):
    member = make(write(tmp_path / "a.tsv", [("red sky", [("red", 1), ("sea", 0), ("blue", 1e-30)])]))
    found = member.candidates(["red sky"], 3)
    assert found.ids_NK.tolist() == [[2, 0, 3]]
    np.testing.assert_array_equal(found.evidence_NK, [[0, LEAST, LEAST]])
    assert found.floor_N.tolist() == [np.float32(LEAST - 1)]


def test_the_best_are_named_and_the_floor_lies_below_all(tmp_path):
    path = write(
        tmp_path / "a.tsv", [("red sky", [("sea", 0.25), ("red", 0.5), ("blue", 0.125), ("green", 0.5)])]
    )
    found = make(path).candidates(["red sky"], 2)
    assert found.ids_NK.tolist() == [[1, 2]]  # of equal scores the first label first
    np.testing.assert_allclose(found.floor_N, np.log([0.125]) - 1, rtol=1e-6)


def test_no_texts_no_candidates(tmp_path):
    found = make(write(tmp_path / "a.tsv")).candidates([], 2)
    assert found.ids_NK.shape == found.evidence_NK.shape == (0, 2) and found.floor_N.shape == (0,)


@pytest.mark.parametrize("name", ["a.jsonl", "a.tsv"])
def test_white_space_does_not_count(tmp_path, name):
    member = make(write(tmp_path / name, [(" red   sky ", [("red", 0.5)])]))
    assert member.candidates(["red sky", "red\u00a0\n sky", "redsky"], 1).ids_NK.tolist() == [[2], [2], [-1]]


def test_the_last_line_counts(tmp_path):
    """Of jsonl the last one about a text, of tsv the last one about a text and a label."""
    said = [("red sky", [("red", 0.5), ("sea", 0.5)]), ("red sky", [("red", 0.25)])]
    assert dict(read_scores(write(tmp_path / "a.jsonl", said))) == {"red sky": {"red": 0.25}}
    assert dict(read_scores(write(tmp_path / "a.tsv", said))) == {"red sky": {"red": 0.25, "sea": 0.5}}


def test_blank_lines_are_passed_over(tmp_path):
    (tmp_path / "a.tsv").write_text("\nred sky\tred\t0.5\n \n")
    (tmp_path / "a.jsonl").write_text('\n{"text": "red sky", "labels": [{"label": "red", "score": 0.5}]}\n\n')
    for name in ("a.tsv", "a.jsonl"):
        assert dict(read_scores(tmp_path / name)) == {"red sky": {"red": 0.5}}


# ------------------------------------------------------------------------------------------ made and kept


def test_it_says_how_many_held_out_documents_have_scores(tmp_path, capsys):
    path = write(tmp_path / "a.jsonl", SAID[:1])
    make(path)
    assert capsys.readouterr().err.splitlines() == [
        f"scores:{path}: 1 of 2 held-out documents have scores",
        f"scores:{path}: whether it learnt from held-out documents can't be checked: see that it didn't",
    ]


def test_labels_that_the_corpus_does_not_know_are_passed_over(tmp_path, capsys):
    said = [("red sky", [("rose", 1), ("red", 0.5), ("pink", 0.9)]), ("green sea", [("rose", 0.5)])]
    path = write(tmp_path / "a.tsv", said)
    found = make(path).candidates(["red sky", "green sea"], 2)
    assert found.ids_NK.tolist() == [[2, -1], [-1, -1]]
    np.testing.assert_allclose(found.floor_N, [np.log(0.5) - 1, LEAST], rtol=1e-6)
    first = capsys.readouterr().err.splitlines()[0]
    assert first == (
        f"scores:{path}: 1 of 2 held-out documents have scores; labels that the corpus doesn't know: 2, "
        "such as 'pink'"
    )


@pytest.mark.parametrize("name", ["a.jsonl", "a.tsv.gz"])
def test_saved_and_opened_it_says_the_same(tmp_path, name):
    corpus = named_corpus()
    random = np.random.default_rng(0)
    said = []
    for text in corpus.train.texts[:50]:
        labels = random.permutation([*corpus.labels.ids, "stranger"])[: random.integers(0, 9)]
        said.append((text, [(str(label), random.random()) for label in labels]))
    path = write(tmp_path / name, said)
    member = make(path, corpus, np.ones(len(corpus.train), bool))
    before = member.candidates(corpus.train.texts, 5)
    (tmp_path / "one").mkdir()
    member.save(tmp_path / "one")
    path.unlink()
    moved = (tmp_path / "one").rename(tmp_path / "other")
    again = Scores.open(moved, corpus.labels, Towers())
    after = again.candidates(corpus.train.texts, 5)
    np.testing.assert_array_equal(after.ids_NK, before.ids_NK)
    np.testing.assert_array_equal(after.evidence_NK, before.evidence_NK)
    np.testing.assert_array_equal(after.floor_N, before.floor_N)
    assert (before.ids_NK >= 0).any(1).sum() > 30
    # Saved again it is the same file, to the byte.
    (tmp_path / "third").mkdir()
    again.save(tmp_path / "third")
    (kept,) = moved.iterdir()
    assert kept.read_bytes() == (tmp_path / "third" / kept.name).read_bytes()


# ------------------------------------------------------------------------------------------ what goes wrong


def test_no_held_out_document_has_scores(tmp_path):
    path = write(tmp_path / "a.tsv", [("blue sea", [("blue", 0.5)]), ("red sky", [("rose", 0.5)])])
    line = (
        f"^scores:{re.escape(str(path))}: 0 of 2 held-out documents have scores; labels that the corpus "
        "doesn't know: 1, such as 'rose'; have that system label them, too$"
    )
    with pytest.raises(UserError, match=line):
        make(path)


def test_no_file():
    line = r"^scores: no file; write scores:FILE, with a \.jsonl or \.tsv file$"
    with pytest.raises(UserError, match=line):
        make("")


def test_a_file_that_is_not_there(tmp_path):
    refused(tmp_path / "a.jsonl", r": cannot be read \(No such file or directory\); check the file")


def test_another_kind_of_file(tmp_path):
    path = tmp_path / "a.csv"
    refused(path, r": neither a \.jsonl nor a \.tsv file \(or \.gz added\); name another")


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("red sky\tred", "2 cells; a line is: text TAB label TAB score"),
        ("1\tred\tred\t0.5", "4 cells; a line is: text TAB label TAB score"),
        ("red sky\tred\thigh", "the score 'high' is not a number; write one from 0 to 1"),
        ("red sky\tred\t", "the score '' is not a number; write one from 0 to 1"),
        ("red sky\tred\t1.5", "the score '1.5' is not from 0 to 1; scale all of them"),
        ("red sky\tred\t-0.1", "the score '-0.1' is not from 0 to 1; scale all of them"),
        ("red sky\tred\tnan", "the score 'nan' is not from 0 to 1; scale all of them"),
        ("red sky\tred\tinf", "the score 'inf' is not from 0 to 1; scale all of them"),
    ],
)
def test_a_line_of_tsv_that_is_wrong(tmp_path, line, wrong):
    path = tmp_path / "a.tsv"
    path.write_text(f"green sea\tsea\t0.5\n{line}\n")
    refused(path, f":2: {re.escape(wrong)}")


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ('{"labels": []}', "text: Field required"),
        ('{"text": "red sky"}', "labels: Field required"),
        ('{"text": 7, "labels": []}', "text: Input should be a valid string"),
        ('{"text": "a", "labels": ["red"]}', "labels.0: Input should be an object"),
        ('{"text": "a", "labels": [{"score": 1}]}', "labels.0.label: Field required"),
        (
            '{"text": "a", "labels": [{"label": 7, "score": 1}]}',
            "labels.0.label: Input should be a valid string",
        ),
    ],
)
def test_a_line_of_jsonl_that_is_wrong(tmp_path, line, wrong):
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "green sea", "labels": []}}\n{line}\n')
    refused(path, f":2: {re.escape(wrong)}{JSONL}")


@pytest.mark.parametrize(
    ("score", "wrong"),
    [
        ("1.5", "Input should be less than or equal to 1"),
        ("-0.1", "Input should be greater than or equal to 0"),
        ("NaN", "Input should be a finite number"),
        ('"0.5"', "Input should be a valid number"),
        ("true", "Input should be a valid number"),
        ("null", "Input should be a valid number"),
    ],
)
def test_a_score_of_jsonl_that_is_wrong(tmp_path, score, wrong):
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "red sky", "labels": [{{"label": "red", "score": {score}}}]}}\n')
    refused(path, f":1: labels\\.0\\.score: {wrong}{JSONL}")


def test_what_is_no_json(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("red sky\n")
    refused(path, f":1: the line: Invalid JSON: .*{JSONL}")


def test_a_damaged_gzip_file(tmp_path):
    path = write(tmp_path / "a.tsv.gz")
    path.write_bytes(path.read_bytes()[:-4])
    refused(path, ": damaged gzip file after line .*; copy it again")
