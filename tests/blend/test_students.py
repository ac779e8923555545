"""`train --distil`: one plain model of an ensemble's scores, end to end, broken off, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace

import commands
import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file

import xmlkit
from xmlkit.blend.distil import distil
from xmlkit.data.corpus import Corpus, load_corpus, validation_rows
from xmlkit.errors import UserError

SETTINGS = {"max_len": 16, "batch_size": 16, "validation": 0.3, "device": "cpu", "log_every": 1}
BAG = {"encoder": "none", "plugins": ["lexical"], "lexical": {"buckets": 1024, "width": 16}}


def as_options(settings):
    return [f"--set={key}={value}" for key, value in settings.items()]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A corpus's folder, an encoder, a run, an ensemble of it with its neighbours, and more texts."""
    folder = tmp_path_factory.mktemp("place")
    commands.write_corpus(folder / "data")
    encoder, corpus = tiny.save_encoder(folder / "encoder"), load_corpus(folder / "data")
    settings = {**SETTINGS, "encoder": encoder, "epochs": 4, "lr": 3e-3}
    xmlkit.train(corpus, settings, folder / "plain")
    xmlkit.ensemble([str(folder / "plain"), f"neighbours:{folder / 'plain'}"], corpus, folder / "whole")
    (folder / "more").write_text("".join(f"{text}\n" for text in tiny.texts(60, seed=9)))
    return folder


@pytest.fixture(scope="module")
def corpus(place):
    return load_corpus(place / "data")


@pytest.mark.slow
def test_the_command(place, corpus, tmp_path):
    """A table, and a run that needs nothing of its teacher; the same command again trains nothing."""
    student, teacher = tmp_path / "student", shutil.copytree(place / "whole", tmp_path / "teacher")
    command = ["train", place / "data", "--encoder", "none", "--plugin", "lexical", *as_options(SETTINGS)]
    command += ["--set=lexical.buckets=1024", "--set=lexical.width=16", "--set=epochs=2"]
    command += ["--distil", teacher, "--unlabelled", place / "more", "--out", student]
    out, err = commands.xmlkit(*command)
    rows = {line.split("│")[1].strip(): line.split("│")[2:-1] for line in out.splitlines() if "│" in line}
    assert rows.keys() >= {"teacher", "student", "kept"} and "times as fast" in out
    assert "texts without labels" in err and "distil: " in err
    kept = json.loads((student / "kept.json").read_text())
    assert f"what is kept on {len(corpus.test)} test documents" in out
    for name, run in (("teacher", teacher), ("student", student)):
        model = xmlkit.load(run)
        assert kept[name]["scores"] == pytest.approx(model.evaluate(corpus.test))
        assert kept[name]["parameters"] == model.num_parameters and kept[name]["milliseconds"] > 0
        assert rows[name][0].strip() == f"{kept[name]['scores']['P@1']:.2f}"
    points, low, high = kept["difference"]
    gap = kept["student"]["scores"]["nDCG@5"] - kept["teacher"]["scores"]["nDCG@5"]
    assert points == pytest.approx(gap) and low <= points <= high
    assert json.loads((student / "metrics.json").read_text()) == xmlkit.load(student).evaluate(corpus.test)
    log = (student / "log.jsonl").read_bytes()
    again, _ = commands.xmlkit(*command)
    assert (student / "log.jsonl").read_bytes() == log and "times as fast" in again
    teacher.rename(tmp_path / "away")
    assert xmlkit.load(student).predict(["w1 w2"])[0]


def test_it_is_the_plugins_training(place, corpus, tmp_path):
    """To the bit, whatever of the plugin is set beside."""
    settings = {**SETTINGS, **BAG, "max_steps": 5}
    trained, kept = distil(corpus, {**settings, "distil": {"weight": 5}}, place / "plain", tmp_path / "one")
    assert kept.metric == "nDCG@5" and kept.teacher_folder == str(place / "plain")
    options = {"weight": 5, "teacher": str(place / "plain")}
    given = {**settings, "plugins": ["lexical", "distil"], "distil": options}
    xmlkit.train(corpus, given, tmp_path / "other")
    one, other = (load_file(run / "model.safetensors") for run in (trained.folder, tmp_path / "other"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["asking", "training"])
def test_ctrl_c_and_the_same_command(place, tmp_path, when):
    """While the teacher is asked nothing is there yet; while the student learns there is a checkpoint."""
    student = tmp_path / "student"
    command = ["train", place / "data", "--encoder", place / "encoder", *as_options(SETTINGS), "--distil"]
    command += [place / "whole", "--out", student]
    if when == "asking":
        (tmp_path / "many").write_text("".join(f"w{row % 59} {row}\n" for row in range(6_000)))
        command += ["--unlabelled", tmp_path / "many"]
    started = commands.started(tmp_path, *command, *([] if when == "asking" else ["--set=epochs=3000"]))
    if when == "asking":
        for line in started.stderr:
            if "is asked about" in line:
                break
    else:
        commands.wait_for_lines(student / "log.jsonl", 3, started)
    os.kill(started.pid, signal.SIGINT)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130 and "interrupted; the same command goes on" in said
    assert "Traceback" not in said
    if when == "asking":
        assert not student.exists()
        out, _ = commands.xmlkit(*command[:-4], "--set=epochs=1", *command[-4:-2])  # with other settings, too
        assert "kept" in out
        return
    steps = (student / "log.jsonl").read_text().count("\n")
    again = commands.started(tmp_path, *command, "--set=epochs=3000")
    commands.wait_for_lines(student / "log.jsonl", steps + 2, again)
    os.kill(again.pid, signal.SIGINT)
    _, said = again.communicate(timeout=60)
    assert "going on after step" in said and again.returncode == 130


@pytest.mark.parametrize(
    ("teacher", "changed", "message"),
    [
        ("nowhere", {}, "nowhere is not a run"),
        (
            "whole",
            {"validation": 0.4},
            "whole has learnt from documents that the student would hold out: it held",
        ),
        (
            "plain",
            {"validation": 0.4},
            "plain has learnt from documents that the student would hold out: it held",
        ),
        ("whole", {"distil": {"teacher": "other"}}, "--distil names the teacher: leave out distil.teacher"),
        ("whole", {"distil": {"top_k": 0}}, "distil.top_k=0"),
        ("whole", {"plugins": []}, "--encoder none: no plugin makes document vectors"),
        ("whole", {"unlabelled": "nowhere"}, "nowhere: it is no file; name one of texts"),
    ],
)
def test_mistakes(place, corpus, tmp_path, teacher, changed, message):
    """Nothing is left of them, and what is put right takes the same folder."""
    settings = {**SETTINGS, **BAG, "max_steps": 1, **changed}
    if changed.get("plugins") == []:
        del settings["lexical"]
    with pytest.raises(UserError, match=message) as error:
        distil(corpus, settings, place / teacher, tmp_path / "student")
    assert "\n" not in str(error.value) and not (tmp_path / "student").exists()
    made = distil(corpus, {**SETTINGS, **BAG, "max_steps": 1}, place / "whole", tmp_path / "student")
    assert made is not None


@pytest.mark.parametrize("teacher", ["whole", "plain"])
def test_a_teacher_of_other_labels_or_documents(place, corpus, tmp_path, teacher):
    other = [[f"x{label}" for label in row] for row in corpus.train.labels]
    for texts, labels in (
        (corpus.train.texts, other),
        ([f"{text} w1" for text in corpus.train.texts], other),
    ):
        stranger = Corpus.of(texts, labels, name="stranger")
        with pytest.raises(
            UserError, match=f"{teacher} was trained on other documents or labels than stranger"
        ):
            distil(stranger, {**SETTINGS, **BAG}, place / teacher, tmp_path / "student")
    assert not list(tmp_path.iterdir())


def test_without_a_test_split(place, corpus, tmp_path):
    """By the student's held-out documents, of which the teacher may hold out more; there must be some."""
    corpus, settings = replace(corpus, test=None), {**SETTINGS, **BAG, "validation": 0.1, "max_steps": 1}
    _, kept = distil(corpus, settings, place / "whole", tmp_path / "student")
    held_out = corpus.train.take(np.flatnonzero(validation_rows(corpus.train.texts, 0.1, 4000)))
    assert kept.part == "held-out" and kept.num_documents == len(held_out) == round(0.1 * len(corpus.train))
    assert kept.teacher.scores == pytest.approx(xmlkit.load(place / "whole").evaluate(held_out))
    with pytest.raises(UserError, match="no document is left to tell what is kept by: set validation above"):
        distil(corpus, {**settings, "validation": 0}, place / "whole", tmp_path / "other")


@pytest.mark.parametrize(
    "options", [["--ensemble", "auto"], ["--budget", "1h"], ["--init-from", "x"], ["--resume", "x"]]
)
def test_options_that_go_together_with_nothing(tmp_path, options):
    _, err = commands.xmlkit("train", "--distil", "runs/a", *options, cwd=tmp_path, code=1)
    assert "--distil trains one model anew: leave out --ensemble, --budget" in " ".join(err.split())
