"""`xmlkit predict`."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from dataclasses import fields

import pytest
import tiny
from commands import QUICK, XMLKIT, xmlkit

from xmlkit import train
from xmlkit.blend.load import load
from xmlkit.cli.options import Read
from xmlkit.cli.predict import predict as predict_command
from xmlkit.errors import UserError
from xmlkit.inference import predict as inference


def test_predict_in_three_layouts(place):
    texts = "w55 w3 w44\n\nw7 w50 w51\n"
    where = {"cwd": place, "path": place / "site"}
    out, _ = xmlkit("predict", "run", "--top-k", "2", stdin=texts, **where)
    first, second, third = out.rstrip("\n").split("\n\n")
    assert first.splitlines()[0] == "w55 w3 w44" and first.splitlines()[1].endswith("word w3")
    assert second.splitlines()[0] == "" and len(second.splitlines()) == 3  # the empty text has its line
    assert third.splitlines()[1].endswith("word w7")
    out, _ = xmlkit("predict", "run", "-", "--format", "jsonl", "--threshold", "0.5", stdin=texts, **where)
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["text"] for record in records] == ["w55 w3 w44", "", "w7 w50 w51"]
    assert [record["labels"][0]["label"] for record in (records[0], records[2])] == ["w3", "w7"]
    assert records[1]["labels"] == []
    assert all(found["score"] >= 0.5 for record in records for found in record["labels"])
    with gzip.open(place / "texts.gz", "wt") as file:
        file.write(texts)
    out, _ = xmlkit("predict", "run", "texts.gz", "--format", "tsv", "--top-k", "1", **where)
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[0] for row in rows] == ["1", "2", "3"] and rows[0][1:3] == ["w3", "word w3"]
    assert all(0 <= float(row[3]) <= 1 for row in rows)


def test_a_run_without_an_encoder_waits_for_no_import_of_trainings(tmp_path):
    settings = {"encoder": "none", "plugins": ["lexical"], "lexical": {"buckets": 64, "width": 8}}
    train(tiny.learnable_corpus(), {**settings, "epochs": 1, "device": "cpu"}, tmp_path / "run")
    code = "import sys, xmlkit; xmlkit.load(sys.argv[1]).predict(['w1']); print('scipy' in sys.modules)"
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "False\n"


def test_the_precision_can_be_chosen_anew(place):
    """For `evaluate` likewise; scores differ in their last digits."""
    asked = {"cwd": place, "path": place / "site", "stdin": "w55 w3 w44\n"}
    said = {}
    for precision in ("float32", "bfloat16"):
        out, _ = xmlkit("predict", "run", "--precision", precision, "--format", "jsonl", **asked)
        said[precision] = {one["label"]: one["score"] for one in json.loads(out)["labels"]}
    full, rounded = said.values()
    shared = full.keys() & rounded.keys()
    assert "w3" in shared and any(full[label] != rounded[label] for label in shared)
    assert all(full[label] == pytest.approx(rounded[label], abs=0.05) for label in shared)
    for command in (["predict", "run"], ["evaluate", "run"], ["serve", "run"]):
        _, err = xmlkit(*command, "--precision", "int8", code=2, **asked)
        assert "'int8' is not one of 'auto', 'float32', 'bfloat16'" in err and err.count("\n") == 1
    with pytest.raises(UserError, match=r"^precision='half': choose one of auto, float32, bfloat16$"):
        load(place / "run", "half")


@pytest.fixture(scope="module")
def odd_run(place, tmp_path_factory):
    """A run whose labels would colour a terminal, and are not ASCII."""
    folder = tmp_path_factory.mktemp("odd")
    names = {"w1": "\x1b]0;title\x07red", "w2": "\x9b31mgrün", "w3": "Straße"}
    lines = "".join(f"{'w1 w2 w3'[3 * (i % 3) :][:2]}\tw{i % 3 + 1}\n" for i in range(60))
    (folder / "corpus").mkdir()
    for split in ("train", "test"):
        (folder / "corpus" / f"{split}.tsv").write_text(lines)
    table = "".join(f"{label}\t{name}\n" for label, name in names.items())
    (folder / "corpus" / "labels.tsv").write_text(table, newline="")
    settings = [*QUICK, "--set", "epochs=1", "--encoder", place / "encoder"]
    out, err = xmlkit("train", "corpus", *settings, "--out", "run", cwd=folder)
    assert not {"\x1b", "\x07", "\x9b"} & set(out + err) and "\\x1b" in out
    return folder / "run"


@pytest.mark.parametrize("layout", ["text", "jsonl", "tsv"])
def test_no_order_of_a_label_or_text_reaches_the_terminal(odd_run, layout):
    out, err = xmlkit("predict", odd_run, "--format", layout, stdin="w1 \x1b[2J \x9b2J\n")
    assert not {"\x1b", "\x07", "\x9b"} & set(out + err) and "red" in out and "grün" in out
    if layout == "jsonl":
        found = json.loads(out)
        assert found["text"] == "w1 \x1b[2J \x9b2J"
        names = {label["name"] for label in found["labels"]}
        assert names == {"\x1b]0;title\x07red", "\x9b31mgrün", "Straße"}


@pytest.mark.parametrize("layout", ["jsonl", "tsv"])
def test_answers_in_a_file_are_gone_on_with(odd_run, tmp_path, layout):
    texts = "".join(f"w{row % 60} w{row % 7}\n" for row in range(40))
    (tmp_path / "texts").write_text(texts)
    command = ["predict", odd_run, tmp_path / "texts", "--format", layout, "--threshold", "0.3"]
    expected, _ = xmlkit(*command)
    out, _ = xmlkit(*command, "--out", tmp_path / "found")
    assert out == "" and (tmp_path / "found").read_text() == expected
    (tmp_path / "found").write_bytes(expected.encode()[: len(expected) // 2])
    _, err = xmlkit(*command, "--out", tmp_path / "found")
    assert "texts already" in err and (tmp_path / "found").read_text() == expected
    if layout == "jsonl":  # by a line's number alone it can't be told
        (tmp_path / "texts").write_text("another text\n" + texts)
        _, err = xmlkit(*command, "--out", tmp_path / "found", code=1)
        assert "its line 1 answers another text" in err and (tmp_path / "found").read_text() == expected
    _, err = xmlkit(*command[:3], "--out", tmp_path / "found", code=1)
    assert "add --format jsonl or --format tsv" in err
    (tmp_path / "texts").write_text(texts)
    xmlkit(*command[:3], "--threshold", "0.3", "--out", named := tmp_path / f"found.{layout}")
    assert named.read_text() == expected
    other = {"jsonl": "tsv", "tsv": "jsonl"}[layout]
    _, err = xmlkit(*command[:3], "--out", named, "--format", other, code=1)
    assert f"--out {named} --format {other}: these are two formats" in err


def test_what_is_gone_on_with_is_read_in_the_same_groups(odd_run, tmp_path, monkeypatch):
    """Else the last digits of a score might be others; nothing is answered twice."""
    monkeypatch.setattr(inference, "TEXTS_AT_ONCE", 8)
    seen, real = [], inference.tokenise
    monkeypatch.setattr(inference, "tokenise", lambda chunk, *rest: seen.append(chunk) or real(chunk, *rest))
    texts = [f"w{row % 60} w{row % 7}" for row in range(30)]
    (tmp_path / "texts").write_text("\n".join(texts))

    given = {"run": odd_run, "file": str(tmp_path / "texts"), "top_k": 5, "threshold": 0.0}
    given |= {"format_": "jsonl", "out_": tmp_path / "found", "from_": None}
    given |= {field.name: None for field in fields(Read)}

    def predict():
        seen.clear()
        predict_command(**given)
        return list(seen), (tmp_path / "found").read_text().splitlines(True)

    groups, expected = predict()
    assert groups == [texts[0:8], texts[8:16], texts[16:24], texts[24:30]] and len(expected) == 30
    for kept in (0, 7, 8, 13, 30):
        (tmp_path / "found").write_text("".join(expected[:kept]))
        again, found = predict()
        assert again == groups[kept // 8 :] and found == expected


def test_a_terminal_that_knows_ascii_alone(odd_run, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    out, _ = xmlkit("predict", odd_run, stdin="w3 ü\n")
    assert "Stra\\xdfe" in out
    out, _ = xmlkit("predict", odd_run, "--format", "jsonl", stdin="w3 ü\n")
    assert "Straße" in {label["name"] for label in json.loads(out)["labels"]} and out.isascii()


def test_invalid_utf8_on_standard_input(place):
    _, err = xmlkit("predict", "run", stdin=b"w1\n\xff\n", cwd=place, path=place / "site", code=1)
    assert "standard input:2: not valid UTF-8" in err


CORPUS = {
    "texts.jsonl": '{"id": "a", "text": "w1"}\n{"text": "w2", "labels": ["w2"]}\n{"id": 3, "text": "w3"}\n',
    "texts.tsv": "w1\t<w1>\nw2\t\nw3\n",
    "texts.txt": "w1\nw2\nw3\n",
}


def answers(out):
    """(id, text, labels with scores) of each."""
    return [(found.get("id"), found["text"], found["labels"]) for found in map(json.loads, out.splitlines())]


@pytest.fixture
def files(tmp_path):
    for name, content in CORPUS.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def test_any_format_is_read_and_ids_are_kept(odd_run, files):
    command = ["predict", odd_run, "--format", "jsonl"]
    plain = answers(xmlkit(*command, files / "texts.txt")[0])
    assert [text for _, text, _ in plain] == ["w1", "w2", "w3"] and plain[0][2]
    assert answers(xmlkit(*command, files / "texts.tsv")[0]) == plain
    ids = ["a", None, "3"]
    expected = [(id, *rest) for id, (_, *rest) in zip(ids, plain)]
    assert answers(xmlkit(*command, files / "texts.jsonl")[0]) == expected
    named = xmlkit(*command, "-", "--from", "jsonl", stdin=CORPUS["texts.jsonl"])[0]
    assert answers(named) == expected
    (files / "folder").mkdir()
    (files / "folder" / "test_texts.txt").write_text(CORPUS["texts.txt"])
    (files / "folder" / "test_labels.txt").write_text("\n\n\n")
    assert answers(xmlkit(*command, files / "folder")[0]) == plain
    rows = xmlkit("predict", odd_run, files / "texts.jsonl", "--format", "tsv", "--top-k", "1")[
        0
    ].splitlines()
    cells = [row.split("\t") for row in rows]
    assert [(row[0], row[4:]) for row in cells] == [("1", ["a"]), ("2", []), ("3", ["3"])]


@pytest.mark.parametrize("layout", ["jsonl", "tsv"])
def test_answers_with_ids_are_gone_on_with(odd_run, files, layout):
    command = ["predict", odd_run, files / "texts.jsonl", "--format", layout]
    expected, _ = xmlkit(*command)
    for cut in (3, len(expected) // 2, len(expected) - 2):
        (files / "found").write_text(expected[:cut])
        xmlkit(*command, "--out", files / "found")
        assert (files / "found").read_text() == expected
    if layout == "jsonl":
        (files / "texts.jsonl").write_text(CORPUS["texts.jsonl"].replace('"a"', '"b"'))
        _, err = xmlkit(*command, "--out", files / "found", code=1)
        assert "its line 1 answers another text" in err


@pytest.mark.slow
def test_a_pipe_of_a_shell(odd_run, files):
    expected, _ = xmlkit("predict", odd_run, files / "texts.txt", "--format", "jsonl")
    script = f"{XMLKIT} predict {odd_run} --format jsonl <(cat texts.txt)"
    done = subprocess.run(["bash", "-c", script], cwd=files, capture_output=True, text=True, check=True)
    assert done.stdout == expected


def test_a_pipe_is_read_once(odd_run, files):
    plain = answers(xmlkit("predict", odd_run, files / "texts.txt", "--format", "jsonl")[0])
    os.mkfifo(files / "pipe.tsv")
    writer = threading.Thread(target=(files / "pipe.tsv").write_text, args=[CORPUS["texts.tsv"]])
    writer.start()
    out, _ = xmlkit("predict", odd_run, files / "pipe.tsv", "--format", "jsonl", "--from", "annif-tsv")
    writer.join()
    assert answers(out) == plain


def test_what_predict_cannot_read(odd_run, files):
    for arguments, reason in (
        (["nothing"], "nothing: no such file; for a text: echo"),
        (["w1 " * 2000], "no such file; for a text: echo"),  # longer than a name of a file can be
        ([files / "texts.txt", "--from", "jsonl"], "texts.txt:1: not valid JSON"),
        (
            [files, "--from", "jsonl"],
            f"error: --from jsonl: {files} is a folder, whose files tell its format",
        ),
        (["-", "--from", "json"], "error: --from json: no such format: did you mean 'jsonl'?"),
        (
            ["-", "--from", "lightxml"],
            "error: --from lightxml: a split of it is several files; give their folder",
        ),
        ([files], "no test split"),
    ):
        _, err = xmlkit("predict", odd_run, *arguments, cwd=files, code=1)
        assert reason in err
