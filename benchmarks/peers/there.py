"""Trains a peer and asks it about test documents, in its environment.

    python -m benchmarks.peers.there MODULE FOLDER SETTINGS

FOLDER holds `train.json` and `test.json`; the model goes to `model`, what was predicted to `predicted.json`,
seconds and memory to `told.json`. It ends with whoever holds the other end of its input.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
from importlib import import_module
from itertools import pairwise
from pathlib import Path

from benchmarks.peers.given import Given


def main(module: str, place: str, settings: str) -> None:
    """Fills the folder."""
    threading.Thread(target=_end_with_the_other, daemon=True).start()
    peer, folder = import_module(module), Path(place)
    given = Given.read(folder / "train.json")
    texts = json.loads((folder / "test.json").read_text(encoding="utf-8"))
    (folder / "model").mkdir()
    times = [time.perf_counter()]
    peer.train(given, folder / "model", **json.loads(settings))
    times.append(time.perf_counter())
    model = peer.load(folder / "model")
    times.append(time.perf_counter())
    predicted = [[int(row) for row in rows] for rows in peer.predict(model, texts)]
    times.append(time.perf_counter())
    (folder / "predicted.json").write_text(json.dumps(predicted))
    trained, loaded, asked = (after - before for before, after in pairwise(times))
    told = {"train": trained, "load": loaded, "predict": asked, "peak_gib": _peak_gib()}
    (folder / "told.json").write_text(json.dumps(told))


def _peak_gib() -> float:
    """The largest resident size of this process, or of one that it has started."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(_own_kib(), children) / 2**20


def _own_kib() -> int:
    """Not by `getrusage`, which begins with the size of the process that this one was started from."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def _end_with_the_other() -> None:
    """Nobody writes to our input; our group is our own, and what we have started is in it."""
    os.read(0, 1)  # sys.stdin would be locked when Python ends
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
