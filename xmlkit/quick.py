"""A quick start of processes that ask a model."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """What is imported and opened here stays to the end, so that nobody looks for garbage in it.

    torch and transformers make a million objects on import, which Python's collector would search again and
    again while they come, and once more when the process ends: a quarter of the time to a first answer.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
