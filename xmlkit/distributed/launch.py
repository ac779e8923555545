"""What torchrun says in the environment; nothing is imported for it."""

from __future__ import annotations

import os


def launched() -> int:
    """How many processes torchrun has started for one model; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def rank() -> int:
    """This one's number."""
    return int(os.environ.get("RANK", 0)) if launched() > 1 else 0


def speaks() -> bool:
    """Whether this is the process that tells people anything."""
    return rank() == 0


def restarts() -> int:
    """How often torchrun has begun anew, after one of its processes had ended."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) if launched() > 1 else 0
