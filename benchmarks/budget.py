"""Does a training take as long as `--budget` says? The estimate of each command beside its time.

    python -m benchmarks.budget [DATA] [--encoder FOLDER] [--budgets 3m,30m] [--documents N] [--out FILE]

DATA is as `xmlkit train` takes it (without it the embedded corpus), of which N training documents are drawn.
Whole commands, each in a fresh process with an empty cache: the bag alone; the encoder (by default the
built-in one) with each budget; and, where an encoder is named, the ensemble `auto`. A ratio is the time after
the trials over the estimate; beside it stands what share of the budget the command took in all.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np

import xmlkit.cli
from benchmarks.machine import in_a_process_of_its_own, machine, shown
from xmlkit.data.cache import cache_in
from xmlkit.data.corpus import load_corpus
from xmlkit.data.formats import jsonl
from xmlkit.data.writing import write_corpus
from xmlkit.training import budget


def commands(encoder: str | None, budgets: list[str]) -> dict[str, list[str]]:
    """The options of each, by what it is called in the table."""
    longest, by = budgets[-1], ["--encoder", encoder] if encoder else []
    found = {f"bag, {longest}": ["--encoder", "none", "--plugin", "lexical", "--budget", longest]}
    found |= {f"encoder, {each}": [*by, "--budget", each] for each in budgets}
    if encoder:
        found[f"ensemble, {longest}"] = [*by, "--ensemble", "auto", "--budget", longest]
    return found


def measure(data: str, options: list[str]) -> dict[str, Any]:
    """Of one command, in this process: what was planned, and seconds; without those of Python's imports."""
    found: dict[str, Any] = {}
    begun = time.perf_counter()

    class Noted(budget.Budget):
        def say_plan(self, what: str, seconds: float) -> None:
            super().say_plan(what, seconds)
            found.update(plan=what, estimate=seconds, trials=time.perf_counter() - begun)

        def say_taken(self) -> None:
            super().say_taken()
            found["taken"] = time.perf_counter() - begun - found["trials"]

    with TemporaryDirectory() as folder, cache_in(Path(folder) / "cache"):
        command = ["xmlkit", "train", data, *options, "--out", str(Path(folder) / "run")]
        with patch.object(budget, "Budget", Noted), patch.object(sys, "argv", command):
            try:
                xmlkit.cli.main()
            except SystemExit as end:
                if end.code:
                    raise RuntimeError(f"{' '.join(command)} ended with {end.code}") from None
    given = budget.seconds_in(options[options.index("--budget") + 1])
    return {
        "options": shown(options),
        "plan": found["plan"],
        **{f"{name}_seconds": round(found[name], 2) for name in ("trials", "estimate", "taken")},
        "taken_over_estimate": round(found["taken"] / found["estimate"], 2),
        "share_of_budget": round((found["trials"] + found["taken"]) / given, 2),
    }


def main() -> None:
    """Measures, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", default="demo")
    parser.add_argument("--encoder")
    parser.add_argument("--budgets", default="3m,30m")
    parser.add_argument("--documents", type=int)
    parser.add_argument("--note", help="what else the machine was doing")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    corpus = load_corpus(given.data)
    if given.documents and given.documents < len(corpus.train):
        rows = np.random.default_rng(0).permutation(len(corpus.train))[: given.documents]
        corpus = replace(corpus, train=corpus.train.take(np.sort(rows)))
    results = {}
    with TemporaryDirectory() as folder:
        data = Path(folder) / corpus.name
        write_corpus(corpus, data, jsonl)
        for name, options in commands(given.encoder, given.budgets.split(",")).items():
            results[name] = found = in_a_process_of_its_own(measure, str(data), options)
            seconds = (found[f"{part}_seconds"] for part in ("trials", "estimate", "taken"))
            ratios = f"{found['taken_over_estimate']:.2f}  {found['share_of_budget']:.2f}"
            print(f"{name:20} {'  '.join(f'{each:7.1f}' for each in seconds)}  {ratios}  {found['plan']}")
    sizes = {"train": len(corpus.train), "test": len(corpus.test or []), "labels": len(corpus.labels)}
    document = {"machine": machine(), "command": f"python -m benchmarks.budget {shown(sys.argv[1:])}"}
    document |= {"note": given.note, "corpus": {"name": corpus.name, **sizes}, "commands": results}
    if given.out:
        given.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
