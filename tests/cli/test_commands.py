"""What commands print and keep."""

from __future__ import annotations

import json
import os
import shutil

import forked
import pytest
from commands import QUICK, xmlkit
from installing import ROOT

from xmlkit.config import SETTINGS


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


@pytest.mark.slow
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
    assert "lightxml  (xmlkit-xmc " in out and "; always active)" in out


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


def test_without_a_command_it_shows_what_there_is():
    assert "Usage: xmlkit" in xmlkit()[0]


def test_the_readmes_python(place, tmp_path):
    readme = (ROOT / "README.md").read_text()
    code = readme.split("```python\n")[1].split("```")[0]
    shutil.copytree(place / "run", tmp_path / "runs" / "mine")
    environment = dict(os.environ, PYTHONPATH=str(place / "site"))
    done = forked.run(["-c"], b"", tmp_path, environment, code)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6 and (tmp_path / "runs" / "lists" / "model.safetensors").exists()


@pytest.mark.slow
def test_without_data_it_trains_on_the_embedded_corpus(tmp_path):
    out, err = xmlkit("train", "--set", "max_steps=2", "--set", "batch_size=8", cwd=tmp_path)
    assert "data: demo" in err and "better: --encoder FOLDER, or --encoder none --plugin lexical" in err
    assert "next: echo" in err and "xmlkit train FOLDER --encoder auto\n" in err and "xmlkit compare " in err
    assert "demo, test split" in out and (tmp_path / "runs" / "demo" / "metrics.json").exists()


def test_settings_are_listed_as_train_would_use_them(place):
    table, _ = xmlkit("settings", "--recipe", "lightxml", "--set", "epochs=7", "--plugin", "lexical")
    values = {line.split()[0]: line for line in table.splitlines()[1:]}
    listed = {*SETTINGS, "lexical.width", "lexical.dropout"} - {"plugins"}
    assert listed <= set(values) and set(values) - listed <= {name for name in values if "." in name}
    assert values["epochs"].split()[1:4] == ["7", ">=", "0"] and values["batch_size"].split()[1] == "16"
    assert "first, mean" in values["pooling"] and values["pooling"].split()[1] == "first"
    assert "true, false, none" in values["clustered"] and values["clustered"].split()[1] == "none"
    only, _ = xmlkit("settings", "clustered", "--data", "corpus", cwd=place)
    assert only.splitlines()[1].split()[:2] == ["clustered", "false"] and only.count("\n") == 2
    _, err = xmlkit("settings", "lexical.widht", "--plugin", "lexical", code=1)
    assert err == "error: no setting 'lexical.widht': did you mean 'lexical.width'?\n"
