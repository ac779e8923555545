"""An ensemble made by one command, and each of its members alone, on held-out documents and on test.

    python -m benchmarks.blended OUT.json DATA [OPTION ...]

Options are those of `xmlkit train`; `--ensemble auto` where none is named.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import xmlkit
from benchmarks.machine import machine
from benchmarks.suite.trained import trained
from xmlkit.blend.aim import Mean, difference
from xmlkit.blend.opening import Ensemble
from xmlkit.data.corpus import Split, load_corpus

METRIC = "nDCG@5"  # that whole and best member are compared by


def judged(whole: Ensemble, test: Split) -> dict[str, Any]:
    """The whole and its members, and what the whole is ahead of its best member, with a 95% interval."""
    by, about = whole.scoring, whole.whole.described
    found = whole.evaluated(test, max(by.ks))
    kinds = Counter(one.kind for one in about.members)
    names = []
    for one in about.members:
        of = Path(one.name.removeprefix(f"{one.kind}:")).name.removeprefix("whole-")
        one_of_many = f"{one.kind}:{of}" if kinds[one.kind] > 1 else one.kind
        names.append(of if one.kind == "run" else one_of_many)
    members = (ids_NK for _, ids_NK in found.members)
    rankings = {"whole": found.ranking.ids_NK, **dict(zip(names, members, strict=True))}
    truth = found.ranking.truth
    terms = {name: Mean((by.terms(ids_NK, truth)[METRIC],)) for name, ids_NK in rankings.items()}
    held_out = {"whole": about.judged, **{name: one.alone for name, one in zip(names, about.members)}}
    best = max((name for name in rankings if name != "whole"), key=lambda name: terms[name].percent)
    return {
        "rows": {
            name: {"held_out": held_out[name], "test": by.scores(ids_NK, truth)}
            for name, ids_NK in rankings.items()
        },
        "loss_without": {name: one.loss_without for name, one in zip(names, about.members)},
        f"{METRIC} over the best member": {"of": best, "is": difference(terms["whole"], terms[best])},
    }


def main(out: str, data: str, *options: str) -> None:
    """Measures and writes. Ends as the training did where that failed."""
    if "--ensemble" not in options:
        options = (*options, "--ensemble", "auto")
    test = load_corpus(data).test
    assert test is not None, f"{data} has no test split"
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "whole"
        costs = trained(run, data, options)
        whole = xmlkit.load(run)
        assert isinstance(whole, Ensemble)
        begun = time.perf_counter()
        found = judged(whole, test)
    document = {
        "machine": machine(),
        **costs,
        "seconds_of_judging": round(time.perf_counter() - begun, 1),
        **found,
    }
    Path(out).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
