"""A user's mistake is one line, as is what no one could help."""

from __future__ import annotations

import json
import os
import subprocess
from unittest.mock import Mock

import forked
import pytest
import torch
from commands import XMLKIT, xmlkit
from installing import install

from xmlkit.cli import entry


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
        (
            ["train", "corpus", "--recipe", "lightxml", "--config", "run/config.json"],
            "leave out one of the two",
        ),
        (["predict", "nowhere"], "nowhere is not a run"),
        (
            ["evaluate", "run", "--threshold", "0.1", "--per-label", "/dev/null"],
            "is there and no file that could",
        ),
        (
            ["evaluate", "run", "--threshold", "0.1", "--per-label", "no/x"],
            "--per-label no/x: no such folder",
        ),
        (["report", "run", "-o", "/dev/null"], "--out /dev/null is there and no file that could be replaced"),
        (["report", "run", "-o", "corpus"], "--out corpus is there and no file that could be replaced"),
        (
            ["settings", "--encoding", "latin-1"],
            "no corpus is read; leave it out, or name --data",
        ),
        (["push", "run", "me/mine", "--dry-run", "--private"], "--private is for what is uploaded"),
        (
            ["train", "corpus", "--preset", "wiki500k", "--all-members", "--set", "seed=5"],
            "--all-members: by what is given two of them are the same model",
        ),
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
        (
            ["compare", "corpus", "--base", "layer-gain"],
            "--base layer-gain: none of the sets, which are base",
        ),
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
        (["train", ""], "Invalid value for '[DATA]': it is empty; is a variable of the shell not set?"),
        (["train", "demo", "--budget", ""], "Invalid value for '--budget': it is empty"),
        (["predict"], "Missing argument 'RUN'; see --help"),
        (["predict", "run", "--top-k", "0"], "Invalid value for '--top-k'"),
        (["predict", "run", "--format", "xml"], "Invalid value for '--format'"),
    ],
)
def test_mistyped_options_are_one_line(arguments, expected):
    out, err = xmlkit(*arguments, code=2)
    assert err.startswith(f"error: {expected}") and err.count("\n") == 1 and out == ""


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("CUDA error: out of memory\nmore"), torch.OutOfMemoryError("out of memory")],
)
def test_running_out_of_memory_is_one_line(monkeypatch, capsys, error):
    monkeypatch.setattr(entry, "app", Mock(side_effect=error))
    with pytest.raises(SystemExit):
        entry.main()
    assert capsys.readouterr().err.count("\n") == 1


def test_other_errors_of_ours_keep_their_traceback(monkeypatch):
    monkeypatch.setattr(entry, "app", Mock(side_effect=RuntimeError("deallocated before use")))
    with pytest.raises(RuntimeError, match="deallocated"):
        entry.main()


def test_a_broken_plugin_does_not_hide_the_others(tmp_path):
    install(tmp_path, "broken", "import nowhere_at_all")
    environment = dict(os.environ, COLUMNS="200", PYTHONPATH=str(tmp_path))
    done = forked.run([XMLKIT, "plugins"], b"", None, environment)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == 0 and "nowhere_at_all" in out and "lightxml" in out
    assert 'broken.py", line 1, in <module>' in err
    assert err.endswith("ModuleNotFoundError: No module named 'nowhere_at_all'\n")


def test_a_broken_plugin_that_is_asked_for_shows_its_traceback(place, tmp_path):
    install(tmp_path, "broken", "1 / 0")
    environment = dict(os.environ, PYTHONPATH=str(tmp_path))
    done = forked.run([XMLKIT, "train", "corpus", "--plugin", "broken"], b"", place, environment)
    err = done.stderr.decode()
    assert done.returncode == 1 and 'broken.py", line 1' in err
    assert err.splitlines()[-1] == (
        "error: plugin 'broken' (broken) fails on import: ZeroDivisionError: division by zero"
    )


def test_a_run_whose_plugin_is_gone(place):
    _, err = xmlkit("predict", "run", cwd=place, code=1)
    assert "needs the plugin 'layer-gain', which is not installed; by what the run says it comes with" in err
    assert "'xmlkit-layer-gain' '1.2': install that if you trust it" in err and "pip" not in err


def test_labels_of_another_kind_are_an_error(place, tmp_path):
    (tmp_path / "some.jsonl").write_text('{"text": "w3 w44", "labels": ["http://w3"]}\n')
    _, err = xmlkit("evaluate", "run", tmp_path / "some.jsonl", cwd=place, path=place / "site", code=1)
    assert "none of the true labels is known" in err


@pytest.mark.parametrize("command", [["predict", "run"], ["explain", "run"]])
def test_standard_input_that_is_closed(place, command):
    """As `<&-` has it in a shell."""
    line = f"{XMLKIT} {' '.join(command)} <&-"
    done = subprocess.run(
        line,
        shell=True,
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(place / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and done.stderr.endswith(
        "error: standard input is closed; name a file, or give it something to read\n"
    )


def test_reasons_as_json_where_the_output_is_not_utf_8(place):
    environment = {**os.environ, "PYTHONPATH": str(place / "site"), "PYTHONIOENCODING": "ascii"}
    command = [XMLKIT, "explain", "run", "w1 café \U0001f600", "--format", "json"]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=True)
    assert "café" in [fall["text"] for one in json.loads(done.stdout)["labels"] for fall in one["falls"]]
