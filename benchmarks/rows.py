"""Does the optimiser's cost grow with the labels? Row-wise AdamW beside torch's fused one over all rows.

    python -m benchmarks.rows [--out FILE]

Each step's gradient holds the same number of rows; both optimisers in turn, medians.
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
from xmlkit.training.row_optimizers import RowAdamW
from xmlkit.training.rows import unite_rows

LABELS, WIDTH, ROWS = (25_023, 131_073, 670_091), 384, 16_384
WARM_UP, STEPS = 2, 9


def measure(num_labels: int) -> dict[str, float]:
    """Seconds of a step: of the rows in the gradient, and of all rows."""
    table = RowTable(num_labels, WIDTH)
    by_row = RowAdamW([{"params": [table.weight], "lr": 1e-3, "weight_decay": 0.01}])
    dense = torch.nn.Parameter(torch.zeros(num_labels, WIDTH))
    dense.grad = torch.full_like(dense, 1e-3)
    of_all = torch.optim.AdamW([dense], lr=1e-3, fused=True)
    seconds: dict[str, list[float]] = {"row_wise": [], "all_rows": []}
    for _ in range(WARM_UP + STEPS):
        table.weight.grad = None
        table(torch.randperm(num_labels)[:ROWS]).sum().backward()
        seconds["row_wise"].append(timed(lambda: (unite_rows([table.weight]), by_row.step())))
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
    found = {str(num_labels): measure(num_labels) for num_labels in LABELS}
    print(f"seconds a step, {ROWS:,} rows of width {WIDTH} in the gradient")
    print("labels   row-wise  all rows")
    for num_labels, times in found.items():
        print(f"{num_labels:>7}  {times['row_wise']:8}  {times['all_rows']:8}")
    if arguments.out:
        document = {"machine": machine(), "rows": ROWS, "width": WIDTH, "seconds": found}
        arguments.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
