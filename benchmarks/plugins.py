"""What does a plugin cost? Training steps and predictions with it and without it, in turn.

    python -m benchmarks.plugins CORPUS --plugin-sets SETS [--encoder FOLDER] [--set KEY=VALUE ...]
                                        [--out FILE]

Sets are written as for `xmlkit compare`. Each set and the plain model take the same documents one after the
other; figures are medians of the ratios: seconds a step over the plain model's, and documents predicted in a
second over the plain model's. Clusters are scored at random: each document has a shortlist of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from itertools import chain
from pathlib import Path

import numpy as np

from benchmarks.labels import WARM_UP, steps_by_size, timed, trainer_of
from benchmarks.machine import machine
from xmlkit.comparison.sets import parse_sets
from xmlkit.config import merge, parse_assignments
from xmlkit.discovery import NO_PLUGINS
from xmlkit.model.ranking import rank_documents
from xmlkit.training.trainer import Trainer

STEPS, PREDICTIONS, DOCUMENTS = 40, 20, 512


def predicting(trainer: Trainer, rows: np.ndarray) -> float:
    """Seconds to rank these documents."""
    head = trainer.model.head_for_prediction()
    start = time.perf_counter()
    rank_documents(trainer.model, head, trainer.data.reader, rows, 5, trainer.config.tokens_at_once)
    return time.perf_counter() - start


def ratios(plain: Trainer, other: Trainer) -> dict[str, object]:
    """Medians and quartiles over steps, and over predictions."""
    steps = list(chain.from_iterable(steps_by_size(plain).values()))
    rng = np.random.default_rng(0)
    picked = [steps[i] for i in rng.permutation(len(steps))[: WARM_UP + STEPS]]
    seconds = np.array([[timed(t, rows) for t in (plain, other)] for rows in picked])[WARM_UP:]
    step = seconds[:, 1] / seconds[:, 0]
    parts = [rng.choice(plain.data.train_rows, DOCUMENTS) for _ in range(PREDICTIONS + 1)]
    seconds = np.array([[predicting(t, rows) for t in (plain, other)] for rows in parts])[1:]
    speed = seconds[:, 0] / seconds[:, 1]
    return {
        "step": round(statistics.median(step), 3),
        "step_quartiles": np.quantile(step, [0.25, 0.75]).round(3).tolist(),
        "prediction_speed": round(statistics.median(speed), 3),
        "prediction_speed_quartiles": np.quantile(speed, [0.25, 0.75]).round(3).tolist(),
    }


def main() -> None:
    """Measures set by set, prints JSON, writes it where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus")
    parser.add_argument("--plugin-sets", required=True)
    parser.add_argument("--encoder", default="scratch")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    settings = {"encoder": given.encoder, "clustered": True, "pooling": "first"}
    settings = merge(settings, parse_assignments(given.settings))
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        plain = trainer_of(given.corpus, settings, f"{folder}/{NO_PLUGINS}")
        for number, row in enumerate(parse_sets(given.plugin_sets)):
            if row.name != NO_PLUGINS:
                other = trainer_of(given.corpus, merge(settings, row.settings), f"{folder}/{number}")
                found[row.name] = ratios(plain, other)
    document = {"corpus": Path(given.corpus).name, "machine": machine(), "ratios": found}
    document["settings"] = {**settings, "encoder": Path(given.encoder).name}
    text = json.dumps(document, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
