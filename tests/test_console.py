"""What is told of long work: a bar in a terminal, a line in a log."""

from __future__ import annotations

import io
import itertools

import pytest
from rich.console import Console

from xmlkit import console as told


@pytest.fixture
def two_seconds_an_item(monkeypatch):
    monkeypatch.setattr(told.time, "monotonic", itertools.count(0, 2).__next__)


def written_to(monkeypatch, **kind) -> io.StringIO:
    file = io.StringIO()
    monkeypatch.setattr(told, "console", Console(file=file, width=60, **kind))
    return file


def test_a_log_has_one_line_once_items_are_long_in_coming(monkeypatch, two_seconds_an_item):
    """The clock is looked at before each: at 2 s none is done, after 5 s two are, of ten."""
    log = written_to(monkeypatch, force_terminal=False)
    assert list(told.track(range(10), "reading")) == list(range(10))
    assert log.getvalue() == "reading: 30 s in all by the first 6 s\n"


def test_of_short_work_a_log_has_nothing(monkeypatch, two_seconds_an_item):
    log = written_to(monkeypatch, force_terminal=False)
    assert list(told.track(range(2), "reading")) == [0, 1] and list(told.track([], "reading")) == []
    assert log.getvalue() == ""


def test_a_terminal_has_a_bar(monkeypatch):
    terminal = written_to(monkeypatch, force_terminal=True)
    assert list(told.track(range(10), "reading")) == list(range(10))
    assert "reading" in terminal.getvalue() and "in all by" not in terminal.getvalue()


def test_a_line_is_told_as_it_is(capsys):
    """`:100:` is the name of an emoji."""
    told.console.file = None  # as it stands now
    told.say("train.csv:100: [b]3 cells[/b]\x1b[2J")
    assert capsys.readouterr().err == "train.csv:100: [b]3 cells[/b]\\x1b[2J\n"
