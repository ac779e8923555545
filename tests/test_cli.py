"""The command line as people use it: real processes, real files."""

from __future__ import annotations

import gzip
import json
import os
import pty
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
import tiny
import torch
from conftest import EXAMPLES, GUIDE, install

from xmlkit import cli
from xmlkit.inference import predict as inference

XMLKIT = str(Path(sys.executable).with_name("xmlkit"))
QUICK = ["--set", "max_len=16", "--set", "batch_size=16", "--set", "validation=0.2", "--set", "log_every=1"]


def xmlkit(*arguments, stdin="", cwd=None, path=None, code=0):
    """Runs a command; returns what it printed on both streams."""
    environment = dict(os.environ, COLUMNS="200", PYTHONPATH=str(path or ""))
    if isinstance(stdin, str):
        stdin = stdin.encode()
    done = subprocess.run(
        [XMLKIT, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env=environment,
        check=False,
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == code, out + err
    assert "Traceback" not in err
    return out, err


def hears_signals():
    """Whoever runs the tests, in the background or by nohup, may ignore some."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def started(place, *arguments, path=None, **options):
    """A command that runs on."""
    return subprocess.Popen(
        [XMLKIT, *map(str, arguments)],
        cwd=place,
        env=dict(os.environ, COLUMNS="200", PYTHONPATH=str(path or "")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **{"preexec_fn": hears_signals, **options},
    )


def wait_for_lines(log, count, process):
    while not log.exists() or log.read_text().count("\n") < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def write_corpus(folder: Path) -> Path:
    corpus = tiny.learnable_corpus()
    folder.mkdir()
    for name, split in (("train", corpus.train), ("test", corpus.test)):
        with gzip.open(folder / f"{name}.jsonl.gz", "wt") as file:
            for text, row in zip(split.texts, range(len(split)), strict=True):
                labels = [corpus.labels.ids[i] for i in split.labels[row]]
                file.write(json.dumps({"text": text, "labels": labels}) + "\n")
    (folder / "labels.tsv").write_text("".join(f"{label}\tword {label}\n" for label in corpus.labels.ids))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with an encoder, a corpus and a run that was trained on it with two plugins."""
    folder = tmp_path_factory.mktemp("cli")
    tiny.save_encoder(folder / "encoder")
    write_corpus(folder / "corpus")
    (folder / "site").mkdir()
    for name, source in (EXAMPLES | GUIDE).items():
        install(folder / "site", name, source)
    settings = ["--set", "epochs=10", "--set", "lr=3e-3", "--set", "head_lr=1e-2", "--set", "pooling=mean"]
    plugins = ["--plugin", "layer-gain,label-smoothing", "--set", "label-smoothing.amount=0.01"]
    out, err = xmlkit(
        *["train", "corpus", "--encoder", "encoder", "--out", "run", *QUICK, *settings, *plugins],
        cwd=folder,
        path=folder / "site",
    )
    assert "corpus, test split" in out and "PSnDCG" in out and "word w3" in out and "✓" in out
    assert "representation: TokenMean (lightxml), LayerGain (layer-gain) around it\n" in err
    assert "loss: PlainSum (lightxml), Smoothed (label-smoothing) around it\n" in err and "run: run" in err
    return folder


def test_evaluate_with_and_without_data(place):
    metrics = json.loads((place / "run" / "metrics.json").read_text())
    for data in ([], ["corpus"], ["corpus/test.jsonl.gz"]):
        out, _ = xmlkit("evaluate", "run", *data, cwd=place, path=place / "site")
        for name in ("P", "nDCG", "coverage"):
            (row,) = [line for line in out.splitlines() if line.startswith(f"│ {name} ")]
            assert [f"{metrics[f'{name}@{k}']:.2f}" for k in (1, 3, 5)] == row.replace("│", " ").split()[1:]


def test_labels_that_the_model_does_not_know_count_as_missed(place, tmp_path):
    (tmp_path / "some.jsonl").write_text('{"text": "w3 w44", "labels": ["w3", "never seen"]}\n')
    out, err = xmlkit("evaluate", "run", tmp_path / "some.jsonl", cwd=place, path=place / "site")
    assert "1 labels of the test documents (1 of 2 occurrences) are unknown to the model" in err
    rows = {line.split()[1]: line.replace("│", " ").split()[1:] for line in out.splitlines() if "│" in line}
    assert rows["P"][0] == "100.00" and rows["R"] == ["50.00"] * 3


def test_labels_of_another_kind_are_an_error(place, tmp_path):
    (tmp_path / "some.jsonl").write_text('{"text": "w3 w44", "labels": ["http://w3"]}\n')
    _, err = xmlkit("evaluate", "run", tmp_path / "some.jsonl", cwd=place, path=place / "site", code=1)
    assert "none of the true labels is known" in err


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


def test_clusters_from_a_stored_start_to_evaluation(place, tmp_path):
    """A preset's recipe made small, its start stored and shared, trained, scored by its own names."""
    small = ["--set", "cluster_size=3", "--set", "shortlist=2", "--set", "max_steps=3", *QUICK]
    preset = ["--preset", "amazon670k", "--member", "2", "--encoder", "encoder", *small]
    start, run = tmp_path / "start", tmp_path / "run"
    _, err = xmlkit("init-weights", "corpus", *preset, "--out", start, cwd=place)
    settings = ["--config", start / "config.json", "--init-from", start]
    assert f"next: xmlkit train corpus {' '.join(map(str, settings))}" in " ".join(err.split())
    xmlkit("train", "corpus", *settings, "--out", run, cwd=place)
    config = json.loads((run / "config.json").read_text())
    assert (config["label_width"], config["start"], config["clustered"]) == (400, "random", True)
    assert config == json.loads((start / "config.json").read_text()) and config["seed"] == 2
    metrics = json.loads((run / "metrics.json").read_text())
    out, _ = xmlkit("evaluate", run, "corpus/test.jsonl.gz", cwd=place)
    assert f"{metrics['P@1']:.2f}" in out and f"{metrics['PSnDCG@5']:.2f}" in out
    out, _ = xmlkit("predict", run, "--format", "jsonl", stdin="w55 w3\n", cwd=place)
    assert len(json.loads(out)["labels"]) == 5


def test_the_list_of_presets():
    out, _ = xmlkit("presets")
    assert "amazon670k" in out and "49.10 / 43.83 / 39.85" in out and "shortlist=75" in out


def test_the_list_of_plugins(place):
    out, _ = xmlkit("plugins", path=place / "site")
    squeezed = " ".join(out.replace("│", " ").split())
    assert "label-smoothing (xmlkit-label-smoothing 1.2; loss) Label smoothing: a true label's" in squeezed
    assert "\n    label-smoothing.amount=0.1  how far targets lie from 0 and 1\n" in out
    assert "astec-negatives.count=none" in out and "se.squeeze=learned " in out
    assert "lightxml  (xmlkit " in out and "; always active)" in out


def test_a_broken_plugin_does_not_hide_the_others(tmp_path):
    install(tmp_path, "broken", "import nowhere_at_all")
    environment = dict(os.environ, PYTHONPATH=str(tmp_path))
    done = subprocess.run([XMLKIT, "plugins"], capture_output=True, text=True, env=environment, check=True)
    assert "nowhere_at_all" in done.stdout and "lightxml" in done.stdout
    assert 'broken.py", line 1, in <module>' in done.stderr
    assert done.stderr.endswith("ModuleNotFoundError: No module named 'nowhere_at_all'\n")


def test_a_broken_plugin_that_is_asked_for_shows_its_traceback(place, tmp_path):
    install(tmp_path, "broken", "1 / 0")
    environment = dict(os.environ, PYTHONPATH=str(tmp_path))
    command = [XMLKIT, "train", "corpus", "--plugin", "broken"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1 and 'broken.py", line 1' in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "error: plugin 'broken' (broken) fails on import: ZeroDivisionError: division by zero"
    )


def test_the_chain_of_some_settings(place):
    out, _ = xmlkit("plugins", "--verbose", "--plugin", "in-batch", path=place / "site")
    row = next(line for line in out.splitlines() if "InBatch" in line)
    assert "InBatch (in-batch) around it" in row and "EveryLabel" in out
    out, _ = xmlkit("plugins", "--verbose", "--config", "run/config.json", cwd=place, path=place / "site")
    assert "LayerGain (layer-gain) around it" in out and "TopClusters" not in out
    _, err = xmlkit("plugins", "--plugin", "se", code=1)
    assert "add --verbose" in err


def test_describe(place):
    out, _ = xmlkit("data", "describe", "corpus", cwd=place)
    assert "test documents" in out and "empty texts" in out and "decile" in out


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["train"],
        ["init-weights"],
        ["evaluate"],
        ["predict"],
        ["plugins"],
        ["plugin", "new"],
        ["presets"],
        ["data", "describe"],
        ["labels", "add"],
    ],
)
def test_help_pages(command):
    out, _ = xmlkit(*command, "-h")
    assert "Usage: xmlkit" in out
    if command == ["train"]:
        for option in ("DATA", "--plugin", "--encoder", "--recipe", "--config", "--set", "--out", "--resume"):
            assert option in out
        for option in ("--preset", "--member", "--init-from"):
            assert option in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "nowhere"], "nowhere: no such file or folder"),
        (["train", "encoder"], "encoder: no training documents"),
        (["train", "corpus", "--set", "epoch=3"], "did you mean 'epochs'"),
        (["train", "corpus", "--set", "epochs=many"], "epochs='many'"),
        (["train", "corpus", "--set", "epochs"], "--set epochs: expected KEY=VALUE"),
        (["train", "corpus", "--plugin", "layer-gian"], "did you mean 'layer-gain'"),
        (["train", "corpus", "--set", "layer-gain.x=1"], "add --plugin layer-gain"),
        (["train", "corpus", "--encoder", "nowhere"], "--encoder nowhere"),
        (["train", "corpus", "--config", "nowhere.toml"], "--config nowhere.toml: No such file"),
        (["train", "corpus", "--out", "run"], "--out run: is there already"),
        (
            ["train", "corpus", "--out", "corpus/test.jsonl.gz/run"],
            "test.jsonl.gz is not a folder that can be written to",
        ),
        (["train", "corpus", "--resume", "run", "--out", "x"], "leave out all else but DATA"),
        (["train", "corpus", "--init-from", "run", "--preset", "eurlex4k"], "give --config run/config.json"),
        (["train", "corpus", "--preset", "eurlex4k", "--set", "recipe=default"], "leave out --recipe"),
        (["train", "--resume", "run"], "run has no checkpoint"),
        (
            ["train", "corpus", "--encoder=none", "--plugin=lexical", "--set", f"lexical.width={2**29}"],
            "out of memory",
        ),
        (["compare", "corpus", "--encoder", "none"], "in brackets, as in 'lexical[encoder=none]'"),
        (["evaluate", "corpus"], "corpus is not a run"),
        (["evaluate", "run", "nowhere"], "nowhere"),
        (
            ["predict", "run", "some text"],
            'some text: no such file; for a text: echo "some text" | xmlkit predict run',
        ),
        (["predict", "run", "corpus/test.jsonl.gz"], "is a corpus file"),
        (
            ["train", "corpus", "--recipe", "lightxml", "--config", "run/config.json"],
            "leave out one of the two",
        ),
        (["predict", "nowhere"], "nowhere is not a run"),
        (["train", "corpus", "--preset", "amazon670"], "did you mean 'amazon670k'?"),
        (["train", "corpus", "--preset", "eurlex4k", "--member", "3"], "has members 0 to 2"),
        (["train", "corpus", "--member", "1"], "name one with --preset"),
        (
            ["train", "corpus", "--preset", "eurlex4k", "--recipe", "default"],
            "leave out --recipe and --config",
        ),
        (["train", "corpus", "--init-from", "nowhere"], "nowhere is not a run"),
        (["train", "--resume", "run", "--init-from", "run"], "leave out all else"),
        (["train", "corpus", "--init-from", "run", "--set", "layers=2"], "run has 5; leave layers out"),
        (["compare", "corpus", "--plugin-sets", "layer-gian"], "did you mean 'layer-gain'"),
        (["compare", "corpus", "--plugin-sets", "base[epoch=3]"], "did you mean 'epochs'"),
        (["compare", "corpus", "--set", "seed=1"], "seed: --seeds N trains each set with the seeds 0 to N-1"),
    ],
)
def test_mistakes_are_one_line(place, arguments, expected):
    out, err = xmlkit(*arguments, cwd=place, path=place / "site", code=1)
    last = err.rstrip("\n").splitlines()[-1]
    assert last.startswith("error: ") and expected in last and out == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'?; see --help"),
        (["train", "--foo"], "No such option: --foo"),
        (["train", "demo", "x"], "Got unexpected extra argument"),
        (["data"], "Missing command; see --help"),
        (["predict"], "Missing argument 'RUN'; see --help"),
        (["predict", "run", "--top-k", "0"], "Invalid value for '--top-k'"),
        (["predict", "run", "--format", "xml"], "Invalid value for '--format'"),
    ],
)
def test_mistyped_options_are_one_line(arguments, expected):
    out, err = xmlkit(*arguments, code=2)
    assert err.startswith(f"error: {expected}") and err.count("\n") == 1 and out == ""


def test_without_a_command_it_shows_what_there_is():
    assert "Usage: xmlkit" in xmlkit()[0]


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


def test_what_is_gone_on_with_is_read_in_the_same_groups(odd_run, tmp_path, monkeypatch):
    """Else the last digits of a score might be others; nothing is answered twice."""
    monkeypatch.setattr(inference, "TEXTS_AT_ONCE", 8)
    seen, real = [], inference.tokenise
    monkeypatch.setattr(inference, "tokenise", lambda chunk, *rest: seen.append(chunk) or real(chunk, *rest))
    texts = [f"w{row % 60} w{row % 7}" for row in range(30)]
    (tmp_path / "texts").write_text("\n".join(texts))

    def predict():
        seen.clear()
        cli.predict(odd_run, str(tmp_path / "texts"), 5, 0.0, cli.Layout.jsonl, tmp_path / "found")
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


def test_a_run_whose_plugin_is_gone(place):
    _, err = xmlkit("predict", "run", cwd=place, code=1)
    assert "needs the plugin 'layer-gain', which is not installed; by what the run says it comes with" in err
    assert "'xmlkit-layer-gain' '1.2': install that if you trust it" in err and "pip" not in err


def test_invalid_utf8_on_standard_input(place):
    _, err = xmlkit("predict", "run", stdin=b"w1\n\xff\n", cwd=place, path=place / "site", code=1)
    assert "standard input:2: not valid UTF-8" in err


def test_ctrl_c_and_resume(place, tmp_path):
    run = tmp_path / "run"
    log = run / "log.jsonl"
    long = [*QUICK, "--set", "epochs=200"]
    training = started(place, "train", "corpus", "--encoder", "encoder", "--out", run, *long)
    wait_for_lines(log, 3, training)
    training.send_signal(signal.SIGINT)
    _, err = training.communicate(timeout=60)
    assert training.returncode == 130 and "Traceback" not in err
    assert f"interrupted; go on with: xmlkit train --resume {run}" in err
    xmlkit("predict", run, stdin="w1\n")
    steps = len(log.read_text().splitlines())
    resumed = started(place, "train", "corpus", "--resume", run)
    wait_for_lines(log, steps + 3, resumed)
    resumed.send_signal(signal.SIGINT)
    _, err = resumed.communicate(timeout=60)
    assert "going on after step" in err and resumed.returncode == 130
    losses = [json.loads(line)["step"] for line in log.read_text().splitlines() if '"lr"' in line]
    assert losses == list(range(1, len(losses) + 1))  # no step twice, none left out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_training_that_is_told_to_end_can_be_gone_on_with(place, tmp_path, number, code):
    """By a batch system, a container, or a connection that was lost."""
    log = tmp_path / "run" / "log.jsonl"
    long = [
        "train",
        "corpus",
        "--encoder",
        "encoder",
        *QUICK,
        "--set",
        "epochs=200",
        "--out",
        tmp_path / "run",
    ]
    training = started(place, *long)
    wait_for_lines(log, 3, training)
    training.send_signal(number)
    _, err = training.communicate(timeout=100)
    assert training.returncode == code and "Traceback" not in err
    assert "ending this step and saving\n" in err
    assert f"interrupted; go on with: xmlkit train --resume {tmp_path / 'run'}" in err
    lines = log.read_text().count("\n")
    resumed = started(place, "train", "--resume", tmp_path / "run")
    wait_for_lines(log, lines + 2, resumed)
    resumed.send_signal(number)
    resumed.communicate(timeout=100)
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines() if '"lr"' in line]
    assert resumed.returncode == code and steps == list(range(1, len(steps) + 1))


def test_a_terminal_that_is_gone_is_no_hindrance(place, tmp_path):
    """What is said then is an error; and a shell passes the signal on that the kernel sends, too."""
    log = tmp_path / "run" / "log.jsonl"
    ours, theirs = pty.openpty()
    long = [*QUICK, "--set", "epochs=2000", "--set", "eval_every=100000", "--out", log.parent]
    training = subprocess.Popen(
        list(map(str, [XMLKIT, "train", "corpus", "--encoder", "encoder", *long])),
        cwd=place,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=hears_signals,
    )
    os.close(theirs)
    while not log.exists() or log.read_text().count("\n") < 3:
        assert training.poll() is None
        if select.select([ours], [], [], 0.05)[0]:
            os.read(ours, 4096)
    os.close(ours)
    for _ in range(2):
        training.send_signal(signal.SIGHUP)
    assert training.wait(timeout=100) == 129
    assert (log.parent / "model.safetensors").exists()
    resumed = started(place, "train", "--resume", log.parent)
    wait_for_lines(log, log.read_text().count("\n") + 2, resumed)
    resumed.send_signal(signal.SIGINT)
    _, err = resumed.communicate(timeout=100)
    assert "going on after step" in err
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines() if '"lr"' in line]
    assert steps == list(range(1, len(steps) + 1))


def test_a_signal_that_nohup_ignores_is_ignored(place, tmp_path):
    log = tmp_path / "run" / "log.jsonl"
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    command = ["train", "corpus", "--encoder", "encoder", *QUICK, "--set", "epochs=20", "--out", log.parent]
    training = started(place, *command, **ignoring)
    wait_for_lines(log, 3, training)
    training.send_signal(signal.SIGHUP)
    assert training.poll() is None
    _, err = training.communicate(timeout=100)
    assert training.returncode == 0 and "ending this step" not in err


def test_a_signal_before_the_first_step_leaves_no_folder(place, tmp_path):
    run = tmp_path / "run"
    training = started(place, "train", "--encoder", "encoder", "--set", "max_len=16", "--out", run)
    while not (run / ".owner").exists():
        assert training.poll() is None, training.communicate()
        time.sleep(0.001)
    training.terminate()
    _, err = training.communicate(timeout=100)
    assert training.returncode == 143 and "Traceback" not in err
    assert not run.exists() or os.listdir(run) == [
        ".lock"
    ]  # while it is taken: the name is free all the same


@pytest.mark.parametrize(
    ("kilobytes", "where"),
    [(1, "tokens"), (100, "checkpoint.safetensors")],
)
def test_a_full_disk_is_one_line_and_there_is_a_way_on(place, tmp_path, kilobytes, where):
    """A real one: a file may grow to so many bytes and no further."""
    limit = (kilobytes * 1024, resource.RLIM_INFINITY)
    command = [
        "train",
        "corpus",
        "--encoder",
        "encoder",
        *QUICK,
        "--set",
        "epochs=2",
        "--out",
        tmp_path / "run",
    ]
    environment = dict(os.environ, COLUMNS="200", XMLKIT_CACHE=str(tmp_path / "cache"))
    done = subprocess.run(
        [XMLKIT, *map(str, command)],
        cwd=place,
        env=environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        capture_output=True,
        text=True,
    )
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "Traceback" not in done.stderr and last.startswith("error: ")
    assert where in last and "File too large; once there is room, go on" in last
    assert not (tmp_path / "run").exists() and not list((tmp_path / "cache").rglob(".*"))
    xmlkit(*command, cwd=place)


def test_compare_goes_on_after_ctrl_c(place, tmp_path):
    """In the middle of a run: what is printed and kept in the end is as without it."""
    command = ["compare", "corpus", "--plugin-sets", "base;layer-gain[lr=3e-3]", "--seeds", "1", *QUICK]
    command += ["--encoder", "encoder", "--set", "epochs=40", "--set", "device=cpu"]
    broken = started(place, *command, "--out", tmp_path / "broken", path=place / "site")
    wait_for_lines(tmp_path / "broken" / "base" / "seed-0" / "log.jsonl", 4, broken)
    broken.send_signal(signal.SIGINT)
    _, err = broken.communicate(timeout=100)
    assert broken.returncode == 130 and "interrupted; the same command goes on" in err
    assert "Traceback" not in err and not (tmp_path / "broken" / "validation.json").exists()
    again, err = xmlkit(*command, "--out", tmp_path / "broken", cwd=place, path=place / "site")
    assert "going on after step" in err
    whole, _ = xmlkit(*command, "--out", tmp_path / "whole", cwd=place, path=place / "site")
    documents = [
        json.loads((tmp_path / name / "validation.json").read_text()) for name in ("broken", "whole")
    ]
    for document in documents:
        for row in document["rows"]:
            del row["seconds"], row["extra_seconds"]
    assert documents[0] == documents[1]
    for found in (again, whole):
        assert "layer-gain[lr=3e-3]" in found and "verdict on P@5" in found and "P@5" in found


def test_the_readmes_python(place, tmp_path):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    code = readme.split("```python\n")[1].split("```")[0]
    shutil.copytree(place / "run", tmp_path / "runs" / "mine")
    environment = dict(os.environ, PYTHONPATH=str(place / "site"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6 and (tmp_path / "runs" / "lists" / "model.safetensors").exists()


def test_without_data_it_trains_on_the_embedded_corpus(tmp_path):
    out, err = xmlkit("train", "--set", "max_steps=2", "--set", "batch_size=8", cwd=tmp_path)
    assert "data: demo" in err and "--encoder FOLDER_OR_HUB_NAME" in err
    assert "demo, test split" in out and (tmp_path / "runs" / "demo" / "metrics.json").exists()


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("CUDA error: out of memory\nmore"), torch.OutOfMemoryError("out of memory")],
)
def test_running_out_of_memory_is_one_line(monkeypatch, capsys, error):
    monkeypatch.setattr(cli, "app", Mock(side_effect=error))
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err.count("\n") == 1


def test_other_errors_of_ours_keep_their_traceback(monkeypatch):
    monkeypatch.setattr(cli, "app", Mock(side_effect=RuntimeError("deallocated before use")))
    with pytest.raises(RuntimeError, match="deallocated"):
        cli.main()
