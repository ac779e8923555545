"""What several commands say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer
from rich.console import Console

from xmlkit.cli.options import DEMO, Read
from xmlkit.console import say
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from xmlkit.data.corpus import Corpus

FoundT = TypeVar("FoundT")
out = Console(emoji=False)
GOES_ON = "the same command goes on"


def say_demo() -> None:
    """What is taken where nothing is named."""
    say("data: demo, the docstrings of Python's standard library; name a folder to use your own")


def corpus_of(data: str | None, read: Read) -> Corpus:
    """The one that is named, or `demo`, which is said then; and what its owner should know of it."""
    from xmlkit.data.corpus import load_corpus

    if not data:
        say_demo()
    corpus = load_corpus(data or DEMO, read.dialect())
    remark(corpus)
    return corpus


def remark(corpus: Corpus) -> None:
    """What its owner should know of a corpus."""
    from xmlkit.data.remarks import remarks

    for remark in remarks(corpus):
        say(remark)


def say_run(folder: Path) -> None:
    """Where a run lies, and what can be done with it."""
    say(f'run: {folder}; next: echo "some text" | xmlkit predict {folder}')


def say_what_next(folder: Path) -> None:
    """After a first run on `demo`, which lies there: a line to copy for each thing that people then want."""
    say("why a text gets its labels:")
    say(f'    xmlkit explain {folder} "some text"')
    say("your own texts, where FOLDER/train.tsv has a text, a tab and its labels a line:")
    say("    xmlkit train FOLDER --encoder auto")
    say("what a plugin brings, with intervals:")
    say('    xmlkit compare --plugin-sets "base;lexical"')
    say("all that can be set, and all plugins:")
    say("    xmlkit settings; xmlkit plugins")


def to_the_end(work: Callable[[], FoundT | None], left: Callable[[], str] = lambda: GOES_ON) -> FoundT:
    """What it finds; where it was broken off, of which None tells as well, what is `left` then is said."""
    try:
        found = work()
    except (SystemExit, KeyboardInterrupt):  # SIGTERM, SIGHUP; Ctrl-C where it is heard at once
        say(f"interrupted; {left()}")
        raise
    if found is None:
        say(f"interrupted; {left()}")
        raise typer.Exit(130)
    return found


def print_uncut(table: Table) -> None:
    """As wide as it needs to be: a narrow terminal breaks its lines, but no figure is cut."""
    Console(width=Console(width=1000, emoji=False).measure(table).maximum, emoji=False).print(table)


def say_error(error: UserError, prefix: str = "") -> None:
    """In one line, after what belongs to it."""
    if error.detail:
        say(error.detail)
    say(f"error: {prefix}{error}", style="red")
