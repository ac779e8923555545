"""One process at a time works in a folder; a name is free again where nothing came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
import tiny
import torch
from safetensors.torch import load_file

import xmlkit
from xmlkit import UserError
from xmlkit.training import train as training
from xmlkit.training.checkpoint import CHECKPOINT
from xmlkit.training.claim import claimed, new_folder
from xmlkit.training.trainer import Trainer

CORPUS = tiny.learnable_corpus()
SETTINGS = {"max_len": 16, "batch_size": 16, "max_steps": 4, "validation": 0.2, "device": "cpu"}
HOLDER = """
import sys, time
from pathlib import Path
from xmlkit.training.claim import new_folder
with new_folder(sys.argv[1], "name") as folder:
    (folder / "labels.jsonl").write_text("x")
    print("ready", flush=True)
    time.sleep(100)
"""
KILLED_AT_ITS_FIRST_STEP = """
import json, os, sys
from pathlib import Path
import tiny
from xmlkit.training import train as training
training.Trainer.step = lambda self, batches: os._exit(9)
training.train(tiny.learnable_corpus(), json.loads(sys.argv[1]), Path(sys.argv[2]))
"""
KILLED_IN_ITS_LOG = """
import os, sys
from pathlib import Path
import tiny
from xmlkit.training import train as training
real = Path.write_text
def write_text(self, *given, **options):
    return os._exit(9) if self.name == ".log.jsonl" else real(self, *given, **options)
Path.write_text = write_text
training.resume(Path(sys.argv[1]), tiny.learnable_corpus())
"""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def holder(tmp_path):
    """Another process that has begun in `run`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_that_another_process_works_in(holder, encoder, tmp_path):
    settings = {**SETTINGS, "encoder": encoder}
    for work in (
        lambda: training.train(CORPUS, settings, tmp_path / "run"),
        lambda: training.store_start(CORPUS, settings, tmp_path / "run"),
    ):
        with pytest.raises(UserError, match=f"run: process {holder.pid} on .* is at work in it"):
            work()
    assert (tmp_path / "run" / "labels.jsonl").read_text() == "x"
    holder.kill()  # and it has let go of it: what it left is removed
    holder.wait()
    assert training.train(CORPUS, settings, tmp_path / "run").outcome == "finished"
    assert len(xmlkit.load(tmp_path / "run").labels) == len(CORPUS.labels)
    with pytest.raises(UserError, match="is there already"):
        training.train(CORPUS, settings, tmp_path / "run")


def test_a_run_that_is_being_gone_on_with(encoder, tmp_path):
    settings = {**SETTINGS, "encoder": encoder, "eval_every": 2}
    with tiny.killed_before_step(3):
        training.train(CORPUS, settings, tmp_path / "run")
    with claimed(tmp_path / "run"), pytest.raises(UserError, match=f"process {os.getpid()} on"):
        training.resume(tmp_path / "run", CORPUS)
    assert training.resume(tmp_path / "run", CORPUS).outcome == "finished"


def test_a_comparison_in_a_folder_of_another(encoder, tmp_path):
    with claimed(tmp_path / "out"), pytest.raises(UserError, match="is at work in it"):
        xmlkit.compare(CORPUS, "base", {**SETTINGS, "encoder": encoder}, 1, out=tmp_path / "out")


def test_a_comparison_replaces_nothing_that_it_did_not_make(encoder, tmp_path):
    mine = tmp_path / "out" / "base" / "seed-0"
    settings = {**SETTINGS, "encoder": encoder}
    training.train(CORPUS, settings, mine)
    before = (mine / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match="was not made by this comparison"):
        xmlkit.compare(CORPUS, "base", settings, 1, out=tmp_path / "out")
    assert (mine / "model.safetensors").read_bytes() == before


@pytest.fixture
def in_this_process():
    with tiny.compared_in_this_process():
        yield


@pytest.mark.usefixtures("in_this_process")
def test_a_comparison_takes_a_run_that_ended_before_it_was_noted(encoder, tmp_path, monkeypatch):
    settings = {**SETTINGS, "encoder": encoder}
    xmlkit.compare(CORPUS, "base", settings, 1, out=tmp_path / "out")
    record = tmp_path / "out" / "base" / "seed-0.json"
    whole = json.loads(record.read_text())
    record.write_text(json.dumps({key: value for key, value in whole.items() if key != "result"}))
    monkeypatch.setattr(Trainer, "step", None)
    xmlkit.compare(CORPUS, "base", settings, 1, out=tmp_path / "out")
    again = json.loads(record.read_text())
    seconds = whole["result"].pop("seconds")  # up to the last line of the log
    assert 0 < again["result"].pop("seconds") <= seconds + 1e-3 and again == whole


def test_folders_that_are_no_run_are_never_removed(encoder, tmp_path):
    """Whatever was locked there before."""
    settings = {**SETTINGS, "encoder": encoder}
    for name, content in (("mine", "thesis.tex"), ("out", "base")):
        folder = tmp_path / name
        with claimed(folder):
            (folder / content).mkdir()
        with pytest.raises(UserError, match="is there already"):
            training.train(CORPUS, settings, folder)
        assert (folder / content).is_dir()


def test_names_that_are_taken_are_passed_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "name").mkdir(parents=True)
    (tmp_path / "runs" / "name" / "mine").write_text("x")
    with new_folder(None, "name") as second, new_folder(None, "name") as third:
        assert [str(second), str(third)] == ["runs/name-2", "runs/name-3"]
        for folder in (second, third):
            (folder / "model.safetensors").write_text("x")
    with new_folder(None, "name") as fourth:
        assert str(fourth) == "runs/name-4"
    assert os.listdir(tmp_path / "runs" / "name") == ["mine"]


def test_an_error_before_the_first_step_leaves_no_folder_and_after_it_does(tmp_path):
    for name, is_kept in (("log.jsonl", True), ("model.safetensors", True), ("config.json", False)):
        with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / name, "name") as folder:
            (folder / name).write_text("x")
            raise KeyboardInterrupt
        assert (tmp_path / name).exists() == is_kept


def test_a_training_that_is_killed_at_its_first_step_begins_anew(encoder, tmp_path):
    """By `--resume`, or by the same command; in a process that has no time to clean up."""
    settings = {**SETTINGS, "encoder": encoder}
    training.train(CORPUS, settings, tmp_path / "whole")
    assert tiny.status_of(KILLED_AT_ITS_FIRST_STEP, json.dumps(settings), tmp_path / "killed") == 9
    assert (tmp_path / "killed" / CHECKPOINT).exists()
    training.resume(tmp_path / "killed", CORPUS)
    whole, killed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(whole[key], killed[key]) for key in whole)


def test_a_checkpoint_comes_within_minutes(encoder, tmp_path, monkeypatch):
    """Here each second is five minutes."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    saved, real_step, real_save = [], Trainer.step, Trainer.save

    def step(self, batches):
        now[0] += 101.0
        return real_step(self, batches)

    def save(self):
        real_save(self)
        saved.append(self.step_number)

    monkeypatch.setattr(Trainer, "step", step)
    monkeypatch.setattr(Trainer, "save", save)
    settings = {**SETTINGS, "encoder": encoder, "max_steps": 8, "epochs": 10, "eval_every": 5}
    training.train(CORPUS, settings, tmp_path / "a")
    assert saved == [0, 3, 5]  # that of step 8 is the run
    saved.clear()
    training.train(CORPUS, {**settings, "checkpoint_every": 4}, tmp_path / "b")
    assert saved == [0, 4, 5]


def test_scoring_that_was_broken_off_is_made_up_for(encoder, tmp_path, monkeypatch):
    settings = {**SETTINGS, "encoder": encoder}
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(xmlkit.inference.predict.Predictor, "evaluate", lambda *_: sys.exit(1))
        training.train(CORPUS, settings, tmp_path / "run")
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    trained = training.resume(tmp_path / "run", CORPUS)
    assert trained.outcome == "finished" and trained.metrics
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == trained.metrics
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    with pytest.raises(UserError, match="no checkpoint to go on from: its training is over"):
        training.resume(tmp_path / "run", CORPUS)


def test_a_log_is_never_cut_by_a_kill(encoder, tmp_path):
    """While a resumed run takes over the old lines."""
    settings = {**SETTINGS, "encoder": encoder, "eval_every": 2, "log_every": 1}
    with tiny.killed_before_step(3):
        training.train(CORPUS, settings, tmp_path / "run")
    before = (tmp_path / "run" / "log.jsonl").read_text()
    assert tiny.status_of(KILLED_IN_ITS_LOG, tmp_path / "run") == 9
    assert (tmp_path / "run" / "log.jsonl").read_text() == before


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143), UserError("a mistake")])
def test_what_is_broken_off_before_the_first_step_leaves_nothing_and_says_so(tmp_path, error, capsys):
    with pytest.raises(type(error)), new_folder(tmp_path / "run", "name") as folder:
        (folder / "config.json").write_text("{}")
        raise error
    assert not folder.exists()
    said = "interrupted before there was anything to be kept in" in capsys.readouterr().err
    assert said is not isinstance(error, UserError)
