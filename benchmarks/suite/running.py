"""Running parts one after the other, never two at once: within a budget, and gone on with."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.suite.part import LEFT_OUT, Given, Part
from xmlkit.report.suite import INDEX


def run(
    parts: Sequence[Part], given: Given, folder: Path, minutes: float, tell: Callable[[str], None] = print
) -> dict[str, Any]:
    """Writes NAME.json of each run of each part, and what became of all into `suite.json`.

    What the folder holds is not measured again; what is thought to take longer than is left, or lacks
    something, is left out and named. Ctrl-C ends what is under way; the same folder goes on. Raises
    ValueError where it holds what was measured with other settings, and for corpora of one name.
    """
    names = [corpus.resolve().name for corpus in given.corpora]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"--corpora: two are called {twice}, and so would their results be")
    folder.mkdir(parents=True, exist_ok=True)
    index = read_index(folder) or {"machine": machine(), "parts": {}}
    deadline = time.monotonic() + 60 * minutes
    for part in parts:
        for name, corpus in _runs(part, given):
            out = folder / f"{name}.json"
            is_there, key = out.is_file(), _key(part, given, corpus)
            told = {**(index["parts"].get(name, {}) if is_there else {}), "part": part.name}
            index["parts"][name] = told
            left = (deadline - time.monotonic()) / 60
            of_another = "status" not in told or told.setdefault("given", key) != key
            if is_there and of_another:
                raise ValueError(f"{out} was measured with other settings: name another --out, or remove it")
            if is_there:
                tell(f"{name}: is there")
            elif (why := part.lacks(given)) or part.minutes > left:
                told["left_out"] = why or f"takes {part.minutes:g} minutes, {max(left, 0):.0f} are left"
                tell(f"{name}: left out: {told['left_out']}")
            else:
                tell(f"{name}: {part.minutes:g} minutes or so")
                told.update(_measured(part.command(out, given, corpus), out))
                if "status" in told:
                    told["given"] = key
                tell(f"{name}: {_outcome(told)}")
            (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")
    return index


def read_index(folder: Path) -> dict[str, Any] | None:
    """What became of the parts in a folder; None where there is nothing."""
    file = folder / INDEX
    return json.loads(file.read_text()) if file.is_file() else None


def _runs(part: Part, given: Given) -> Iterator[tuple[str, Path | None]]:
    """The names of a part's runs: repeated, and of each corpus, where there are some."""
    for corpus in given.corpora or (None,) if part.of_a_corpus else (None,):
        for number in range(1, part.repeats + 1):
            words = [part.name.replace(" ", "-"), corpus.resolve().name if corpus else "", str(number)]
            yield "-".join(word for word in words if word), corpus


def _measured(command: list[str], out: Path) -> dict[str, Any]:
    begun = time.monotonic()
    with out.with_suffix(".log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            status = process.wait()
        except (KeyboardInterrupt, SystemExit):
            process.terminate()
            process.wait()
            out.unlink(missing_ok=True)
            raise
    if status:
        out.unlink(missing_ok=True)
    if status == LEFT_OUT:
        return {"left_out": _last_line(out)}
    told = {"status": status, "seconds": round(time.monotonic() - begun, 1)}
    return {**told, "why": _last_line(out)} if status else told


def _outcome(told: dict[str, Any]) -> str:
    if "left_out" in told:
        return f"left out: {told['left_out']}"
    if told["status"]:
        return f"failed in {told['seconds']:.0f} s: {told['why']}"
    return f"done in {told['seconds']:.0f} s"


def _last_line(out: Path) -> str:
    """That a part has said, which is why it ended where it did not end well."""
    said = out.with_suffix(".log").read_text(errors="replace").strip().rpartition("\n")[2]
    return said.removeprefix("error: ")


def _key(part: Part, given: Given, corpus: Path | None) -> str:
    """Of what is measured and with what; the names of this machine's folders stay here."""
    words = part.command(Path(), given, corpus and corpus.resolve())[1:]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16]
