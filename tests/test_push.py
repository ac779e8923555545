"""A run given away and taken again: what leaves, the card, and a hub (on this machine) in between."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import tiny
from commands import xmlkit as command
from hub_here import hub_with

import xmlkit
from xmlkit import UserError
from xmlkit.blend.threshold import Fitted, keep
from xmlkit.hub import local
from xmlkit.model.tensor_file import load_digest
from xmlkit.sharing.parcel import members_with_texts
from xmlkit.sharing.push import push, write

NAME = "some/model"
TEXTS = ["w1 w2 w3", "w9 w4"]


def test_what_prediction_needs_is_written_and_nothing_else(copied_run, tmp_path):
    (copied_run / "checkpoint.safetensors").write_bytes(b"of training")
    (copied_run / "notes.txt").write_text("mine")
    (copied_run / "metrics.json").write_text('{"P@1": 41.257, "P@3": 27.0}')
    files = write(copied_run, NAME, tmp_path / "out")
    there = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert set(files) == there
    encoder = {name for name in there if name.startswith("encoder/")}
    own = {"README.md", "config.json", "labels.jsonl", "model.json", "model.safetensors", "metrics.json"}
    assert there == own | encoder and encoder
    assert xmlkit.load(tmp_path / "out").predict(TEXTS) == xmlkit.load(copied_run).predict(TEXTS)


def test_the_card_says_what_the_folder_says(copied_run, tmp_path):
    (copied_run / "metrics.json").write_text('{"P@1": 41.257, "P@3": 27.0, "R@1": 9, "R@3": 8}')
    write(copied_run, NAME, tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    front = text.split("---\n")[1]
    assert "library_name: xmlkit" in front and "pipeline_tag: text-classification" in front
    assert "license" not in front and "base_model" not in front  # its encoder was a folder
    assert "| % | @1 | @3 |\n| --- | ---: | ---: |\n| P | 41.26 | 27.00 |\n| R | 9.00 | 8.00 |" in text
    assert "No text of a training document is in it." in text
    assert f"xmlkit predict hub:{NAME}" in text and "cluster_size = 3\n" in text
    documents = json.loads((copied_run / "model.json").read_text())["training_documents"]
    assert f"held-out ones included: {documents:,}\n" in text
    assert str(tmp_path) not in text  # nor any other folder of this machine
    assert not re.search(r"[ `\"]/\w+/", text)


def test_a_folder_in_use_and_a_name_that_is_none_are_refused(copied_run, tmp_path):
    with pytest.raises(UserError, match="there is something already"):
        write(copied_run, NAME, copied_run)
    for name in ("model", "a/b/c", "../x", "a b/c", ""):
        with pytest.raises(UserError, match="no name on the hub"):
            write(copied_run, name, tmp_path / "out")
        with pytest.raises(UserError, match="no name on the hub"):
            xmlkit.load(f"hub:{name}")
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_not_whole_is_not_given_away(copied_run, tmp_path):
    (copied_run / "labels.jsonl").write_text("")
    with pytest.raises(UserError, match="not as the run wrote it"):
        write(copied_run, NAME, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_ensemble_goes_whole_and_says_that_it_holds_texts(tmp_path):
    corpus, scores = tiny.learnable_corpus(), tmp_path / "scores.tsv"
    pairs = [
        (text, corpus.labels.ids[label])
        for row, text in enumerate(corpus.train.texts)
        for label in corpus.train.labels[row]
    ]
    scores.write_text("".join(f"{text}\t{label}\t0.9\n" for text, label in pairs))
    given = {"encoder": tiny.save_encoder(tmp_path / "encoder"), "max_len": 16, "max_steps": 1}
    xmlkit.train(corpus, {**given, "device": "cpu", "validation": 0.3}, tmp_path / "run")
    members = [str(tmp_path / "run"), f"scores:{scores}", "linear"]
    xmlkit.ensemble(members, corpus, out=tmp_path / "whole", summed=True)
    assert len(members_with_texts(tmp_path / "whole")) == 1
    _, err = command("push", tmp_path / "whole", NAME, "--dry-run", "--out", tmp_path / "out")
    assert f"hold texts and their scores; once uploaded, all who may read {NAME} may read them\n" in err
    shutil.rmtree(tmp_path / "run")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "pip install xmlkit-xmc omikuji\n" in card
    assert "**It holds texts**" in card and str(tmp_path) not in card
    assert xmlkit.load(tmp_path / "out").predict(TEXTS) == xmlkit.load(tmp_path / "whole").predict(TEXTS)


def test_dry_run_is_a_command(copied_run):
    _, err = command("push", copied_run, NAME, "--dry-run")
    folder = copied_run.with_name("run-to-push")
    assert (folder / "README.md").is_file() and f"uploads them to {NAME}" in err
    assert "there is something already" in command("push", copied_run, NAME, "--dry-run", code=1)[1]
    assert "goes with --dry-run" in command("push", copied_run, NAME, "--out", "x", code=1)[1]


@pytest.fixture
def hub(copied_run, tmp_path, monkeypatch):
    write(copied_run, NAME, tmp_path / "pushed")
    (tmp_path / "pushed" / "evil.py").write_text("raise SystemExit")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    with hub_with(NAME, tmp_path / "pushed", monkeypatch) as server:
        yield server


@pytest.mark.slow
def test_a_model_of_the_hub_is_a_run_like_any_other(copied_run, hub, tmp_path):
    (tmp_path / "texts").write_text("\n".join(TEXTS) + "\n")
    here, _ = command("predict", copied_run, tmp_path / "texts", "--format", "tsv")
    there, _ = command("predict", f"hub:{NAME}", tmp_path / "texts", "--format", "tsv", fresh=True)
    assert there == here
    assert "model.safetensors" in hub.asked and "evil.py" not in hub.asked
    _, err = command("predict", "hub:some/other", tmp_path / "texts", code=1, fresh=True)
    assert err.startswith("error: hub:some/other: ") and err.count("\n") == 1


@pytest.mark.slow
def test_without_the_hub_what_was_fetched_serves(copied_run, hub, tmp_path, monkeypatch):
    (tmp_path / "texts").write_text("w3\n")
    first, _ = command("predict", f"hub:{NAME}", tmp_path / "texts", fresh=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    again, err = command("predict", f"hub:{NAME}", tmp_path / "texts", fresh=True)
    assert again == first
    assert err.count(f"hub:{NAME}: from the hub's cache, as the hub cannot be reached\n") == 1
    _, err = command("predict", "hub:some/other", tmp_path / "texts", code=1, fresh=True)
    assert "the hub cannot be reached" in err and err.count("\n") == 1


def test_a_folder_stays_a_folder(tmp_path):
    assert local(tmp_path) == tmp_path and local("runs/mine") == Path("runs/mine")


@pytest.mark.slow
def test_what_the_hub_does_not_take_is_said(copied_run, monkeypatch):
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled

    def refused(self, *arguments, **options):
        raise OfflineModeIsEnabled("offline")

    monkeypatch.setattr(HfApi, "create_repo", refused)
    monkeypatch.setattr("xmlkit.sharing.push.is_silent", lambda: False)
    with pytest.raises(UserError, match="the hub cannot be reached"):
        push(copied_run, NAME)


class Taken:
    """The part of the hub's API by which something is written, with a repository that is there."""

    def __init__(self, there, private):
        self.there, self.private, self.changes = there, private, None

    def create_repo(self, name, **options):
        return f"https://example.org/{name}"

    def repo_info(self, name):
        return self

    def list_repo_files(self, name):
        return self.there

    def create_commit(self, name, changes, commit_message):
        self.changes = {
            (type(one).__name__.removeprefix("CommitOperation"), one.path_in_repo) for one in changes
        }


def test_what_was_there_before_goes_and_the_card_stays(copied_run, monkeypatch, capsys):
    others = [
        "notes.md",
        "train_data.jsonl",
        "eval_results.json",
        "notes/figures.json",
        "data/train.jsonl",
        "adapter/model.safetensors",
    ]
    old = ["ensemble.json", "members/0/model.json", "threshold.json", "README.md", "model.json", *others]
    api = Taken(old, private=False)
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: api)
    monkeypatch.setattr("xmlkit.sharing.push.is_silent", lambda: False)
    push(copied_run, NAME)
    gone = {name for kind, name in api.changes if kind == "Delete"}
    assert gone == {"ensemble.json", "members/0/model.json", "threshold.json"}
    added = {name for kind, name in api.changes if kind == "Add"}
    assert {"model.json", "model.safetensors"} <= added and "README.md" not in added
    assert "keeps its card" in capsys.readouterr().err
    with pytest.raises(UserError, match="is public: make it private first"):
        push(copied_run, NAME, private=True)
    api.there = []
    push(copied_run, NAME)
    assert ("Add", "README.md") in api.changes
    api.there = ["data.json", "encoder/x"]  # of a repository that has held no run
    push(copied_run, NAME)
    assert not [name for kind, name in api.changes if kind == "Delete"]


@pytest.mark.parametrize("name", ["labels.jsonl", "metrics.json", "threshold.json"])
def test_a_link_to_elsewhere_is_not_given_away(copied_run, tmp_path, name):
    (copied_run / "metrics.json").write_text('{"P@1": 41.257}')
    fitted = {"measure": "micro-F1", "percent": 40.0, "threshold": 0.2, "limit": 5, "labels_each": 2.0}
    weights = load_digest(copied_run / "model.safetensors")
    keep(copied_run, Fitted(**fitted, documents=9, weights=weights))
    shutil.move(copied_run / name, tmp_path / "elsewhere")
    (copied_run / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link to a file elsewhere"):
        write(copied_run, NAME, tmp_path / "out")
