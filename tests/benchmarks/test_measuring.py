"""The commands that measure, at sizes where they take seconds; what they find is not looked at."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from xmlkit_plugins import vector_search

import xmlkit
from benchmarks import budget, cuda, encoder_precision, neighbours, step, synthetic, unseen
from xmlkit import tables
from xmlkit.data.formats import jsonl
from xmlkit.data.writing import write_corpus
from xmlkit.testing.tiny import named_corpus

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def tiny_shape(monkeypatch):
    shape = {"num_hidden_layers": 2, "hidden_size": 24, "intermediate_size": 48}
    monkeypatch.setattr(synthetic, "SHAPES", {"minilm": shape})
    monkeypatch.setattr(synthetic, "VOCABULARY", 1100)


@pytest.mark.parametrize("settings", [{"row_state": "full"}, {"row_precision": "bfloat16"}])
def test_a_line_of_the_step_table(settings):
    found = step.measure("minilm", 1000, 4, settings)
    assert found["rows_a_step"] == 1000  # 75 shortlisted clusters are all there are
    small = "row_precision" in settings
    cluster = 16 / 1000 * (2 * 24 + 1) * 4  # a row and a bias for each of 16 clusters, in float32
    label = 400 * 2 + 4 if small else 400 * 4 + 4
    # Steps and a mean square of each table's rows, or steps and two moments of each element.
    state = 2 * 8 * 1016 / 1000 if small else 2 * 4 * 1016 / 1000 + 8 * 401 + 2 * cluster
    assert found["bytes_a_label"]["weights"] == pytest.approx(label + cluster, abs=0.06)
    assert found["bytes_a_label"]["state"] == pytest.approx(state, abs=0.06)
    assert set(found["parts_seconds"]) > {"encoder", "candidates", "scoring", "backward"}
    assert step.line(found).startswith("minilm")


def test_what_the_device_is_compared_by_finds_no_difference_on_the_host(monkeypatch):
    """Twice the CPU, the second time counting nothing, as on a device."""
    asked = []

    def device(wanted):
        asked.append(wanted)
        if wanted == "cuda":
            monkeypatch.setattr(tables, "on_host", lambda tensor: False)
        return torch.device("cpu")

    monkeypatch.setattr(synthetic, "choose_device", device)
    assert cuda.same_as_the_cpu(900, 4) == {"losses": 0.0, "gradients": pytest.approx(0.0, abs=1e-12)}
    assert asked == ["cpu", "cuda"]


def test_without_a_device_nothing_is_measured_and_nothing_written(tmp_path):
    out = tmp_path / "cuda.json"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "benchmarks.cuda", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "no CUDA device" in done.stdout and not out.exists()


@pytest.mark.slow
def test_clusters_of_made_up_labels(tmp_path):
    out = tmp_path / "clusters.json"
    command = [sys.executable, "-m", "benchmarks.clusters", "--labels", "1000", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    found = json.loads(out.read_text())["xmlkit"]
    assert found["clusters"] == 16 and 0 < found["similarity"] <= 1


@pytest.mark.parametrize("module", sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py")))
def test_each_finds_what_it_imports(module):
    """They stand outside the package, so that nothing else notices what was renamed there."""
    importlib.import_module(f"benchmarks.{module}")


def test_searching_through_an_index_is_measured_beside_the_exact_search(tmp_path, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setenv("XMLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(vector_search, "INDEXED_FROM", 1)
    corpus = tiny.learnable_corpus()
    settings = {"encoder": tiny.save_encoder(tmp_path / "encoder"), "plugins": ["neighbours"], "max_steps": 2}
    run = xmlkit.train(corpus, {**settings, "max_len": 16}, tmp_path / "run").model
    found = neighbours.measure(run, corpus.train)
    assert found["documents"] == len(corpus.train) > found["kept"]
    assert set(found["documents_per_second"]) == {"encoding", "exact", "index"}
    assert 0.5 < found["found_of_the_nearest"] <= 1
    assert found["metrics"]["exact"]["P@5"] == pytest.approx(found["metrics"]["index"]["P@5"], abs=10)


def test_an_encoder_in_each_precision_ranks_much_as_in_float32(tmp_path):
    corpus = tiny.learnable_corpus()
    settings = {"encoder": tiny.save_encoder(tmp_path / "encoder"), "max_len": 16, "device": "cpu"}
    run = xmlkit.train(corpus, {**settings, "epochs": 3, "lr": 3e-3, "head_lr": 4e-2}, tmp_path / "run").model
    found = encoder_precision.measure(tmp_path / "run", corpus.test, rounds=1)
    assert list(found) == list(encoder_precision.PRECISIONS)
    assert found["float32"]["times_float32"] == 1
    expected = run.evaluate(corpus.test)
    for name, line in found.items():
        assert line["documents_per_second"] > 0, name
        assert line["P@1"] == pytest.approx(found["float32"]["P@1"], abs=10), name
    assert found["float32"]["P@1"] == round(expected["P@1"], 2) > 50


def test_what_a_budget_said_stands_beside_what_was_taken(tmp_path):
    data = tmp_path / "corpus"
    write_corpus(named_corpus(), data, jsonl)
    given = budget.commands(tiny.save_encoder(tmp_path / "encoder"), ["9h", "10h"])
    assert list(given) == ["bag, 10h", "encoder, 9h", "encoder, 10h", "ensemble, 10h"]
    options = [*given["encoder, 9h"], "--set", "max_steps=2", "--set", "max_len=16", "--set", "device=cpu"]
    found = budget.measure(str(data), options)
    assert found["plan"] == "as it is" and str(tmp_path) not in found["options"]
    ratio = found["taken_seconds"] / found["estimate_seconds"]
    assert found["taken_over_estimate"] == pytest.approx(ratio, rel=0.2)


def test_labels_are_taken_out_of_the_training_documents_alone():
    whole = named_corpus()
    cut, taken = unseen.cut(whole, 0.25, seed=1)
    assert len(taken) == 3 and set(cut.labels.ids) == set(whole.labels.ids) - taken
    assert all(name == f"{label} w40" for label, name in zip(cut.labels.ids, cut.labels.names, strict=True))
    of = {text: labels for text, labels in zip(cut.train.texts, map(list, _lists(cut)), strict=True)}
    for text, labels in zip(whole.train.texts, _lists(whole), strict=True):
        left = [label for label in labels if label not in taken]
        assert sorted(of.get(text, [])) == sorted(left)
    assert all(_lists(cut)) and unseen.cut(whole, 0.25, seed=1)[1] == taken


def _lists(corpus):
    return [[corpus.labels.ids[row] for row in corpus.train.labels[i]] for i in range(len(corpus.train))]
