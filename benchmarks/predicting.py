"""How many documents a second does a run predict beside the tree that an ensemble has as a member?

    python -m benchmarks.predicting RUN ENSEMBLE DATA [--documents N] [--rounds N] [--note TEXT] [--out FILE]

Documents of DATA's test split, drawn by chance, are given to both in turn: to the run in one go, as `xmlkit
predict` gives them, and to the tree (`linear`, Omikuji's) one a call and on one thread, as it takes them. The
ratio is the median of its rounds, with the least and the largest; the first round is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine, shown
from xmlkit.blend.load import load
from xmlkit.blend.member import Member
from xmlkit.blend.opening import Ensemble
from xmlkit.data.corpus import load_split
from xmlkit.inference.predict import Predictor

TREE = "linear"
BEST = 5


def measure(run: Predictor, tree: Member, texts: list[str], rounds: int) -> dict[str, Any]:
    """Documents a second of both, and how many times as fast as the tree the run is."""
    asked: tuple[Callable[[], Any], ...] = (
        lambda: run.predict(texts, BEST),
        lambda: tree.candidates(texts, BEST),
    )
    seconds: tuple[list[float], ...] = ([], [])
    for number in range(1 + rounds):
        for ask, taken in zip(asked, seconds, strict=True):
            begun = time.perf_counter()
            ask()
            if number:
                taken.append(time.perf_counter() - begun)
    ratios = [theirs / own for own, theirs in zip(*seconds, strict=True)]
    run_seconds, tree_seconds = map(statistics.median, seconds)
    return {
        "run_documents_per_second": round(len(texts) / run_seconds, 1),
        "tree_documents_per_second": round(len(texts) / tree_seconds, 1),
        "times_the_tree": round(statistics.median(ratios), 2),
        "least": round(min(ratios), 2),
        "largest": round(max(ratios), 2),
    }


def main() -> None:
    """Measures, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("ensemble", type=Path)
    parser.add_argument("data")
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--note", help="what else the machine was doing")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    run, whole = load(given.run), load(given.ensemble)
    trees = [member for name, member in whole.members if name == TREE] if isinstance(whole, Ensemble) else []
    if not trees:
        parser.error(f"{given.ensemble}: no ensemble with a tree ({TREE})")
    split = load_split(given.data, run.labels)
    rows = np.sort(np.random.default_rng(0).permutation(len(split))[: given.documents])
    texts = list(split.take(rows).texts)
    found = measure(run, trees[0], texts, given.rounds)
    print("\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in found.items()))
    document = {
        "machine": machine(),
        "command": f"python -m benchmarks.predicting {shown(sys.argv[1:])}",
        "note": given.note,
        "documents": len(texts),
        "labels": len(run.labels),
        "rounds": given.rounds,
        **found,
    }
    if given.out:
        given.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
