"""All that is measured, as one command.

    python -m benchmarks.suite [--only speed,quality,peers,ablation,reliability] [--corpora DIR ...]
                               [--encoder FOLDER] [--budget 30m] [--out DIR]
    python -m benchmarks.suite --compare BEFORE AFTER

Parts that fit into the budget run one after the other, each a process of its own, and write into
benchmarks/results/DATE-MACHINE; the same command goes on after Ctrl-C. Models and peers are of the embedded
corpus `demo` where none is named. `--compare` says what is better or worse beyond the noise, and ends with 1
where something is worse.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
from pathlib import Path

from benchmarks.ending import leave_on_sigterm
from benchmarks.machine import machine
from benchmarks.suite.comparing import compared, undone, unlike
from benchmarks.suite.part import Given
from benchmarks.suite.parts import PARTS
from benchmarks.suite.running import run
from xmlkit.data.corpus import DEMO
from xmlkit.errors import UserError
from xmlkit.training.budget import seconds_in

GROUPS = tuple(dict.fromkeys(part.group for part in PARTS))


def main() -> None:
    """Runs parts, or compares two folders."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(GROUPS), help="groups of parts, or names of single ones")
    parser.add_argument("--corpora", nargs="+", default=[DEMO], metavar="CORPUS", help="folders, or demo")
    parser.add_argument("--encoder", help="a pretrained one, in a folder")
    parser.add_argument("--budget", default="30m")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("BEFORE", "AFTER"))
    given = parser.parse_args()
    if given.compare:
        sys.exit(_compare(*given.compare))
    asked = given.only.split(",")
    known = [*GROUPS, *(part.name for part in PARTS if part.name not in GROUPS)]
    if unknown := [name for name in asked if name not in known]:
        parser.error(f"--only {unknown[0]}: there are {', '.join(known)}")
    if missing := [one for one in given.corpora if one != DEMO and not Path(one).exists()]:
        parser.error(f"--corpora {missing[0]}: no such folder")
    try:
        seconds = seconds_in(given.budget)
    except UserError as error:
        parser.error(str(error))
    parts = [part for part in PARTS if {part.group, part.name} & set(asked)]
    folder = given.out or Path("benchmarks/results") / f"{datetime.date.today()}-{_name()}"
    leave_on_sigterm()
    try:
        index = run(parts, Given(tuple(given.corpora), given.encoder), folder, seconds / 60)
    except ValueError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print(f"interrupted; the same command with --out {folder} goes on")
        sys.exit(130)
    print(f"results: {folder}")
    asked_for = {part.name for part in parts}
    sys.exit(any(told.get("status") for told in index["parts"].values() if told["part"] in asked_for))


def _name() -> str:
    """The machine's, as a file may be called."""
    here = machine()
    return re.sub(r"\W+", "-", (here["cuda"] or here["cpu"]).lower()).strip("-")


def _compare(before: Path, after: Path) -> int:
    try:
        found = compared(PARTS, before, after)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not found:
        print(f"error: {before} and {after} have no figure in common", file=sys.stderr)
        return 2
    for one in found:
        print(f"{one.name}: {one.before:.4g} -> {one.after:.4g}, {one.verdict}")
    lost = undone(before, after)
    for name, why in lost.items():
        print(f"{name}: done before, now {why}")
    for line in unlike(before, after):
        print(f"not the same: {line}")
    return int(any(one.verdict == "worse" for one in found) or "failed" in lost.values())


if __name__ == "__main__":
    main()
