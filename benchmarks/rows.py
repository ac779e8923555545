"""Does the optimiser's cost grow with the labels? Rows that a step read beside torch's fused AdamW over all.

    python -m benchmarks.rows [--out FILE]

Each step's gradient holds the same number of rows, of 16 documents; the optimisers in turn, medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.machine import machine
from xmlkit.tables import RowTable
from xmlkit.training.memory import hold_on
from xmlkit.training.row_optimizers import RowAdamW, RowRMSprop
from xmlkit.training.rows import unite_rows

LABELS, WIDTH, ROWS, DOCUMENTS = (25_023, 131_073, 670_091), 384, 16_384, 16
WARM_UP, STEPS = 2, 9
KINDS = {"compact": RowRMSprop, "full": RowAdamW}


def measure(num_labels: int) -> dict[str, float]:
    """Seconds of a step: of the rows in the gradient by each optimiser, and of all rows."""
    tables = {name: RowTable(num_labels, WIDTH) for name in KINDS}
    groups = {
        name: [{"params": [table.weight], "lr": 1e-3, "weight_decay": 0.01}] for name, table in tables.items()
    }
    optimizers = {name: kind(groups[name]) for name, kind in KINDS.items()}
    dense = torch.nn.Parameter(torch.zeros(num_labels, WIDTH))
    dense.grad = torch.full_like(dense, 1e-3)
    of_all = torch.optim.AdamW([dense], lr=1e-3, fused=True)
    seconds: dict[str, list[float]] = {name: [] for name in (*KINDS, "all_rows")}
    for _ in range(WARM_UP + STEPS):
        ids_U = torch.randperm(num_labels)[:ROWS].sort().values
        for name, table in tables.items():
            query_BE = torch.randn(DOCUMENTS, WIDTH, requires_grad=True)
            table.products_BU(query_BE, ids_U).square().sum().backward()
            unite_rows([table.weight])
            seconds[name].append(timed(optimizers[name].step))
        seconds["all_rows"].append(timed(of_all.step))
    return {name: round(statistics.median(times[WARM_UP:]), 4) for name, times in seconds.items()}


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Measures, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    hold_on()
    found = {str(num_labels): measure(num_labels) for num_labels in LABELS}
    print(f"seconds a step, {ROWS:,} rows of width {WIDTH} in the gradient")
    print("labels   compact  full     all rows")
    for num_labels, times in found.items():
        print(f"{num_labels:>7}  {times['compact']:7}  {times['full']:7}  {times['all_rows']:8}")
    if arguments.out:
        document = {"machine": machine(), "rows": ROWS, "width": WIDTH, "seconds": found}
        arguments.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
