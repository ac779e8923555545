"""What a command that starts others does when it is ended."""

from __future__ import annotations

import signal
import sys


def leave_on_sigterm() -> None:
    """Unwinds, as Ctrl-C does, so that what was started is ended too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
