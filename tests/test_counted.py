from __future__ import annotations

import io

from rich.console import Console

from xmlkit import console


def test_a_count_of_what_takes_long(monkeypatch) -> None:
    monkeypatch.setattr(console, "COUNTED_AT_ONCE", 2)
    for before, shown in ((3600.0, False), (-1.0, True)):
        stream = io.StringIO()
        monkeypatch.setattr(console, "BEFORE_A_COUNT", before)
        monkeypatch.setattr(console, "console", Console(file=stream, force_terminal=True, width=60))
        for count in range(8):
            assert list(console.counted(iter(range(count)), "reading [a]")) == list(range(count))
        assert ("reading [a]" in stream.getvalue()) == shown


def test_nothing_is_shown_to_a_file(monkeypatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(console, "BEFORE_A_COUNT", -1.0)
    monkeypatch.setattr(console, "COUNTED_AT_ONCE", 1)
    monkeypatch.setattr(console, "console", Console(file=stream))
    assert list(console.counted(range(5), "reading")) == list(range(5))
    assert stream.getvalue() == ""
