"""Runs of a comparison in processes of their own: the same figures, and what happens where some are ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from installing import install
from safetensors.torch import load_file

from xmlkit.comparison.apart import Task, work_through
from xmlkit.comparison.compare import compare
from xmlkit.comparison.sent import of_config, of_corpus, of_error, to_config, to_corpus, to_error
from xmlkit.config import resolve
from xmlkit.data.corpus import Corpus, Labels, Split
from xmlkit.data.dialect import Dialect
from xmlkit.data.ragged import Ragged
from xmlkit.errors import UserError
from xmlkit.training.checkpoint import CHECKPOINT
from xmlkit.training.claim import claimed

SMALL = {"max_len": 16, "batch_size": 16, "validation": 0.2, "epochs": 1, "device": "cpu", "log_every": 1}
KILLED = """
import os, signal
from xmlkit import hookimpl
@hookimpl
def step_ended(run, step):
    if step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
"""
# A script as people write them: all at once, without a function.
SCRIPT = """
import sys
sys.path.append({tests!r})
import tiny, xmlkit
corpus = tiny.learnable_corpus()
print(xmlkit.compare(corpus, "base;asks", {settings!r}, 1, out="out", jobs=2))
"""
ASKS = """
import os, signal
from pathlib import Path
from xmlkit import hookimpl
@hookimpl
def step_ended(run, step):
    if step == 3 and os.environ.get("ASKS"):
        os.kill(os.getppid(), getattr(signal, os.environ["ASKS"]))
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return {**SMALL, "encoder": tiny.save_encoder(tmp_path_factory.mktemp("encoder"))}


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def figures(found):
    return [(row.name, row.metrics, row.extra_parameters, row.verdict) for row in found.rows]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 5])
def test_processes_one_after_the_other_or_at_once_come_to_the_same(jobs, settings, one_thread, tmp_path):
    corpus = tiny.learnable_corpus()
    with tiny.compared_in_this_process():
        here = compare(corpus, "base;se", settings, 1, out=tmp_path / "here")
    found = compare(corpus, "base;se", settings, 1, out=tmp_path / "out", jobs=jobs)
    assert figures(found) == figures(here)
    assert (here.at_once, found.at_once) == (1, min(jobs, 2))
    assert json.loads((tmp_path / "out" / "validation.json").read_text())["at_once"] == found.at_once
    for name in ("base", "se"):
        run = Path(name, "seed-0", "model.safetensors")
        ours, theirs = load_file(tmp_path / "out" / run), load_file(tmp_path / "here" / run)
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.slow
def test_one_that_is_killed_is_named_and_the_others_are_kept(settings, plugin_folder, tmp_path):
    """The plugin is found there, too, and nothing more is begun."""
    install(plugin_folder, "killed", KILLED)
    corpus, sets = tiny.learnable_corpus(), "base;killed;base[lr=1e-3]"
    with pytest.raises(UserError) as error:
        compare(corpus, sets, settings, 1, out=tmp_path, jobs=2)
    assert str(error.value) == (
        "run 2 of 3: killed, seed 0: its process was ended by SIGKILL, as the system does where memory is "
        "short; the same command goes on"
    )
    records = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("*/seed-0.json")}
    assert "result" in records["base"] and "result" not in records["killed"]
    assert (tmp_path / "killed" / "seed-0" / CHECKPOINT).is_file()


def told(line, threads):
    """What a process knows of itself, on the stream of answers, which is not one any more."""
    given = sys.stdin.read() or "nothing to read"
    print(line, given, torch.get_num_threads() == int(os.environ["OMP_NUM_THREADS"]) == threads)
    return True


def fails(words, detail):
    raise UserError(words, detail)


@pytest.mark.slow
def test_threads_are_parted_and_what_is_printed_is_no_answer(monkeypatch, capfd):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    assert work_through([Task("one", told, ("a line", 3))], 2)
    assert "a line nothing to read True" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("task", "expected", "detail"),
    [
        (Task("one", fails, ("what to do", "where")), "what to do", "where"),
        (Task("one", os._exit, (3,)), "one: its process ended with 3, and said nothing", ""),
    ],
)
def test_an_error_is_raised_here(task, expected, detail):
    with pytest.raises(UserError) as error:
        work_through([task], 1)
    assert str(error.value) == expected and error.value.detail == detail


@pytest.mark.parametrize(
    ("raised", "kind", "expected"),
    [
        (FileNotFoundError(2, "No such file", "here"), FileNotFoundError, "No such file: 'here'"),
        (MemoryError("no room"), MemoryError, "no room"),
        (KeyError("within"), RuntimeError, "KeyError: 'within'"),
    ],
)
def test_an_error_travels_with_its_traceback(raised, kind, expected):
    try:
        raise raised
    except Exception as error:
        found = to_error(json.loads(json.dumps(of_error(error))))
    assert type(found) is kind and expected in str(found)
    assert "Traceback" in found.__notes__[0] and "test_processes.py" in found.__notes__[0]


def test_a_corpus_and_settings_travel_whole():
    split = Split(
        ["a", "half \ud800", ""],
        Ragged.of([[0, 2], [], [1]]),
        ["x", "y", "z"],
        ["1", None, "3"],
        Ragged.of([[1], [], []]),
        np.array([1.0, 0.5, 2.0]),
        ["u", "v", "w"],
    )
    labels = Labels(["x", "y", "z"], ["X", "Y", "Z"], [("other",), (), ()], ["1", None, "3"])
    dialect = Dialect(text_columns=("title", "text"))
    corpus = Corpus("name", labels, split, None, "source", dialect, "csv", (Path("a"), Path("b")))
    found = to_corpus(json.loads(json.dumps(of_corpus(corpus))))
    assert found.digest == corpus.digest and found.labels == labels and found.dialect == dialect
    assert (found.name, found.source, found.format, found.files) == ("name", "source", "csv", corpus.files)
    ours, theirs = (list(one.train.documents()) for one in (found, corpus))
    assert ours == theirs and found.train.values == split.values
    config = resolve({"epochs": 3, "ks": [1, 5], "plugins": ["se"], "se": {"reduction": 2}})
    again = to_config(json.loads(json.dumps(of_config(config))))
    assert again == config and again.as_given() == config.as_given()


def begun(place, settings, asks):
    script = place / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(tiny.__file__).parent), settings=settings))
    environment = {**os.environ, "PYTHONPATH": str(place / "site"), "ASKS": asks}
    return subprocess.Popen(
        [sys.executable, script], cwd=place, env=environment, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def asking(tmp_path):
    (tmp_path / "site").mkdir()
    install(tmp_path / "site", "asks", ASKS)
    return tmp_path


@pytest.mark.slow
def test_ctrl_c_ends_all_and_the_same_script_goes_on(settings, asking):
    """What comes out in the end is as if nothing had been."""
    settings = {**settings, "epochs": 20}
    broken, _ = begun(asking, settings, "SIGINT").communicate(timeout=500)
    assert broken == "None\n"
    left = [path.parent.parent.name for path in asking.rglob(CHECKPOINT)]
    assert "asks" in left and not (asking / "out" / "validation.json").exists()
    process = begun(asking, settings, "")
    process.communicate(timeout=500)
    assert process.returncode == 0 and not list(asking.rglob(CHECKPOINT))
    ended = json.loads((asking / "out" / "validation.json").read_text())
    (asking / "out").rename(asking / "broken")
    begun(asking, settings, "").communicate(timeout=500)
    whole = json.loads((asking / "out" / "validation.json").read_text())
    for row in (*ended["rows"], *whole["rows"]):
        del row["seconds"], row["extra_seconds"]
    assert ended == whole


@pytest.mark.slow
def test_processes_end_where_that_of_the_comparison_is_killed(settings, asking):
    process = begun(asking, {**settings, "epochs": 10_000}, "SIGKILL")
    process.communicate(timeout=500)
    assert process.returncode == -signal.SIGKILL
    until = time.monotonic() + 200
    for name in ("base", "asks"):
        while True:
            assert time.monotonic() < until
            try:
                with claimed(asking / "out" / name / "seed-0"):
                    break
            except UserError:
                time.sleep(0.05)
    assert (asking / "out" / "asks" / "seed-0" / CHECKPOINT).is_file()
