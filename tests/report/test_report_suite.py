"""A page of the suite's results: all models against seconds, and why others are missing."""

from __future__ import annotations

import json

import pytest
from commands import xmlkit
from pages import HOSTILE, Page, points

from xmlkit.console import visible
from xmlkit.errors import UserError
from xmlkit.report import charts
from xmlkit.report.suite import SHOWN, read_suite

SAYS = "test documents, in percent, and what it took; seconds of xmlkit are of the whole command"


def result(seconds, p5, psp5, **more):
    return {"corpus": "one", "seconds": seconds, "P@1": 3 * p5, "P@5": p5, "PSP@5": psp5, **more}


PLACES = [(10, 20), (14, 20.3), (14, 20.5), (16, 20), (100, 30)]  # the second alone meets the first


@pytest.fixture
def folder(tmp_path):
    results = {
        "bag-one-1": result(40, 20, 33, peak_gib=1.5),
        "frozen-one-1": result(3600, 25, 36),
        "tree-one-1": result(20.4, 18, 31, peer="tree", documents_per_second=1234.6, lines_written=30),
        "plt-one-1": result(60, 17, 32, peer="plt"),
        "tree-two-1": result(9, 10, 11, peer="tree", corpus=HOSTILE),
        "rows-1": {"seconds": {"all": 3}},
        "half-1": {"seconds": 5, "P@5": 3},
    }
    told = {name: {"part": name.rsplit("-", 2)[0], "status": 0} for name in results}
    told["pecos-one-1"] = {"part": "pecos", "left_out": f"no environment: {HOSTILE}"}
    (tmp_path / "suite.json").write_text(json.dumps({"machine": {}, "parts": told}))
    for name, found in results.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    return tmp_path


def test_models_stand_by_corpus_the_quickest_first(folder):
    found = read_suite(folder)
    assert {name: [one.name for one in some] for name, some in found.by_corpus.items()} == {
        HOSTILE: ["tree"],
        "one": ["tree", "bag", "plt", "frozen"],
    }
    assert [one.name for one in found.measured if one.is_ours] == ["bag", "frozen"]


def test_the_plot_has_every_model_twice_on_a_logarithmic_axis(folder):
    measured = read_suite(folder).by_corpus["one"]
    spec = charts.costs(measured)
    drawn = {
        (row["name"], row["whose"], row["metric"]): (row["seconds"], row["value"]) for row in points(spec)
    }
    assert drawn == {
        **{("tree", "peers", "P@5"): (20.4, 18), ("tree", "peers", "PSP@5"): (20.4, 31)},
        **{("bag", "xmlkit", "P@5"): (40, 20), ("bag", "xmlkit", "PSP@5"): (40, 33)},
        **{("plt", "peers", "P@5"): (60, 17), ("plt", "peers", "PSP@5"): (60, 32)},
        **{("frozen", "xmlkit", "P@5"): (3600, 25), ("frozen", "xmlkit", "PSP@5"): (3600, 36)},
    }
    assert all(layer["encoding"]["x"]["scale"]["type"] == "log" for layer in spec["layer"])


def test_who_has_less_than_a_third_of_the_best_is_named_and_not_drawn(folder):
    (folder / "plt-one-1.json").write_text(json.dumps(result(60, 8, 11, peer="plt")))
    (folder / "tree-one-1.json").write_text(json.dumps(result(20.4, 8, 13, peer="tree")))
    measured = read_suite(folder).by_corpus["one"]
    assert charts.far_below(measured) == ["plt"]  # 8 of 25 and 11 of 36; the tree has 13 of 36
    assert {row["name"] for row in points(charts.costs(measured))} == {"tree", "bag", "frozen"}
    xmlkit("report", folder, "-o", folder / "page.html")
    assert "less than a third of the best: plt." in (folder / "page.html").read_text()


def test_the_page_holds_them(folder, tmp_path):
    xmlkit("report", folder, "-o", tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert page.titles == [folder.name]
    hostile = " ".join(visible(HOSTILE).split())  # as a page is read here
    one, two = (page.tables[f"On {corpus}: {SAYS}"] for corpus in ("one", hostile))
    shown = ["model", *SHOWN, "seconds", "documents/s", "GiB", "MB", "lines written"]
    assert one == [
        shown,
        ["tree", "54.00", "", "18.00", "", "", "", "31.00", "20", "1,235", "", "", "30"],
        ["bag (xmlkit)", "60.00", "", "20.00", "", "", "", "33.00", "40", "", "1.50", "", ""],
        ["plt", "51.00", "", "17.00", "", "", "", "32.00", "60", "", "", "", ""],
        ["frozen (xmlkit)", "75.00", "", "25.00", "", "", "", "36.00", "3,600", "", "", "", ""],
    ]
    assert [row[0] for row in two] == ["model", "tree"]
    assert page.facts["pecos-one-1"] == f"no environment: {hostile}" and "img" not in page.tags


def test_steps_alone_are_drawn_against_labels_and_how_is_told(tmp_path):
    lines = [
        {"shape": "minilm", "documents": 16, "labels": labels, "ratio": [ratio, 1.0, 2.0]}
        for labels, ratio in ((131_073, 1.2), (4_000, 1.1))
    ]
    (tmp_path / "step-1.json").write_text(json.dumps({"results": lines, "note": "tests beside"}))
    machine = {"date": "2026-11-28", "cpu": "a CPU", "cuda": None}
    told = {"part": "step", "status": 0, "command": "python -m benchmarks.step", "machine": machine}
    (tmp_path / "suite.json").write_text(json.dumps({"parts": {"step-1": told}}))
    found = read_suite(tmp_path)
    assert points(charts.over_labels(found.steps)) == [
        {"name": "minilm, 16 documents a step", "labels": 4_000, "ratio": 1.1},
        {"name": "minilm, 16 documents a step", "labels": 131_073, "ratio": 1.2},
    ]
    xmlkit("report", tmp_path, "-o", tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert page.facts["step-1"] == "python -m benchmarks.step, 2026-11-28, a CPU, tests beside"


def test_a_name_that_would_meet_another_stands_below_its_point():
    """Within 0.032 of the values' range, 0.32, and 60 ** (16 * 0.0058), 1.46, times the seconds."""
    rows = [{"name": 4 * "name", "seconds": seconds, "value": value} for seconds, value in PLACES]
    charts.part_names(rows)
    assert [row["is_below"] for row in rows] == [False, True, False, False, False]


def test_names_below_do_not_meet_either():
    rows = [{"name": 4 * "name", "seconds": seconds, "value": 50.0} for seconds in (10, 12, 13, 100)]
    charts.part_names(rows)
    assert [row["is_below"] for row in rows] == [False, True, False, False]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"parts": [1]}', '{"parts": {"bag-1": 3}}', "[" * 100_000])
def test_a_damaged_folder_is_a_line(folder, text):
    (folder / "suite.json").write_text(text)
    with pytest.raises(UserError, match=r"suite\.json is damaged"):
        read_suite(folder)


def test_a_damaged_result_and_none_at_all(folder):
    (folder / "bag-one-1.json").write_text("{")
    _, errors = xmlkit("report", folder, code=1)
    assert "bag-one-1.json is damaged" in errors
    (folder / "suite.json").write_text(json.dumps({"parts": {"rows-1": {"part": "rows"}}}))
    with pytest.raises(UserError, match="--only quality,peers"):
        read_suite(folder)
