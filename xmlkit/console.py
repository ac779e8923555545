"""What we tell a person while we work: on the error stream, so that output can be piped."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.progress import track as rich_track

T = TypeVar("T")
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but the tab and the end of a line
WORTH_A_LINE = 5.0  # seconds
COUNTED_AT_ONCE, BEFORE_A_COUNT = 1024, 2.0  # items, seconds
console = Console(stderr=True, emoji=False)  # `train.csv:100:` is a line of a file


def say(line: str, style: str | None = None) -> None:
    """A line as it is, unbroken, so that paths and commands can be copied; control characters are shown."""
    console.print(visible(line), style=style, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def unsaid() -> Iterator[None]:
    """Nothing is told of what is done here."""
    was, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = was


def visible(text: str) -> str:
    """With control characters spelt out: a terminal takes them, whoever wrote the text, for orders."""
    return CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def in_unicode(stream: TextIO | None) -> bool:
    """Whether it takes all characters; one that is closed takes what there is."""
    return stream is None or (stream.encoding or "utf-8").lower().startswith("utf")


def track(items: Sequence[T], what: str) -> Iterable[T]:
    """The items, with a bar that vanishes at the end; in a log, with a line once they are long in coming."""
    if console.is_terminal:
        return rich_track(items, escape(what), console=console, transient=True)
    return _told(items, what)


def _told(items: Sequence[T], what: str) -> Iterator[T]:
    begun, told = time.monotonic(), False
    for done, item in enumerate(items):
        seconds = time.monotonic() - begun
        if done and not told and seconds > WORTH_A_LINE:
            told, in_all = True, in_words(seconds * len(items) / done)
            say(f"{what}: {in_all} in all by the first {in_words(seconds)}")
        yield item


def counted(items: Iterable[T], what: str) -> Iterator[T]:
    """The items, however many; where they take over two seconds, with a count that vanishes at the end."""
    if not console.is_terminal:
        yield from items
        return
    begin, items = time.monotonic(), iter(items)
    for number, item in enumerate(items, start=1):
        yield item
        if number % COUNTED_AT_ONCE == 0 and time.monotonic() - begin > BEFORE_A_COUNT:
            break
    else:
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.completed:,}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(visible(what), total=None, completed=number)
        for number, item in enumerate(items, start=1):
            yield item
            if number % COUNTED_AT_ONCE == 0:
                progress.advance(task, COUNTED_AT_ONCE)


def in_words(seconds: float) -> str:
    """As a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
