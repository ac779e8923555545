"""What each plugin brings: at full length, with clusters, which some need, three seeds, on test documents.

    python -m benchmarks.suite.ablation OUT.json CORPUS ENCODER SETS

The runs lie beside OUT.json, so that the same command goes on with what was broken off. One a core is trained
at once, four at most.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from benchmarks.ending import leave_on_sigterm, run_to_its_end

MOST_AT_ONCE = 4


def main(out: str, corpus: str, encoder: str, sets: str) -> None:
    """Ends as `xmlkit compare` does."""
    folder = Path(out).with_suffix("")
    command = ["-m", "xmlkit", "compare", corpus, "--encoder", encoder, "--plugin-sets", sets]
    jobs = str(min(os.cpu_count() or 1, MOST_AT_ONCE))
    command += ["--set", "clustered=true", "--final", "test", "--jobs", jobs, "--out", str(folder)]
    if status := run_to_its_end([sys.executable, *command]):
        sys.exit(status)
    shutil.copy(folder / "test.json", out)


if __name__ == "__main__":
    leave_on_sigterm()
    main(*sys.argv[1:])
