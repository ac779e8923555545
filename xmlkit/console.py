"""What we tell a person while we work: on the error stream, so that output can be piped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

T = TypeVar("T")
console = Console(stderr=True)


def say(line: str, style: str | None = None) -> None:
    """A line as it is, unbroken, so that paths and commands can be copied."""
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def track(items: Sequence[T], what: str) -> Iterable[T]:
    """The items, with a bar that vanishes at the end."""
    return rich_track(items, what, console=console, transient=True)
