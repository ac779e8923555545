"""From a page's markers to its tables.

A marker names a kind of table (kinds.py) and the files that are read as the kind reads them; or, in TOML
below, where a row's figures lie in the folder of results and what it is called:

    <!-- table: compare compare-yso-4k-frozen -->
    <!-- end -->

    <!-- table: runs
    yso-en-4k-mean = "token mean"
    "step-minilm-16/results/documents=16/*" = "MiniLM, {labels:,} labels"
    "serve/served/*" = "{key} clients"
    -->
    <!-- end -->

A place is a file without `.json`, or several (`step-*`), then keys of mappings or places in lists; `*` is
each of them, `name=value` the list of those whose field has that value. A row's words are a format of its
fields and of its `key`. Of a kind's columns those appear that have a figure in some row, or of these the ones
that `columns = [...]` names; `heading = "..."` stands above the words. Beneath the table its files are named,
with dates and machines, unless the marker says `files = false`.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.tables.kinds import KINDS
from benchmarks.tables.taken import date, machine

MARKER = re.compile(
    r"^(<!-- table: (\S+)([^\n]*?)(?:\n((?:(?!-->).*\n)*))? ?-->\n)"
    r"(?:(?!<!-- table:).*\n)*?<!-- end -->$",
    re.MULTILINE,
)
BEGUN = re.compile(r"^<!-- table:", re.MULTILINE)
TAKEN = ("scored", "machine")


class NotDrawn(ValueError):
    """A marker that asks for what there is not."""


@dataclass(frozen=True)
class _Found:
    """What lies at a place."""

    file: str
    key: str  # the last step to it
    value: Any
    taken: dict[str, Any]  # how and where, of the file or, where it stands nearer, of what holds the value

    def within(self, key: str, value: Any) -> _Found:
        """What lies one step further."""
        told = {name: value[name] for name in TAKEN if name in value} if isinstance(value, dict) else {}
        return _Found(self.file, key, value, {**self.taken, **told})


def redrawn(said: str, page: Path, results: Path) -> str:
    """The page with its tables drawn anew; links are as seen from it. Raises NotDrawn."""
    folder = Path(os.path.relpath(results, page.parent))

    def drawn(marker: re.Match[str]) -> str:
        head, kind, files, rows = marker.groups()
        try:
            table = _table(kind, files.split(), tomllib.loads(rows or ""), results, folder)
            return f"{head}{table}<!-- end -->"
        except (NotDrawn, tomllib.TOMLDecodeError) as error:
            line = said.count("\n", 0, marker.start()) + 1
            raise NotDrawn(f"{page}:{line}: {error}") from error

    begun, whole = len(BEGUN.findall(said)), len(MARKER.findall(said))
    if begun != whole:
        raise NotDrawn(f"{page}: {begun} tables begin and {whole} end; each needs its own <!-- end -->")
    return MARKER.sub(drawn, said)


def _table(name: str, files: Sequence[str], asked: dict[str, Any], results: Path, folder: Path) -> str:
    if name not in KINDS:
        raise NotDrawn(f"no kind of table is called {name}: there are {', '.join(KINDS)}")
    kind = KINDS[name]
    options = {"heading": "", "columns": list(kind.columns), "files": True}
    heading, wanted, with_files = (asked.get(option, usual) for option, usual in options.items())
    places = {file + kind.rows: kind.words for file in files}
    places |= {place: words for place, words in asked.items() if place not in options}
    if unknown := [one for one in wanted if one not in kind.columns]:
        raise NotDrawn(f"{name} has no column {unknown[0]}: there are {', '.join(kind.columns)}")
    rows, taken = [], {}
    for place, words in places.items():
        for found in _at(place, results):
            try:
                value = kind.of(found.value)
                cells = [_cell(kind.columns[column], value) for column in wanted]
            except (KeyError, TypeError, AttributeError) as error:
                raise NotDrawn(f"{place} is no row of {name}: {error!r}") from error
            if not any(cells):
                raise NotDrawn(f"{name} finds no figure in {place}")
            rows.append([_words(words, found), *cells])
            taken[found.file, json.dumps(found.taken)] = found.taken
    if not rows:
        raise NotDrawn(f"{name} finds no figure in nothing")
    filled = [column for column in zip(wanted, *(cells for _, *cells in rows)) if any(column[1:])]
    columns = [(heading, *(words for words, *_ in rows)), *filled]
    first, *others = (_line(cells) for cells in zip(*columns))
    drawn = "".join([first, _line(["---"] * len(columns)), *others])
    return drawn + _files(taken, folder) if with_files else drawn


def _words(words: str, found: _Found) -> str:
    fields = found.value if isinstance(found.value, dict) else {}
    try:
        return words.format(**{**fields, "key": found.key})
    except (KeyError, IndexError, ValueError) as error:
        raise NotDrawn(f"{words!r} can't be said of {found.key}: {error}") from error


def _cell(column: Callable[[Any], str], value: Any) -> str:
    try:
        return column(value)
    except (KeyError, IndexError):  # this row has none
        return ""


def _line(cells: Iterable[str]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|\n"


def _at(place: str, results: Path) -> list[_Found]:
    paths, steps = _split(place, results)
    here = []
    for path in paths:
        file = path.relative_to(results).with_suffix("").as_posix()
        whole = json.loads(path.read_text(encoding="utf-8"))
        here.append(_Found(file, "", None, {}).within(path.stem, whole))
    for step in steps:
        here = [inner for found in here for inner in _steps(found, step)]
        if not here:
            raise NotDrawn(f"{paths[0].name} has nothing at {step} of {place}")
    return here


def _split(place: str, results: Path) -> tuple[list[Path], list[str]]:
    """The files, which may lie in a folder, and the steps from there."""
    parts = place.split("/")
    for count in range(1, len(parts) + 1):
        if paths := sorted(results.glob(f"{'/'.join(parts[:count])}.json")):
            return paths, parts[count:]
    raise NotDrawn(f"there is no {parts[0]}.json in {results}")


def _steps(found: _Found, step: str) -> list[_Found]:
    """One step further: none where there is nothing of that name, several at `*`."""
    value = found.value
    if isinstance(value, list):
        name, equals, wanted = step.partition("=")
        if equals:
            return [found.within(step, [one for one in value if str(one.get(name)) == wanted])]
        value = {str(place): one for place, one in enumerate(value)}
    if not isinstance(value, dict):
        return []
    return [found.within(key, one) for key, one in value.items() if step in (key, "*")]


def _files(taken: Mapping[tuple[str, str], Mapping[str, Any]], folder: Path) -> str:
    """Links to them, when they were taken, and on which machines."""
    links = ", ".join(
        f"[{file}]({(folder / file).as_posix()}.json)" for file in dict.fromkeys(file for file, _ in taken)
    )
    dates = sorted({date(told) for told in taken.values()} - {""})
    span = dates[:1] if dates[:1] == dates[-1:] else [f"{dates[0]} to {dates[-1]}"]
    told = [*span, *dict.fromkeys(filter(None, map(machine, taken.values())))]
    return f"\nFiles: {links}{' (' + '; '.join(told) + ')' if told else ''}\n"
