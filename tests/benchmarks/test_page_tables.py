"""Tables of pages: each kind against a file written by hand, what a marker may say, the pages as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.tables.drawing import NotDrawn, redrawn
from benchmarks.tables.kinds import KINDS

ROOT = Path(__file__).parents[2]
TEST = {"P@1": 40.005, "P@3": 30, "P@5": 20.5, "nDCG@5": 35.555, "PSP@1": 3, "PSP@3": 2, "PSP@5": 1.25}
HERE = {"cpu": "Abacus", "date": "2026-01-02", "threads": 1, "amx_bf16": True, "commit": "abc"}
STEP = {
    **{"shape": "minilm", "documents": 16, "labels": 4000, "ratio": [1.062, 1.0, 1.25], "target": 1.1},
    **{"documents_per_second": 1234.5, "share_of_matmul_rate": 0.104, "prediction_speed": [0.9, 0.8, 1]},
    **{"bytes_a_label": {"weights": 1600.4, "state": 16.2}, "peak_gib": 2.5, "rows_a_step": 91615},
    "parts_seconds": {
        **{"encoder": 0.29, "candidates": 0.0016, "scoring": 0.02, "backward": 0.1585},
        "optimiser and the rest": 0.0334,
    },
}
SERVED = {"requests_per_second": 61.84, "p50_ms": 84.5, "p99_ms": 711.3}
MEMORY = {"processor_seconds": 3.25, "anonymous_mib": 1108, "resident_mib": 328}
DEVICES = [
    {
        "way": way,
        "devices": count,
        "seconds": {"25 GB/s": 1.5 / count, "400 GB/s": 1 / count},
        "gib_a_rank": 66.8,
    }
    for way in ("clusters", "every label")
    for count in (1, 8)
]

# A kind of table, its file, a place in that and what its row is to be.
KNOWN = [
    (
        "runs",
        {
            "validation": [
                {"P@1": 1, "P@3": 1, "P@5": 1},
                {"P@1": 4, "P@3": 3, "P@5": 2},
                {"trained/validation/P@1": 5, "trained/validation/P@3": 4, "trained/validation/P@5": 3},
            ],
            **{"test": TEST, "seconds_of_steps": 4190.87, "seconds_in_all": 276},
        },
        "",
        "4.00 / 3.00 / 2.00 | 5.00 / 4.00 / 3.00 | 40.01 / 30.00 / 20.50 | 35.56"
        " | 3.00 / 2.00 / 1.25 | 70 | 4.6",
    ),
    (
        "runs",
        {
            "test": TEST,
            "seconds_of_training": 20,
            "validation": [{f"validation/P@{k}": k for k in (1, 3, 5)}],
        },
        "",
        "1.00 / 3.00 / 5.00 | 40.01 / 30.00 / 20.50 | 35.56 | 3.00 / 2.00 / 1.25 | 0.3",
    ),
    ("figures", {"test": TEST}, "", "40.0 | 30.0 | 20.5 | 3.0 | 2.0 | 1.3"),
    (
        "compare",
        {
            "rows": [
                {
                    "metrics": {
                        "P@1": {"value": 43.2, "difference": None, "low": None, "high": None},
                        "P@5": {"value": 22, "difference": -0.5, "low": -1, "high": 0.254},
                        "nDCG@5": {"value": 22, "difference": 0.004, "low": -1, "high": 1},
                    },
                    "verdict": "worse",
                }
            ]
        },
        "/rows/0",
        "43.20 | -0.50 (-1.00 to 0.25) | +0.00 (-1.00 to 1.00) | worse",
    ),
    (
        "members",
        {"members": [{"alone": TEST, "loss_without": [0.5, 0.1, 0.9]}]},
        "/members/*",
        "40.01 / 30.00 / 20.50 | 35.56 | 3.00 / 2.00 / 1.25 | 0.50 (0.10 to 0.90)",
    ),
    ("members", {"judged": TEST}, "/judged", "40.01 / 30.00 / 20.50 | 35.56 | 3.00 / 2.00 / 1.25"),
    ("differences", {"a - b": {"P@1": [2.061, 1, 3]}}, "/a - b", "+2.06 (1.00 to 3.00)"),
    (
        "unseen",
        {"added": {"unseen": {**TEST, "R@5": 52.02}, "all": TEST}},
        "/added",
        "40.0 | 30.0 | 20.5 | 52.0 | 35.6 | 40.01 / 30.00 / 20.50",
    ),
    (
        "steps",
        {"results": [STEP]},
        "/results/0",
        "1.06 (1.00 to 1.25) | 1.10 | 1,234 | 10% | 0.90 (0.80 to 1.00) | 1,617 | 2.50",
    ),
    ("parts", {"results": [STEP]}, "/results/0", "290 | 1.6 | 20 | 159 | 33 | 91,615"),
    (
        "flat",
        {
            "results": [
                {
                    **{"flat / encoder": [1, 1, 1], "clustered / encoder": [2, 1, 3]},
                    **{"flat / clustered": [0.5, 0.4, 0.6], "flat / clustered, prediction": [1.5, 1.4, 1.6]},
                }
            ]
        },
        "/results/0",
        "1.00 (1.00 to 1.00) | 2.00 (1.00 to 3.00) | 0.50 (0.40 to 0.60) | 1.50 (1.40 to 1.60)",
    ),
    (
        "labels",
        {
            "seconds": {"yso-en-4k": 0.1755, "yso-en": 0.2139},
            **{"ratio_median": 1.193, "ratio_quartiles": [1.114, 1.242], "ratio_of_totals": 1.115},
        },
        "",
        "0.176 | 0.214 | 1.19 (1.11 to 1.24) | 1.12",
    ),
    (
        "rows",
        {"seconds": {"9": {"compact": 0.0091, "full": 0.0255, "all_rows": 0.1425}}},
        "/seconds/9",
        "9.1 | 26 | 143",
    ),
    (
        "clusters",
        {"xmlkit": {"features_seconds": 4.65, "seconds": 7.2, "peak_gib": 0.745, "similarity": 0.43394}},
        "/xmlkit",
        "4.7 | 7.2 | 0.75 | 0.4339",
    ),
    (
        "clusters",
        {"it": {"features_seconds": None, "seconds": 7, "peak_gib": 1, "similarity": 1}},
        "/it",
        "7.0 | 1.00 | 1.0000",
    ),
    (
        "precision",
        {
            "float32_seconds": 0.579,
            **{"bfloat16_seconds": 0.3147, "speedup_median": 1.83, "speedup_min": 1, "speedup_max": 3},
        },
        "",
        "0.579 | 0.315 | 1.83 (1.00 to 3.00)",
    ),
    (
        "encoders",
        {"times_float32": 2.3, "least": 1.9, "largest": 2.39, **TEST},
        "",
        "2.30 (1.90 to 2.39) | 40.01 / 30.00 / 20.50",
    ),
    (
        "data",
        {
            **{"padding_share": 0.0175, "data_wait_share": 0.0019},
            **{"documents_ready_per_second": 61284, "seconds_to_first_step": 8.65},
        },
        "",
        "1.75% | 0.19% | 61,284 | 8.7",
    ),
    (
        "reading",
        {"file_mib": 2486, "reading": MEMORY, "digest": MEMORY, "held_out": MEMORY},
        "",
        "2,486 | 1,108 | 328 | 3.3 | 3.3 | 3.3",
    ),
    ("serving", {"served": {"8": SERVED}}, "/served/8", "61.8 | 85 | 711"),
    (
        "budget",
        {"plan": "epochs=1", "estimate_seconds": 92.51, "taken_over_estimate": 1.145, "share_of_budget": 0.8},
        "",
        "epochs=1 | 93 | 1.15 | 0.80",
    ),
    (
        "devices",
        {"results": DEVICES},
        "/results/way=every label",
        "1.5 / 1 s, 67 GiB | 0.188 / 0.125 s, 67 GiB",
    ),
    ("peers", {"version": "1.4", "the_same": {"a": True, "b": True}}, "", "1.4 | `a`, `b` | the same"),
    ("peers", {"version": "1.4", "the_same": {"a": True, "b": False}}, "", "1.4 | `a`, `b` | others"),
    (
        "whole",
        {
            **TEST,
            **{"seconds": 1523.3, "documents_per_second": 2047.6, "peak_gib": 0.295, "megabytes": 86.6},
            "lines_written": 30,
        },
        "",
        "40.01 / 30.00 / 20.50 | 35.56 | 3.00 / 2.00 / 1.25 | 1,523 | 2,048 | 0.30 | 87 | 30",
    ),
    ("seen", {"kills": {"identical": 47, "others": 3}}, "/kills", "47 identical, 3 others"),
    (
        "files",
        {"command": "xmlkit train", "machine": HERE, "note": "busy"},
        "",
        "2026-01-02 | abc | Abacus with AMX, one thread | `xmlkit train` | busy",
    ),
]


def drawn(folder: Path, marker: str) -> list[str]:
    """The lines of the table alone."""
    page = redrawn(f"before\n\n{marker}\n<!-- end -->\n\nafter\n", folder / "PAGE.md", folder)
    assert page.startswith(f"before\n\n{marker}\n") and page.endswith("<!-- end -->\n\nafter\n")
    return page.split("-->\n", 1)[1].split("<!-- end -->")[0].splitlines()


@pytest.mark.parametrize(("kind", "file", "place", "row"), KNOWN)
def test_a_row_of_each_kind(tmp_path, kind, file, place, row):
    (tmp_path / "it.json").write_text(json.dumps(file))
    heads, rule, cells = drawn(tmp_path, f'<!-- table: {kind}\nfiles = false\n"it{place}" = "words"\n-->')
    assert cells == f"| words | {row} |"
    assert heads.count("|") == rule.count("|") == cells.count("|")


def test_no_kind_is_left_out():
    assert {kind for kind, *_ in KNOWN} == set(KINDS)


def test_columns_that_one_row_has_and_those_that_none_has(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps({"test": TEST}))
    (tmp_path / "two.json").write_text(json.dumps({"test": {"P@1": 1, "P@3": 2, "P@5": 3}, "machine": HERE}))
    lines = drawn(
        tmp_path, '<!-- table: runs\nheading = "what"\ntwo = "with {machine[cpu]}"\none = "{key}"\n-->'
    )
    assert lines == [
        "| what | test P@1 / 3 / 5 | nDCG@5 | PSP@1 / 3 / 5 |",
        "| --- | --- | --- | --- |",
        "| with Abacus | 1.00 / 2.00 / 3.00 | | |",
        "| one | 40.01 / 30.00 / 20.50 | 35.56 | 3.00 / 2.00 / 1.25 |",
        "",
        "Files: [two](two.json), [one](one.json) (2026-01-02; Abacus with AMX, one thread)",
    ]
    asked = '<!-- table: runs\ncolumns = ["nDCG@5"]\nfiles = false\none = "it"\n-->'
    assert drawn(tmp_path, asked) == ["| | nDCG@5 |", "| --- | --- |", "| it | 35.56 |"]


def test_places(tmp_path):
    steps = [{**STEP, "labels": labels, "documents": documents} for labels in (7, 8) for documents in (1, 2)]
    for name, day in (("a-1", "2026-02-01"), ("a-2", "2026-03-01")):
        runs = [{"machine": {**HERE, "date": day}, "served": {"8": SERVED, "32": SERVED}}]
        (tmp_path / f"{name}.json").write_text(json.dumps({"results": steps, "runs": runs}))

    def words(marker):
        return [line.split("|")[1].strip() for line in drawn(tmp_path, marker)[2:] if "|" in line]

    told = [f"minilm, {documents} documents, {labels} labels" for labels in (7, 8) for documents in (1, 2)]
    assert words("<!-- table: steps a-1 a-2 -->") == told * 2
    assert words("<!-- table: parts a-* -->") == told * 2
    assert words('<!-- table: steps\n"a-1/results/labels=8/documents=2/*" = "{labels}"\n-->') == ["8"]
    marker = '<!-- table: serving\n"a-*/runs/0/served/*" = "{key} clients"\n-->'
    assert words(marker) == ["8 clients", "32 clients"] * 2
    assert drawn(tmp_path, marker)[-1] == (
        "Files: [a-1](a-1.json), [a-2](a-2.json) (2026-02-01 to 2026-03-01; Abacus with AMX, one thread)"
    )


def test_results_in_a_folder(tmp_path):
    (tmp_path / "results/a-day").mkdir(parents=True)
    for name in ("bag-1", "bag-2"):
        (tmp_path / f"results/a-day/{name}.json").write_text(json.dumps({"of": {"test": TEST}}))
    marker = '<!-- table: figures\n"a-day/bag-*/of" = "{key}"\ncolumns = ["P@3"]\n-->'
    page = redrawn(f"{marker}\n<!-- end -->\n", tmp_path / "PAGE.md", tmp_path / "results")
    assert "| of | 30.0 |\n| of | 30.0 |\n" in page
    assert "Files: [a-day/bag-1](results/a-day/bag-1.json), [a-day/bag-2](results/a-day/bag-2.json)\n" in page


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("<!-- table: runes it -->", "no kind of table is called runes: there are files, runs"),
        ("<!-- table: runs that -->", "there is no that.json"),
        ('<!-- table: serving\n"it/served/9" = ""\n-->', "it.json has nothing at 9 of it/served/9"),
        ('<!-- table: serving\n"it/served/8/p50_ms/x" = ""\n-->', "it.json has nothing at x of"),
        ('<!-- table: runs\ncolumns = ["P@1"]\nit = ""\n-->', "runs has no column P@1: there are held-out"),
        ('<!-- table: runs\nit = "{labels}"\n-->', "'{labels}' can't be said of it: 'labels'"),
        ("<!-- table: compare it -->", "it.json has nothing at rows of it/rows/*"),
        ('<!-- table: compare\nit = ""\n-->', "it is no row of compare: KeyError('metrics')"),
        ('<!-- table: serving\n"it/test" = ""\n-->', "serving finds no figure in it/test"),
        ("<!-- table: runs -->", "runs finds no figure in nothing"),
        ('<!-- table: runs\nit = "first"\n"it/served" = ""\n-->', "runs finds no figure in it/served"),
        ("<!-- table: runs\nit = \n-->", "Invalid value (at line 1, column 6)"),
    ],
)
def test_what_can_not_be_drawn_is_said_with_its_line(tmp_path, marker, said):
    (tmp_path / "it.json").write_text(json.dumps({"test": TEST, "served": {"8": SERVED}}))
    with pytest.raises(NotDrawn) as told:
        redrawn(f"one\ntwo\n{marker}\n<!-- end -->\n", tmp_path / "PAGE.md", tmp_path)
    assert str(told.value).startswith(f"{tmp_path / 'PAGE.md'}:3: {said}")


def test_a_table_without_its_end_is_refused(tmp_path):
    (tmp_path / "it.json").write_text(json.dumps({"test": TEST}))
    one = '<!-- table: runs\nit = "it"\n-->\n'
    for page in (one, f"{one}\nwords that are not lost\n\n{one}<!-- end -->\n"):
        with pytest.raises(NotDrawn, match="each needs its own <!-- end -->"):
            redrawn(page, tmp_path / "PAGE.md", tmp_path)


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.tables", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_pages_are_those_of_the_results():
    done = run("--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_page_that_is_not_so_is_told_and_drawn(tmp_path):
    page = tmp_path / "PAGE.md"
    page.write_text(
        "words\n\n<!-- table: rows rows -->\n| a number that somebody wrote |\n<!-- end -->\n\nmore\n"
    )
    written = page.read_text()
    for _ in range(2):
        done = run("--check", page)
        assert (done.returncode, page.read_text()) == (1, written)
        assert "tables are not those of the results" in done.stdout
    assert run(page).returncode == 0
    assert "somebody" not in page.read_text() and page.read_text().endswith("<!-- end -->\n\nmore\n")
    assert run("--check", page).returncode == 0
    page.write_text("<!-- table: rows rows -->\n")
    done = run(page)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {page}: 1 tables begin and 0 end")
    assert run(tmp_path / "none.md").returncode == 2
