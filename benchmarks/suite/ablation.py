"""What each plugin brings: at full length, with clusters, which some need, three seeds, on test documents.

    python -m benchmarks.suite.ablation OUT.json CORPUS ENCODER SETS

The runs lie beside OUT.json, so that the same command goes on with what was broken off. One a core is trained
at once, four at most, and one alone on a CUDA device.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch

from benchmarks.ending import leave_on_sigterm, run_to_its_end
from benchmarks.machine import cores
from benchmarks.suite.corpora import tested

MOST_AT_ONCE = 4


def main(out: str, corpus: str, encoder: str, sets: str) -> None:
    """Ends as `xmlkit compare` does."""
    tested(corpus)
    folder = Path(out).with_suffix("")
    command = ["-m", "xmlkit", "compare", corpus, "--encoder", encoder, "--plugin-sets", sets]
    jobs = 1 if torch.cuda.is_available() else min(cores(), MOST_AT_ONCE)
    command += ["--set", "clustered=true", "--final", "test", "--jobs", str(jobs), "--out", str(folder)]
    if status := run_to_its_end([sys.executable, *command]):
        sys.exit(status)
    shutil.copy(folder / "test.json", out)


if __name__ == "__main__":
    leave_on_sigterm()
    main(*sys.argv[1:])
