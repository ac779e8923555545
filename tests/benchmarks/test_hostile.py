"""Whatever is in a file: an answer or one line, no other exception. `benchmarks.hostile` tries many more."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.hostile import TARGETS
from xmlkit import UserError

MARKS = [b"\n", b"\t", b'"', b"{", b"[", b"]}", b"\\u0000", b"\x1b[2J", b"\xff", b"\x00", b"NaN", b"1e999"]
PIECES = st.binary(max_size=4) | st.sampled_from(MARKS) | st.sampled_from([mark * 3000 for mark in MARKS])


@st.composite
def spoilt(draw, seeds):
    """One of the files as they should be, of which pieces are replaced."""
    data = draw(st.sampled_from(seeds))
    kind, content = data[:1], data[1:]
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 8)) | st.just(len(content)))
        content = content[:start] + draw(PIECES) + content[end:]
    return kind + content


@pytest.mark.parametrize(
    ("target", "examples"),
    [("readers", 600), pytest.param("texts", 40, marks=pytest.mark.slow), ("runs", 40)],
)
def test_hostile_inputs(target, examples, tmp_path):
    work, seeds = TARGETS[target](tmp_path)

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(spoilt(seeds))
    def attack(data):
        try:
            work(data)
        except UserError as error:
            assert "\n" not in str(error)

    attack()
