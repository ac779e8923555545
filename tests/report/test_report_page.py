"""What stands in a page is what the run, its log and `evaluate` say, and text stays text."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import sys

import numpy as np
import pytest
import tiny
from commands import xmlkit
from pages import HOSTILE, RUN, SETTINGS, Page, points, write_comparison

import xmlkit as library
from xmlkit.blend.calibration import calibration_error
from xmlkit.comparison.compare import SHOWN, compare
from xmlkit.data.corpus import load_corpus, load_split
from xmlkit.model.folder import WEIGHTS, description_of

LOSSES = "Losses of training steps"


@pytest.fixture(scope="module")
def model(reported):
    return library.load(reported / RUN)


@pytest.fixture(scope="module")
def split(reported, model):
    return load_split(reported / "corpus", model.labels)


@pytest.fixture(scope="module")
def log(reported):
    return [json.loads(line) for line in (reported / RUN / "log.jsonl").read_text().splitlines()]


def test_what_was_trained(reported, page):
    described = description_of(reported / RUN)
    assert page.titles == [RUN]
    assert page.facts["Corpus"] == described.source == str((reported / "corpus").resolve())
    assert page.facts["Training documents"].startswith(f"{described.training_documents:,}, with ")
    for what, which in described.machine.items():
        assert f"{what} {which}" in page.facts["Machine"]
    assert "se " in page.facts["Plugins"] and "loss-fix " in page.facts["Plugins"]
    (command,) = [line for line in page.says if line.startswith("xmlkit train")]
    assert shlex.split(command)[2:] == [described.source, "--config", str(reported / RUN / "config.json")]
    settings = dict(page.tables["All settings"][1:])
    assert settings["batch_size"] == "16" and settings["plugins"] == '["se", "loss-fix"]'
    assert "seed" in settings and "seed" not in dict(page.tables["Settings that differ from the defaults"])


def test_figures_are_those_of_metrics_json(reported, page):
    metrics = json.loads((reported / RUN / "metrics.json").read_text())
    head, *rows = page.tables["Of test documents, in percent"]
    shown = {f"{name}{k}": cell for name, *cells in rows for k, cell in zip(head[1:], cells, strict=True)}
    assert shown == {name: f"{value:.2f}" for name, value in metrics.items()}


def test_curves_are_those_of_the_log(page, log):
    trained = [line for line in log if "loss" in line]
    shown = points(page.pictures[LOSSES])
    for name in ("loss", "generator", "ranker"):
        ours = [(point["step"], point["epoch"], point["value"]) for point in shown if point["name"] == name]
        assert ours == [(line["step"], line["epoch"], line[name]) for line in trained] and len(ours) > 20
    scored = [line for line in log if "validation/P@5" in line]
    shown = points(page.pictures["P@k of held-out documents"])
    ours = [(point["step"], point["value"]) for point in shown if point["name"] == "P@5"]
    assert ours == [(line["step"], line["validation/P@5"]) for line in scored] and len(ours) > 2
    steps_an_epoch = trained[-1]["step"] / SETTINGS["epochs"]
    assert [point["epoch"] for point in shown if point["name"] == "P@1"] == pytest.approx(
        [line["step"] / steps_an_epoch for line in scored], abs=1e-3
    )
    found = {point["name"] for point in points(page.pictures["Shortlists of held-out documents"])}
    assert found == {"recall", "churn"}
    norms = [point["value"] for point in points(page.pictures["loss-fix/norm"]) if point["name"] == "ranker"]
    assert norms == [line["loss-fix/norm/ranker"] for line in trained]
    assert [point["value"] for point in points(page.pictures["se/deviation"])] == [
        line["se/deviation"] for line in trained
    ]
    gates = points(page.pictures["se/gate"])
    assert [point["value"] for point in gates if point["name"] == "2"] == [
        line["se/gate/2"] for line in trained
    ]
    best = max(scored, key=lambda line: (line["validation/P@5"], line["validation/nDCG@5"], line["step"]))
    assert page.facts["Weights"].startswith(f"of step {best['step']},")


def test_tenths_add_up_to_the_whole(reported, page):
    metrics = json.loads((reported / RUN / "metrics.json").read_text())
    for kind in ("P", "PSP"):
        shown = points(page.pictures[f"What rare and frequent labels bring to {kind}@k"])
        for k in (1, 3, 5):
            parts = [point["value"] for point in shown if point["name"] == f"{kind}@{k}"]
            assert len(parts) == 10 and sum(parts) == pytest.approx(metrics[f"{kind}@{k}"], abs=0.01)


def test_labels_are_as_evaluate_has_them(reported, page, tmp_path):
    xmlkit("evaluate", reported / RUN, "--limit", 5, "--per-label", tmp_path / "each.tsv")
    with (tmp_path / "each.tsv").open(encoding="utf-8", newline="") as file:
        rows = {row["label"]: row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    labels = page.listed[0]["labels"]
    columns = {"support": "support", "right": "true_positives", "wrong": "false_positives"}
    for place, label in enumerate(labels["ids"]):
        row = rows[label]
        for ours, theirs in columns.items():
            assert labels[ours][place] == int(row[theirs])
        for ours, theirs in {"p": "P", "r": "R", "f1": "F1"}.items():
            assert f"{labels[ours][place]:.2f}" == row[theirs]
    assert labels["names"][labels["ids"].index("w3")] == HOSTILE
    counts = load_corpus(reported / "corpus").train.labels.values
    assert sum(labels["training"]) == len(counts)


def test_documents_are_as_predicted(page, model, split):
    listed, labels = page.listed[0]["documents"], page.listed[0]["labels"]["ids"]
    assert listed["texts"] == list(split.texts) and listed["ids"] == split.ids
    predicted = model.predict(list(split.texts), top_k=10)
    for row, found in enumerate(predicted):
        assert [labels[label] for label in listed["predicted"][row]] == [one.label for one in found]
        assert listed["scores"][row] == pytest.approx([one.score for one in found], abs=6e-5)
        true = {split.label_ids[label] for label in split.labels[row]}
        assert {labels[label] for label in listed["truth"][row]} == true


def test_calibration_is_of_the_first_predictions(page, model, split):
    ranking = model.ranking(split, 5)
    rows, ranks = np.nonzero(ranking.ids_NK >= 0)
    right = [ranking.ids_NK[row, rank] in split.labels[row] for row, rank in zip(rows, ranks, strict=True)]
    error = calibration_error(ranking.scores_NK[rows, ranks], np.array(right))
    assert f"error {error:.2f}%" in page.html
    shown = points(page.pictures["Calibration"])
    assert sum(point["count"] for point in shown) == len(right)
    assert sum(point["count"] * point["right"] for point in shown) == pytest.approx(sum(right))
    off = sum(point["count"] * abs(point["right"] - point["scored"]) for point in shown)
    assert 100 * off / len(right) == pytest.approx(error)


def test_text_stays_text(page):
    """No tag of the corpus is one of the page's, and its data end no script."""
    assert not page.tags & {"img", "iframe", "i"} and "49" not in page.titles[0]
    assert page.html.count("<script") == 3 + len(page.pictures) + len(page.listed)  # and none in between
    assert "window.taken" in page.html  # it is there, as text
    assert "\\u003c/script\\u003e" in page.html and "<!--" not in page.html.replace("<!doctype", "")


def test_nothing_is_fetched(page):
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert page.policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in page.policy.replace("style-src 'unsafe-inline'", "")


def test_a_page_of_several(reported, tmp_path):
    """A run without its corpus has all but test documents; --data brings them back."""
    moved = shutil.copytree(reported / RUN, tmp_path / "copy")
    (tmp_path / "test.jsonl").write_text('{"text": "w3 w4", "labels": ["w3", "w55"]}\n')
    both = [reported / RUN, moved]
    xmlkit("report", *both, "--data", tmp_path / "test.jsonl", "-o", tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert page.titles == ["Side by side", RUN, "copy"] and len(page.listed) == 2
    assert [row[0] for row in page.tables["Of test documents, in percent"]] != []
    assert page.listed[0] == page.listed[1] and page.listed[0]["documents"]["texts"] == ["w3 w4"]
    assert any("1 of their labels are unknown to the model" in line for line in page.says)
    unknown = page.listed[0]["labels"]["ids"].index("w55")
    assert page.listed[0]["labels"]["training"][unknown] == 0


@pytest.mark.slow
def test_without_the_corpus(reported, copied_run, tmp_path):
    """That was made in memory; figures are then those that the run has noted."""
    (copied_run / WEIGHTS).rename(tmp_path / "weights")
    _, err = xmlkit("report", copied_run, "-o", tmp_path / "page.html")
    assert "without test documents:" in err and "no model.safetensors yet" in err
    (tmp_path / "weights").rename(copied_run / WEIGHTS)
    _, err = xmlkit("report", copied_run, "-o", tmp_path / "page.html")
    assert "without test documents:" in err and "made in memory: name DATA" in err
    page = Page(tmp_path / "page.html")
    metrics = json.loads((copied_run / "metrics.json").read_text())
    assert page.listed == [] and f"{metrics['PSP@5']:.2f}" in page.tables["Of test documents, in percent"][5]


@pytest.fixture(scope="module")
def compared(reported):
    folder, corpus = reported / "compared", load_corpus(reported / "corpus")
    settings = {key: value for key, value in SETTINGS.items() if key != "plugins"} | {"epochs": 1}
    settings |= {"encoder": str(reported / "encoder"), "eval_every": 6}
    with tiny.compared_in_this_process():
        return folder, compare(corpus, "base;se;base[lr=1e-2,head_lr=5e-2]", settings, 2, out=folder)


def test_the_command_of_a_comparison(tmp_path):
    (tmp_path / "run <b>").mkdir()
    table = write_comparison(tmp_path / "run <b>")
    xmlkit("report", tmp_path / "run <b>", "-o", tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert [line for line in page.says if line.startswith("xmlkit compare")] == [table.command]
    table = write_comparison(tmp_path / "run <b>", command=None)
    xmlkit("report", tmp_path / "run <b>", "-o", tmp_path / "page.html")
    assert "xmlkit compare" not in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_what_a_comparisons_page_says_makes_the_same(compared, tmp_path):
    """Of the same runs, none of which is trained again."""
    folder, _ = compared
    xmlkit("report", folder, "-o", tmp_path / "page.html")
    (command,) = [line for line in Page(tmp_path / "page.html").says if line.startswith("xmlkit compare")]
    weights = {path: path.stat().st_mtime_ns for path in folder.rglob(WEIGHTS)}
    before = (folder / "validation.json").read_text()
    xmlkit(*shlex.split(command)[1:], "--out", folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob(WEIGHTS)} == weights
    assert json.loads((folder / "validation.json").read_text())["rows"] == json.loads(before)["rows"]


@pytest.mark.slow
def test_a_comparison(compared, tmp_path):
    folder, found = compared
    xmlkit("report", folder, "-o", tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    for metric in SHOWN:
        shown = points(page.pictures[metric])
        for point, row in zip(shown, found.rows[1:], strict=True):
            figure = row.metrics[metric]
            ours = [point[key] for key in ("name", "difference", "low", "high")]
            assert ours == [row.name, figure.difference, figure.low, figure.high]
            assert point["is"] == ("away from 0" if figure.low > 0 or figure.high < 0 else "not told from 0")
    (caption,) = [caption for caption in page.tables if caption.startswith("Figures of base")]
    head, base, *others = page.tables[caption]
    assert base[head.index("P@5")] == f"{found.rows[0].metrics['P@5'].value:.2f}"
    assert [row[head.index("verdict on P@5")] for row in others] == [row.verdict for row in found.rows[1:]]
    curve = [p for p in points(page.pictures["P@5 of held-out documents"]) if p["name"] == "se"]
    of_seeds = []
    for seed in (0, 1):
        lines = (folder / "se" / f"seed-{seed}" / "log.jsonl").read_text().splitlines()
        of_seeds.append(
            [line["validation/P@5"] for line in map(json.loads, lines) if "validation/P@5" in line]
        )
    assert [point["value"] for point in curve] == pytest.approx(np.mean(of_seeds, 0))
    other = json.loads((folder / "validation.json").read_text())
    other["rows"][0]["name"], other["at_once"] = "se,lexical", 2
    (folder / "validation.json").write_text(json.dumps(other))
    xmlkit("report", folder, "-o", tmp_path / "page.html")
    words = (tmp_path / "page.html").read_text()
    assert any(
        caption.startswith("Figures of se,lexical in") for caption in Page(tmp_path / "page.html").tables
    )
    assert words.count("Difference from se,lexical (") >= len(SHOWN) and "from base" not in words
    assert "Differences from se,lexical, with 95%" in words
    assert "Up to 2 runs were trained at once: their seconds can't be compared." in words
    (folder / "validation.json").write_text('{"part": "validation"}')
    _, err = xmlkit("report", folder, "-o", tmp_path / "page.html", code=1)
    assert "validation.json is damaged" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["corpus"], "corpus is neither a run nor a comparison: it holds no model.json"),
        ([RUN, "-o", "corpus"], "--out corpus is there and no file that could be replaced"),
        ([RUN, "-o", "nowhere/page.html"], "--out nowhere/page.html: no such folder; make it first"),
        ([RUN, "--data", "nowhere"], "nowhere: no such file or folder"),
        ([RUN, "--text-column", "a"], "--text-column a: a run remembers how its corpus was read"),
    ],
)
def test_mistakes_are_one_line(reported, arguments, expected):
    _, err = xmlkit("report", *arguments, cwd=reported, code=1)
    assert err.startswith(f"error: {expected}") and err.count("\n") == 1
    assert not (reported / "report.html").exists()


def test_labels_of_another_kind(reported, tmp_path):
    (tmp_path / "some.jsonl").write_text('{"text": "w3 w44", "labels": ["http://w3"]}\n')
    _, err = xmlkit("report", reported / RUN, "--data", tmp_path / "some.jsonl", cwd=tmp_path, code=1)
    assert "knows none of its labels" in err and not (tmp_path / "report.html").exists()


@pytest.mark.slow
def test_damaged_files_are_named(reported, tmp_path):
    run = shutil.copytree(reported / RUN, tmp_path / "run")
    for text in ('{"P@1": NaN}', "[1]", '{"P@1": "a"}', "{"):
        (run / "metrics.json").write_text(text)
        _, err = xmlkit("report", run, "-o", tmp_path / "page.html", code=1)
        assert "metrics.json is damaged" in err and err.count("\n") == 1
    (run / "metrics.json").write_text('{"P@1": 3, "unseen": {"labels": "many"}}')
    with (run / "log.jsonl").open("a") as log:
        log.write(
            f'{{"step": 9, "seconds": 1, "loss": 1{"0" * 400}, "lr": "<b>", "x/y": true, "se/x": null}}\n'
        )
        log.write('{"step": "9", "loss": 3}\n{"step": 9, "seconds": "long"}\n{"step": 9, "epoch": "last"')
    xmlkit("report", run, "-o", tmp_path / "page.html")
    assert points(Page(tmp_path / "page.html").pictures[LOSSES])


@pytest.mark.parametrize("name", ["altair", "jinja2", "vl_convert"])
def test_a_missing_library_is_named(reported, tmp_path, monkeypatch, capsys, name):
    from xmlkit.cli.report import report
    from xmlkit.errors import UserError

    for module in [module for module in sys.modules if module.startswith("xmlkit.report")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"^report needs {name}: pip install 'xmlkit-xmc\[report\]'$"):
        report(folders=[reported / RUN], data=None, out_=tmp_path / "page.html", **dict.fromkeys(READ))


READ = (
    "encoding",
    "bad_lines",
    "text_column",
    "label_column",
    "label_separator",
    "labels_by_name",
    "language",
)


@pytest.mark.slow
def test_an_ensemble(tmp_path):
    corpus = tiny.learnable_corpus()
    shared = {**SETTINGS, "encoder": tiny.save_encoder(tmp_path / "encoder"), "plugins": []}
    runs = [library.train(corpus, {**shared, "seed": seed}, tmp_path / f"{seed}").folder for seed in (0, 1)]
    made = library.ensemble([*map(str, runs)], corpus, tmp_path / "whole")
    xmlkit("report", tmp_path / "whole", "-o", tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    shown = points(page.pictures["What the whole loses without each"])
    assert [(p["name"], (p["difference"], p["low"], p["high"])) for p in shown] == [
        (part.name, part.loss_without) for part in made.parts
    ]
    assert page.listed == [] and "Blended" in page.facts
    (tmp_path / "whole" / "members" / "0" / "member.json").unlink()  # as one whose library is missing
    _, err = xmlkit("report", tmp_path / "whole", "-o", tmp_path / "without.html")
    assert "without test documents: " in err and "Blended" in Page(tmp_path / "without.html").facts
