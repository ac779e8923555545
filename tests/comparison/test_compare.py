"""A comparison of real, tiny runs."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from installing import EXAMPLES, install
from safetensors.torch import load_file

import xmlkit
from xmlkit.comparison.compare import SHOWN, Figure, _verdict, compare, read
from xmlkit.comparison.runs import held_out
from xmlkit.comparison.sets import parse_sets
from xmlkit.config import parse_assignments, resolve
from xmlkit.data.corpus import Labels
from xmlkit.data.dialect import Dialect
from xmlkit.errors import UserError
from xmlkit.metrics import Terms
from xmlkit.training.train import store_start

SETS = "base;se;loss-fix[mode=upstream];base[lr=1e-2,head_lr=5e-2]"
SMALL = {"max_len": 16, "batch_size": 16, "validation": 0.2, "epochs": 1, "device": "cpu", "pooling": "first"}
SMALL |= {"clustered": True, "cluster_size": 3, "shortlist": 3, "precision": "float32"}


@pytest.fixture(scope="module", autouse=True)
def in_this_process():
    with tiny.compared_in_this_process():
        yield


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    encoder = tiny.save_encoder(tmp_path_factory.mktemp("encoder"))
    return {"encoder": encoder, **SMALL}


@pytest.fixture(scope="module")
def corpus():
    return tiny.learnable_corpus()


@pytest.fixture(scope="module")
def found(settings, corpus, tmp_path_factory):
    """The folder and the comparison of it."""
    folder = tmp_path_factory.mktemp("comparison") / "out"
    return folder, compare(corpus, SETS, settings, 2, out=folder)


def test_figures_are_those_of_the_runs(found, settings, corpus):
    folder, comparison = found
    split = held_out(corpus, resolve(settings))
    assert comparison.documents == len(split) > 10
    for row in comparison.rows:
        models = [xmlkit.load(folder / row.name / f"seed-{seed}") for seed in (0, 1)]
        each = [model.evaluate(split) for model in models]
        for metric in SHOWN:
            value = row.metrics[metric].value
            assert value == pytest.approx(np.mean([scores[metric] for scores in each]))
            if row.name != "base":
                figure = row.metrics[metric]
                assert figure.difference == pytest.approx(value - comparison.rows[0].metrics[metric].value)
                assert figure.low <= figure.high
        parameters = sum(p.numel() for p in models[0].opened.model.parameters())
        base = xmlkit.load(folder / "base" / "seed-0").num_parameters
        assert row.extra_parameters == parameters - base
    assert comparison.rows[1].extra_parameters > 0


def test_verdicts(found):
    rows = {row.name: row for row in found[1].rows}
    assert rows["loss-fix[mode=upstream]"].verdict == "the same as base"
    assert rows["loss-fix[mode=upstream]"].could_show == 0
    for row in found[1].rows[1:]:
        p5 = row.metrics["P@5"]
        assert row.could_show == pytest.approx((p5.high - p5.low) / 2)
        if row.verdict != "the same as base":
            expected = "better" if p5.low > 0 else "worse" if p5.high < 0 else "no difference shown"
            assert row.verdict == expected
    # Fifty times the rate within one epoch of ten steps: the difference is there to be seen.
    assert rows["base[lr=1e-2,head_lr=5e-2]"].verdict != "the same as base"


def test_another_base(found, settings, corpus):
    """Nothing is trained, and each difference is the other way round."""
    folder, before = found
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")}
    other = compare(corpus, SETS, settings, 2, out=folder, base=" se ")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")} == written
    assert (before.base, other.base) == ("base", "se")
    assert [row.name for row in other.rows] == ["se", *(name for name in SETS.split(";") if name != "se")]
    theirs, ours = ({row.name: row for row in one.rows} for one in (before, other))
    for metric in SHOWN:
        there, here = theirs["se"].metrics[metric], ours["base"].metrics[metric]
        assert ours["se"].metrics[metric] == Figure(there.value)
        expected = (-there.difference, -there.high, -there.low)
        assert (here.difference, here.low, here.high) == pytest.approx(expected)
    assert ours["base"].extra_parameters == -theirs["se"].extra_parameters < 0
    opposite = {"better": "worse", "worse": "better", "no difference shown": "no difference shown"}
    assert ours["base"].verdict == opposite[theirs["se"].verdict]
    assert json.loads((folder / "validation.json").read_text())["rows"][0]["name"] == "se"
    assert read(folder)[0] == other
    upstream = compare(corpus, SETS, settings, 2, out=folder, base="loss-fix[mode=upstream]")
    assert [row.verdict for row in upstream.rows if row.name == "base"] == [
        "the same as loss-fix[mode=upstream]"
    ]
    compare(corpus, SETS, settings, 2, out=folder)


def test_json_and_csv_hold_the_table(found):
    folder, comparison = found
    document = json.loads((folder / "validation.json").read_text())
    assert [row["name"] for row in document["rows"]] == SETS.split(";")
    assert document["plugins"].keys() == {"lightxml", "se", "loss-fix"} and document["seeds"] == 2
    with (folder / "validation.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    for line, row in zip(lines, comparison.rows, strict=True):
        assert float(line["P@5"]) == row.metrics["P@5"].value
        assert (line["P@5 low"] == "") == (row.name == "base")
        assert line["verdict"] == row.verdict


@pytest.mark.parametrize(
    ("start", "sets"),
    [
        ("prior", "base;se,combination;loss-fix[mode=gradnorm]"),
        ("warm", "base;loss-fix[mode=gradnorm]"),  # rows follow from vectors, which other plugins may change
    ],
)
def test_runs_of_a_seed_begin_with_the_same_weights(settings, corpus, tmp_path, start, sets):
    weights = {}
    for row in parse_sets(sets):
        for seed in (0, 1):
            config = row.config({**settings, "start": start}, seed, None)
            folder = store_start(corpus, config, tmp_path / f"{row.name}-{seed}")
            weights[row.name, seed] = load_file(folder / "model.safetensors")
    for (_, seed), found in weights.items():
        for name, tensor in weights["base", seed].items():
            assert torch.equal(found[name], tensor), name


def test_nothing_looks_at_the_test_split(found):
    folder, _ = found
    assert not list(folder.rglob("metrics.json")) and not list(folder.rglob("*test*"))


def test_what_is_there_is_not_trained_again(found, settings, corpus):
    folder, before = found
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")}
    again = compare(corpus, "loss-fix[mode=upstream];se", settings, 2, out=folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")} == written
    rows = {row.name: row for row in before.rows}
    assert all(row == rows[row.name] for row in again.rows) and len(again.rows) == 3


def test_the_test_part_once_and_on_request(found, settings, corpus):
    folder, _ = found
    final = compare(corpus, "se", settings, 2, "test", folder)
    assert (final.part, final.documents) == ("test", len(corpus.test))
    value = xmlkit.load(folder / "se" / "seed-0").evaluate(corpus.test)["P@5"]
    other = xmlkit.load(folder / "se" / "seed-1").evaluate(corpus.test)["P@5"]
    assert final.rows[1].metrics["P@5"].value == pytest.approx((value + other) / 2)
    assert (folder / "test.json").is_file()


def test_its_command(found, settings, corpus):
    """Of a corpus that was read from somewhere; nothing is trained for it."""
    folder, comparison = found
    assert comparison.command is None
    read_in = replace(corpus, source="a folder", dialect=Dialect(bad_lines="skip", labels_by_name=True))
    given = {**settings, "plugins": []}
    command = compare(read_in, f" {SETS.replace(';', ' ; ')}", given, 2, "test", folder, base="se").command
    sets = "se;base;loss-fix[mode=upstream];base[lr=1e-2,head_lr=5e-2]"
    expected = ["xmlkit", "compare", "a folder", "--bad-lines", "skip", "--labels-by-name"]
    expected += ["--plugin-sets", sets, "--seeds", "2", "--base", "se", "--final", "test"]
    words = shlex.split(command)
    assert words[: len(expected)] == expected
    options, assigned = words[len(expected) :: 2], words[len(expected) + 1 :: 2]
    assert set(options) == {"--set"} and parse_assignments(assigned) == settings


def test_a_folder_of_other_runs_is_refused(found, settings, corpus):
    folder, _ = found
    with pytest.raises(UserError, match="was trained with max_len=16, not 12: name another --out"):
        compare(corpus, "se", {**settings, "max_len": 12}, 2, out=folder)
    with pytest.raises(UserError, match="was trained on other documents"):
        compare(tiny.learnable_corpus(200), "se", settings, 2, out=folder)


def test_a_run_that_was_begun_with_other_settings_is_refused_too(settings, corpus, tmp_path):
    """It has no result yet, but a checkpoint that a call with new settings must not go on from."""
    with tiny.killed_before_step(5):
        compare(corpus, "base", {**settings, "checkpoint_every": 3}, 1, out=tmp_path)
    with pytest.raises(UserError, match=r"was trained with lr=0.0001, not 0.002: name another --out"):
        compare(corpus, "base", {**settings, "checkpoint_every": 3, "lr": 2e-3}, 1, out=tmp_path)
    again = compare(corpus, "base", {**settings, "checkpoint_every": 3}, 1, out=tmp_path)
    whole = compare(corpus, "base", {**settings, "checkpoint_every": 3}, 1, out=tmp_path / "whole")
    assert again.rows[0].metrics == whole.rows[0].metrics


def test_other_test_documents_are_scored_anew(found, settings, corpus):
    folder, _ = found
    few = corpus.test.take(np.arange(20))
    assert compare(replace(corpus, test=few), "se", settings, 2, "test", folder).documents == 20
    value = np.mean([xmlkit.load(folder / "se" / f"seed-{s}").evaluate(few)["P@5"] for s in (0, 1)])
    again = compare(replace(corpus, test=few), "se", settings, 2, "test", folder)
    assert again.rows[1].metrics["P@5"].value == pytest.approx(value)
    # So are the same documents where they are not asked about all labels.
    filtered = replace(few, left_out=few.labels)
    again = compare(replace(corpus, test=filtered), "se", settings, 2, "test", folder)
    assert again.rows[1].metrics["P@5"].value == 0


def test_mistakes(settings, corpus, tmp_path):
    for wrong, expected in (
        ({"plugins": ["se"]}, "plugins belongs into --plugin-sets"),
        ({"se": {"expand": 2}}, "se belongs into --plugin-sets"),
        ({"seed": 3}, "leave it out"),
        ({"validation": 0}, "holds out no document"),
    ):
        with pytest.raises(UserError, match=expected):
            compare(corpus, "base", {**settings, **wrong}, 1, out=tmp_path / "out")
    for asked, expected in (
        ({"base": "sel"}, "--base sel: none of the sets, which are se; se\\[squeeze=max\\]"),
        ({"jobs": 0}, "--jobs 0: one at least"),
    ):
        with pytest.raises(UserError, match=expected):
            compare(corpus, "se;se[squeeze=max]", settings, 1, out=tmp_path / "out", **asked)
    with pytest.raises(UserError, match="--encoder none: base\\[lr=1e-3\\] would have no vectors"):
        without = {**settings, "encoder": "none"}
        compare(corpus, "base[lr=1e-3];lexical", without, 1, out=tmp_path / "out", base="lexical")
    with pytest.raises(UserError, match="has no test split"):
        compare(replace(corpus, test=None), "base", settings, 1, "test", tmp_path / "out")
    assert not (tmp_path / "out").exists()


ASKS = """
from xmlkit import hookimpl
hooks_version = 2
settings = {"validation": 0.0, "layers": 1}
@hookimpl
def run_started(run): pass
"""


def test_no_plugin_decides_what_all_sets_have_in_common(plugin_folder, settings):
    """Else one set would be trained on what all of them are scored by; all else it may ask for."""
    install(plugin_folder, "asks", ASKS)
    _, found = parse_sets("base;asks")
    config = found.config(settings, 0, None)
    assert (config.validation, config.layers) == (0.2, 1)
    assert found.config({"encoder": "tiny"}, 0, None).as_given()["validation"] == 0.05


def test_a_run_that_was_removed_is_scored_anew_and_damaged_scores_are_none(settings, corpus, tmp_path):
    first = compare(corpus, "base", settings, 1, out=tmp_path)
    file = tmp_path / "base" / "seed-0.validation.npz"
    whole = file.read_bytes()
    for damaged in (b"", whole[:40], b"no archive"):
        file.write_bytes(damaged)
        assert compare(corpus, "base", settings, 1, out=tmp_path).rows[0].metrics == first.rows[0].metrics
    shutil.rmtree(tmp_path / "base" / "seed-0")
    (tmp_path / "base" / "seed-0.json").unlink()
    other = compare(corpus, "base", {**settings, "lr": 0.02, "head_lr": 0.1}, 1, out=tmp_path)
    unseen = compare(corpus, "base", {**settings, "lr": 0.02, "head_lr": 0.1}, 1, out=tmp_path / "new")
    assert other.rows[0].metrics == unseen.rows[0].metrics != first.rows[0].metrics


def test_other_names_of_labels_are_another_corpus(settings, corpus, tmp_path):
    compare(corpus, "base", settings, 1, out=tmp_path)
    names = [f"called {label}" for label in corpus.labels.ids]
    renamed = replace(corpus, labels=Labels(corpus.labels.ids, names))
    assert renamed.digest == corpus.digest
    with pytest.raises(UserError, match="was trained with other names of labels: name another --out"):
        compare(renamed, "base", settings, 1, out=tmp_path)


def test_a_plugin_that_was_edited_is_another_one(settings, corpus, tmp_path, plugin_folder):
    """Its version stays, as that of a distribution that is being written does."""
    source = EXAMPLES["layer-gain"]
    install(plugin_folder, "edited", source)
    compare(corpus, "edited", settings, 1, out=tmp_path)
    compare(corpus, "edited", settings, 1, out=tmp_path)
    (plugin_folder / "edited.py").write_text(f"{source}\n# another line\n")
    del sys.modules["edited"]  # as of a new process
    with pytest.raises(UserError, match="was trained with other code of the plugin 'edited': name another"):
        compare(corpus, "edited", settings, 1, out=tmp_path)


def test_of_few_documents_nothing_is_shown():
    """All five are better, as one in 32 draws of five coins is."""
    better = {
        f"{name}@{k}": Terms(np.full(5, 1.0), np.ones(5)) for name in ("P", "PSP", "nDCG") for k in (1, 3, 5)
    }
    worse = {name: Terms(np.zeros(5), np.ones(5)) for name in better}
    for count, verdict in ((5, "no difference shown"), (6, "better")):
        some = [
            {name: Terms(np.full(count, of.part_N[0]), np.ones(count)) for name, of in terms.items()}
            for terms in (better, worse)
        ]
        assert _verdict(Figure(100, 100, 100, 100), some[:1], some[1:], "base") == verdict
