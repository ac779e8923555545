"""`xmlkit evaluate` of what is assigned, and as Annif would."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from commands import QUICK, xmlkit
from rich.console import Console

import xmlkit as library
from xmlkit.cli.display import members_table
from xmlkit.cli.evaluate import remark_on_limit
from xmlkit.data.corpus import load_split
from xmlkit.data.ragged import Ragged
from xmlkit.measures.cut import Cut
from xmlkit.measures.scoring import Ranking


def cells(out, name):
    (row,) = [line for line in out.splitlines() if line.startswith(f"│ {name} ")]
    return row.replace("│", " ").split()[1:]


def assigned(place, top_k, threshold):
    """The labels of each test document that predictions give, and the true ones."""
    out, _ = xmlkit(
        *["predict", "run", "texts", "--top-k", top_k, "--threshold", threshold, "--format", "jsonl"],
        cwd=place,
        path=place / "site",
    )
    return [{label["label"] for label in json.loads(line)["labels"]} for line in out.splitlines()]


@pytest.fixture(scope="module")
def truth(place):
    split = load_split(place / "corpus", library.Corpus.of(["a"], [["w3"]]).labels)
    (place / "texts").write_text("".join(f"{text}\n" for text in split.texts))
    return [{split.label_ids[label] for label in split.labels[row]} for row in range(len(split))]


def test_a_run_that_was_trained_on_one_file(place, tmp_path):
    where = {"cwd": tmp_path, "path": place / "site"}
    documents = load_split(place / "corpus", library.Corpus.of(["a"], [["w3"]]).labels, "train")
    rows = [
        f"{text};{documents.label_ids[documents.labels[row][0]]}" for row, text in enumerate(documents.texts)
    ]
    (tmp_path / "mine.csv").write_text("\n".join(["text;labels", *rows]))
    _, err = xmlkit("train", "mine.csv", "--encoder", "none", "--plugin", "lexical", *QUICK, **where)
    assert "run: runs/mine" in err
    _, err = xmlkit("evaluate", "runs/mine", code=1, **where)
    assert err == (
        f"error: {tmp_path / 'mine.csv'}: one file of training documents has no test split; "
        "name test documents, or part some from train: xmlkit data split\n"
    )
    out, _ = xmlkit("evaluate", "runs/mine", "mine.csv", **where)
    assert f"runs/mine on mine.csv, {len(rows)} documents" in out


def test_a_threshold_a_limit_and_each_label(place, truth, tmp_path):
    where = {"cwd": place, "path": place / "site"}
    options = ["--threshold", "0.2", "--limit", "3", "--deciles", "--per-label", tmp_path / "each.tsv"]
    plain, _ = xmlkit("evaluate", "run", **where)
    out, err = xmlkit("evaluate", "run", *options, **where)
    assert out.startswith(plain)  # what was there is there, and as it was
    given = assigned(place, 3, 0.2)
    right = sum(len(some & true) for some, true in zip(given, truth, strict=True))
    all_given, all_true = sum(map(len, given)), sum(map(len, truth))
    expected = (right / all_given, right / all_true, 2 * right / (all_given + all_true))
    assert cells(out, "micro") == [f"{100 * value:.2f}" for value in expected]
    assert f"{all_given / len(truth):.2f} labels a document" in out and "F1@5" in out
    with (tmp_path / "each.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert sum(int(row["support"]) for row in rows) == all_true and f"{len(rows)} labels" in err
    assert sum(int(row["true_positives"]) for row in rows) == right
    assert sum(int(row["false_positives"]) for row in rows) == all_given - right
    one = next(row for row in rows if row["label"] == "w3")
    assert one["name"] == "word w3" and int(one["support"]) == sum("w3" in true for true in truth)
    macro = sum(float(row["F1"]) for row in rows) / len(rows)
    assert float(cells(out, "macro")[2]) == pytest.approx(macro, abs=0.02)
    parts = [line for line in out.splitlines() if line.startswith("│") and "micro-P" not in line][-10:]
    assert sum(int(line.replace("│", "|").split("|")[2]) for line in parts) == len(rows)


def test_a_limit_that_nobody_asked_for_is_told_of(capsys):
    ids_NK = np.array([[0, 1, 2], [2, 1, 0], [1, -1, -1]])
    scores_NK = np.array([[0.9, 0.8, 0.5], [0.7, 0.3, 0.1], [0.6, 0.0, 0.0]])
    ranking = Ranking(scores_NK, ids_NK, Ragged.of([[0], [1], [2]]))
    remark_on_limit(ranking, Cut(0.5, 3))
    assert "1 documents have 3 labels or more above the threshold" in capsys.readouterr().err
    remark_on_limit(ranking, Cut(0.6, 3))
    remark_on_limit(ranking, Cut(0.0, 50))  # there are no more labels
    assert capsys.readouterr().err == ""


def test_as_annif_prints_it(place, truth):
    out, _ = xmlkit("evaluate", "run", "--annif", cwd=place, path=place / "site")
    found = dict(line.split(":") for line in out.splitlines())
    figures = {name: value.strip() for name, value in found.items()}
    given = assigned(place, 10, 0)  # as many as annif eval looks at
    right = sum(len(some & true) for some, true in zip(given, truth, strict=True))
    assert figures["True positives"] == str(right) and figures["Documents evaluated"] == str(len(truth))
    shares = [len(some & true) / len(some) for some, true in zip(given, truth, strict=True)]
    assert figures["Precision (doc avg)"] == f"{sum(shares) / len(shares):.04f}"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["evaluate", "run", "--per-label", "each.tsv"], "what is assigned? add --limit 5"),
        (["evaluate", "run", "--deciles"], "or first: xmlkit threshold run"),
        (["evaluate", "run", "--annif", "--deciles"], "leave out --per-label and --deciles"),
        (
            ["evaluate", "run", "--limit", "5", "--per-label", "nowhere/each.tsv"],
            "nowhere/each.tsv: no such folder",
        ),
        (
            ["predict", "run", "--threshold", "high"],
            "--threshold high: expected a number from 0 to 1, or auto",
        ),
        (["predict", "run", "--threshold", "nan"], "--threshold nan: expected a number from 0 to 1, or auto"),
        (["predict", "nowhere", "--threshold", "auto"], "nowhere is not a run"),
        (["predict", "run", "--labels", "nowhere.txt"], "nowhere.txt: no such file"),
        (["threshold", "encoder"], "encoder is not a run"),
    ],
)
def test_mistakes(place, arguments, expected):
    _, err = xmlkit(*arguments, stdin="w3\n", cwd=place, path=place / "site", code=1)
    assert expected in " ".join(err.split())


def test_only_these_labels(place, tmp_path):
    (tmp_path / "some.txt").write_text("w7\nw3\nw999\n")
    where = {"cwd": place, "path": place / "site", "stdin": "w55 w3 w44\n"}
    command = ["predict", "run", "--format", "jsonl"]
    out, err = xmlkit(*command, "--labels", tmp_path / "some.txt", **where)
    assert [label["label"] for label in json.loads(out)["labels"]] == ["w3", "w7"]
    assert "1 of 3 labels are unknown to the model, such as 'w999'" in " ".join(err.split())
    out, _ = xmlkit(*command, "--without", tmp_path / "some.txt", **where)
    found = [label["label"] for label in json.loads(out)["labels"]]
    assert len(found) == 5 and not {"w3", "w7"} & set(found)


def test_a_members_name_is_shown_as_it_is():
    """A comparison's folders have brackets, which rich takes for styles."""
    name = "se[reduction=4]/seed-0 [/x]"
    file = io.StringIO()
    Console(file=file, width=200).print(members_table([(name, {"P@1": 1.0})], {"P@1": 2.0}))
    assert name in file.getvalue()
