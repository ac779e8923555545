"""One `xmlkit train` as a user would type it: figures of the test split, and what it took.

python -m benchmarks.suite.trained OUT.json CORPUS [OPTION ...]
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xmlkit
from benchmarks.ending import leave_on_sigterm, run_to_its_end
from benchmarks.machine import machine
from benchmarks.peers.given import TOP
from benchmarks.suite.corpora import tested

COMMANDS = 1  # that a user writes


def trained(run: Path, corpus: str, options: Sequence[str]) -> dict[str, Any]:
    """Trains into a new folder, and says what that cost. Ends as the training did where it failed."""
    begun = time.perf_counter()
    command = ["-m", "xmlkit", "train", corpus, *options, "--out", str(run)]
    if status := run_to_its_end([sys.executable, *command]):
        sys.exit(status)
    return {
        "corpus": Path(corpus).name,
        "command": f"xmlkit train {Path(corpus).name} {' '.join(map(_shown, options))}",
        "seconds": round(time.perf_counter() - begun, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20, 2),
        "megabytes": round(sum(f.stat().st_size for f in run.rglob("*") if f.is_file()) / 1e6, 1),
        "lines_written": COMMANDS,
    }


def documents_per_second(run: Path, texts: Sequence[str]) -> float:
    """All of them in one call, as peers are given them, by a model that is loaded."""
    model = xmlkit.load(run)
    begun = time.perf_counter()
    model.predict(texts, TOP)
    return round(len(texts) / (time.perf_counter() - begun), 1)


def main(out: str, corpus: str, *options: str) -> None:
    """Trains, and writes what came of it."""
    test = tested(corpus).splits["test"]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        costs = trained(run, corpus, options)
        speed = {"documents_per_second": documents_per_second(run, list(test.texts))}
        figures = json.loads((run / "metrics.json").read_text())
        found = {"machine": machine(), **costs, "test_documents": len(test), **speed, **figures}
    Path(out).write_text(json.dumps(found, indent=2) + "\n")


def _shown(option: str) -> str:
    """A folder by its name alone."""
    return Path(option).name if Path(option).is_dir() else option


if __name__ == "__main__":
    leave_on_sigterm()
    main(*sys.argv[1:])
