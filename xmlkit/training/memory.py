"""Memory that the process has freed and still holds: for how long."""

from __future__ import annotations

import ctypes
import sys

THRESHOLD, TRIM = -3, -1  # mallopt's names for what glibc calls M_MMAP_THRESHOLD and M_TRIM_THRESHOLD
AS_HIGH_AS_CAN_BE = 2**31 - 1


def hold_on() -> None:
    """Keeps freed blocks for the next step, up to 2 GiB each; does nothing where there is no glibc.

    glibc gives each block above 32 MiB back at once, so that each step pays anew for the pages of its
    largest tensors: a fifth of a step's time on two cores (benchmarks/NOTES.md).
    """
    if sys.platform == "linux" and (set_option := getattr(ctypes.CDLL(None), "mallopt", None)):
        set_option(THRESHOLD, AS_HIGH_AS_CAN_BE)
        set_option(TRIM, AS_HIGH_AS_CAN_BE)


def give_back() -> None:
    """Hands freed memory back to the system; does nothing where the C library is not glibc.

    Batches of changing size leave holes that glibc keeps: a run on yso-en grew past 6 GiB in 1,000 steps,
    of which it used 2 (benchmarks/NOTES.md).
    """
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
