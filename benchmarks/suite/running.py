"""Running parts one after the other, never two at once, within a budget, and going on with them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.ending import run_to_its_end
from benchmarks.machine import machine, shown
from benchmarks.suite.part import LEFT_OUT, Given, Part
from xmlkit.report.suite import INDEX
from xmlkit.training.claim import claimed

LONGEST = 500  # letters of a reason


def run(
    parts: Sequence[Part], given: Given, folder: Path, minutes: float, tell: Callable[[str], None] = print
) -> dict[str, Any]:
    """Writes NAME.json of each run of each part, and what became of all into `suite.json`.

    What the folder holds is not measured again; what is thought to take longer than is left, or lacks
    something, is left out and named, and what takes longer all the same is ended. Ctrl-C ends what is under
    way; the same folder goes on. Raises ValueError where it holds what was measured with other settings, and
    for corpora of one name, UserError where another process fills it.
    """
    names = [_name_of(corpus) for corpus in given.corpora]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"--corpora: two are called {twice}, and so would their results be")
    with claimed(folder):
        index = read_index(folder) or {"parts": {}}
        deadline = time.monotonic() + 60 * minutes
        for part in parts:
            for name, corpus in _runs(part, given):
                told = index["parts"].get(name, {})
                index["parts"][name] = _run(
                    part, given, corpus, folder / f"{name}.json", told, deadline, tell
                )
                (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")
    return index


def read_index(folder: Path) -> dict[str, Any] | None:
    """What became of the parts in a folder; None where there is nothing."""
    file = folder / INDEX
    return json.loads(file.read_text()) if file.is_file() else None


def _run(
    part: Part,
    given: Given,
    corpus: str | None,
    out: Path,
    told: dict[str, Any],
    deadline: float,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """What is to be told of it from now on, by what was told before."""
    name, key, command = out.stem, _key(part, given, corpus), part.command(out, given, corpus)
    if out.is_file() and told.get("status") == 0:
        if told.get("given", key) != key:
            raise ValueError(f"{out} was measured with other settings: name another --out, or remove it")
        tell(f"{name}: is there{_as_of(told)}")
        return told
    seconds = deadline - time.monotonic()
    if (why := part.lacks(given)) or seconds < 60 * (0 if part.goes_on else part.minutes):
        why = why or f"takes {part.minutes:g} minutes, {max(seconds / 60, 0):.1f} are left"
        tell(f"{name}: left out: {why}")
        return {"part": part.name, "left_out": why}
    tell(f"{name}: {part.minutes:g} minutes or so")
    found = {"part": part.name, **_measured(command, out, seconds)}
    tell(f"{name}: {_outcome(found)}")
    if "status" in found:
        found |= {"given": key, "command": f"python {shown(command[1:])}", "machine": machine()}
    return found


def _runs(part: Part, given: Given) -> Iterator[tuple[str, str | None]]:
    """The names of a part's runs: repeated, and of each corpus, where it is of one."""
    for corpus in given.corpora if part.of_a_corpus else (None,):
        for number in range(1, part.repeats + 1):
            words = [part.name.replace(" ", "-"), _name_of(corpus) if corpus else "", str(number)]
            yield "-".join(word for word in words if word), corpus


def _measured(command: list[str], out: Path, seconds: float) -> dict[str, Any]:
    begun, status = time.monotonic(), None
    try:
        with out.with_suffix(".log").open("w") as log:
            status = run_to_its_end(command, log, seconds)
    finally:
        if status != 0:
            out.unlink(missing_ok=True)
    if status is None:
        return {"left_out": "the budget ended before it did"}
    if status == LEFT_OUT:
        return {"left_out": _last_line(out)}
    told = {"status": status, "seconds": round(time.monotonic() - begun, 1)}
    return {**told, "why": _last_line(out)} if status else told


def _as_of(told: dict[str, Any]) -> str:
    """Where what is there was measured before the code was changed."""
    then, now = told.get("machine", {}).get("commit"), machine()["commit"]
    return "" if then == now else f", as commit {then} had it, and this is {now}; another --out measures anew"


def _outcome(told: dict[str, Any]) -> str:
    if "left_out" in told:
        return f"left out: {told['left_out']}"
    if told["status"]:
        return f"failed in {told['seconds']:.0f} s: {told['why']}"
    return f"done in {told['seconds']:.0f} s"


def _last_line(out: Path) -> str:
    """That a part has said, which is why it ended where it did not end well."""
    said = out.with_suffix(".log").read_text(errors="replace").strip().rpartition("\n")[2]
    return said.removeprefix("error: ")[:LONGEST]


def _name_of(corpus: str) -> str:
    return Path(corpus).resolve().name


def _key(part: Part, given: Given, corpus: str | None) -> str:
    """Of what is measured and with what, wherever that lies: of files by their names and sizes."""
    of_files = replace(given, encoder=given.encoder and _what(given.encoder))
    words = part.command(Path(), of_files, corpus and _what(corpus))[1:]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16]


def _what(named: str) -> str:
    path = Path(named)
    files = sorted(file for file in (path, *path.glob("*")) if file.is_file())
    return json.dumps([_name_of(named), [(file.name, file.stat().st_size) for file in files]])
