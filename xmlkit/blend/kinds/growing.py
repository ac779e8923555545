"""Omikuji's training, in a process of its own: within ours no signal would be heard until it has ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xmlkit.errors import UserError

GROWS = "from xmlkit.blend.kinds.growing import grow_here; grow_here()"


def grow(documents: Path, tree: Path, settings: Mapping[str, Any]) -> None:
    """Trains from a file and fills the new folder `tree`; whatever ends this process ends it at once.

    Raises UserError where Omikuji fails, or is ended by others.
    """
    command = [sys.executable, "-P", "-c", GROWS, str(documents), str(tree), json.dumps(settings)]
    log = documents.with_suffix(".log")
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said)
    try:
        status = process.wait()
    finally:
        process.kill()
        process.communicate()
    if status:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        why = f"signal {-status}" if status < 0 else next((line for line in lines[::-1] if line), "no word")
        raise UserError(
            f"linear: Omikuji ended without a tree ({why}); is there room in memory, on the disk?"
        )
    log.unlink()


def grow_here() -> None:
    """The same in this process, by its arguments; Ctrl-C is for the other one to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_other, daemon=True).start()
    import omikuji

    documents, tree, settings = sys.argv[1:]
    chosen = omikuji.Model.default_hyper_param()
    for name, value in json.loads(settings).items():
        setattr(chosen, name, value)
    omikuji.Model.train_on_data(documents, chosen).save(tree)


def _end_with_the_other() -> None:
    """Nobody writes to our input; it ends with whoever holds its other end, be it that it was killed."""
    os.read(0, 1)  # sys.stdin would be locked when Python ends
    os._exit(1)
