"""The notebook runs from its first cell to its last, and has nothing of a run in it."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from installing import ROOT
from nbclient import NotebookClient

TOUR = ROOT / "benchmarks" / "tour.ipynb"


@pytest.fixture
def tour():
    return nbformat.read(TOUR, as_version=4)


def test_it_is_kept_without_outputs(tour):
    nbformat.validate(tour)
    codes = [cell for cell in tour.cells if cell.cell_type == "code"]
    assert len(codes) > 5 and all(cell.outputs == [] and cell.execution_count is None for cell in codes)


@pytest.mark.slow
def test_it_runs(tour, tmp_path):
    NotebookClient(tour, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    compared = json.loads((tmp_path / "comparisons" / "tour" / "validation.json").read_text())
    assert [row["name"] for row in compared["rows"]] == ["calm", "base", "calm[share=0.1]"]
    assert "calm[share=0.1]" in Path(tmp_path, "tour.html").read_text()
    (printed,) = [
        "".join(output.text for output in cell.outputs if output.output_type == "stream")
        for cell in tour.cells
        if "found.rows[1:]" in cell.source
    ]
    assert "calm: " in printed and "Traceback" not in printed
