"""`xmlkit serve` as a process of its own, for measuring and for tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

XMLKIT = str(Path(sys.executable).with_name("xmlkit"))


@contextmanager
def served(log: Path, *arguments: object, **options: Any) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The process and its address on a free port, once it answers; `log` is its error stream."""
    command = [XMLKIT, "serve", *map(str, arguments), "--port", "0"]
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stderr=file, **{"env": dict(os.environ, COLUMNS="200"), **options}
        )
    try:
        while not (found := re.search(r" at (http://\S+);", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
