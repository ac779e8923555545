"""Cases of a test of which a few are enough in the fast part."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def mostly_slow(cases: Iterable[Any], quick: Collection[Any]) -> list[Any]:
    """All cases of one argument; those that are not among the quick ones are slow."""
    return [case if case in quick else pytest.param(case, marks=pytest.mark.slow) for case in cases]
