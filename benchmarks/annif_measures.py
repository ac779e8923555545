"""Whether `xmlkit evaluate --annif` says what Annif says, of given scores.

    python -m benchmarks.annif_measures ANNIF_PYTHON OUT.json

ANNIF_PYTHON is the Python of an environment that has annif (its pins leave no room for ours):

    python -m venv annif-env && annif-env/bin/pip install annif==1.4.3

There this file runs again, by itself, and asks `annif.eval.EvaluationBatch`.

N documents, K ranks, L labels.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

# Documents, labels, limit, threshold; scores are drawn apart enough for float32 to tell them apart.
CASES = ((7, 5, 10, 0.0), (300, 40, 10, 0.0), (300, 40, 10, 0.4), (300, 40, 3, 0.1), (2000, 3000, 10, 0.05))
DEEP = 15


def case(documents: int, labels: int, limit: int, threshold: float) -> dict[str, Any]:
    """Rankings and truth: some documents without labels, some without suggestions, labels of Zipf's kind."""
    rng = np.random.default_rng(documents + labels + limit)
    chance_L = 1 / np.arange(1, labels + 1)
    suggested, true = [], []
    for _ in range(documents):
        count = int(rng.integers(0, min(DEEP, labels) + 1))
        ids = rng.choice(labels, count, replace=False, p=chance_L / chance_L.sum())
        scores = np.sort(rng.choice(10_000, count, replace=False) / 10_000)[::-1]
        suggested.append([[int(label), float(score)] for label, score in zip(ids, scores, strict=True)])
        of_them = {int(label) for label in ids if rng.random() < 0.4}
        true.append(sorted(of_them | {int(label) for label in rng.integers(0, labels, rng.integers(0, 3))}))
    return {"labels": labels, "limit": limit, "threshold": threshold, "suggested": suggested, "true": true}


def asked_annif(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """What Annif says of each; run in its environment."""
    from importlib.metadata import version

    import annif.corpus  # before annif.vocab, which can't be imported first  # noqa: F401
    from annif.eval import EvaluationBatch
    from annif.suggestion import SubjectSuggestion, SuggestionBatch
    from annif.vocab.subject_index import SubjectIndexFile
    from annif.vocab.types import Subject

    found = []
    for one in cases:
        index = SubjectIndexFile()
        for row in range(one["labels"]):
            index.append(
                Subject(uri=f"http://example.org/{row}", labels={"en": f"label {row}"}, notation=None)
            )
        said = [[SubjectSuggestion(*pair) for pair in pairs] for pairs in one["suggested"]]
        batch = SuggestionBatch.from_sequence(said, index).filter(one["limit"], one["threshold"])
        evaluation = EvaluationBatch(index)
        evaluation.evaluate_many(batch, one["true"])
        found.append(evaluation.results())
    return {"annif": version("annif"), "figures": found}


def ours(one: dict[str, Any]) -> dict[str, float | int]:
    """What we say of the same."""
    from xmlkit.data.ragged import Ragged
    from xmlkit.measures.annif import annif_figures
    from xmlkit.measures.cut import Cut

    scores_NK = np.zeros((len(one["suggested"]), DEEP), np.float32)
    ids_NK = np.full(scores_NK.shape, -1, np.int64)
    for row, pairs in enumerate(one["suggested"]):
        for rank, (label, score) in enumerate(pairs):
            ids_NK[row, rank], scores_NK[row, rank] = label, score
    cut = Cut(one["threshold"], one["limit"])
    return annif_figures(scores_NK, ids_NK, Ragged.of(one["true"]), one["labels"], cut)


def main(annif_python: str, out: str) -> None:
    """Asks both and writes what they say; ends with an error where they differ."""
    from benchmarks.machine import machine  # which annif's environment lacks

    cases = [case(*sizes) for sizes in CASES]
    done = subprocess.run(
        [annif_python, __file__, "there"],
        input=json.dumps(cases),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    theirs = json.loads(done.stdout)
    tables = []
    for sizes, one, expected in zip(CASES, cases, theirs["figures"], strict=True):
        found = ours(one)
        assert list(found) == list(expected), (list(found), list(expected))
        off = max(abs(found[name] - expected[name]) for name in expected)
        assert off < 1e-6, {name: (found[name], expected[name]) for name in expected}
        sizes_of = dict(zip(("documents", "labels", "limit", "threshold"), sizes, strict=True))
        tables.append({**sizes_of, "largest difference": off, "annif": expected, "xmlkit": found})
    command = "python -m benchmarks.annif_measures ANNIF_PYTHON OUT.json"
    document = {"command": command, "machine": machine(), "annif": theirs["annif"], "cases": tables}
    Path(out).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"annif {theirs['annif']}: {[table['largest difference'] for table in tables]}")


if __name__ == "__main__":
    if sys.argv[1:] == ["there"]:
        print(json.dumps(asked_annif(json.load(sys.stdin))))
    else:
        main(*sys.argv[1:])
