"""Where do clusters begin to pay? A step, and a prediction, with every label scored and with shortlists.

    python -m benchmarks.flat [--shape minilm] [--tokens 20,128] [--labels 4000,...]
                              [--set KEY=VALUE ...] [--out FILE]

Made-up work: documents of so many tokens with about five Zipf-drawn labels, clusters and shortlists as they
are by default. Both steps and the encoder's own are taken in turn on the same documents; a ratio is the
median of its pairs, with quartiles. Each line is a process of its own, so that its largest memory is its own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import in_a_process_of_its_own, machine, peak_gib, wait
from benchmarks.step import EncoderAlone
from benchmarks.synthetic import SHAPES, trainer_of
from xmlkit.config import Config, parse_assignments
from xmlkit.training.trainer import Trainer

LABELS = (4_000, 10_000, 25_000, 50_000, 100_000)
WARM_UP, ROUNDS = 2, 8
DOCUMENTS = 64
DEFAULTS = {name: Config.model_fields[name].default for name in ("cluster_size", "shortlist", "label_width")}


def measure(shape: str, tokens: int, num_labels: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Medians of the ratios of one line."""
    count = DOCUMENTS * (WARM_UP + ROUNDS)
    base = {**DEFAULTS, "pooling": "mean", "max_len": tokens, "batch_size": DOCUMENTS, "start": "warm"}
    with tempfile.TemporaryDirectory() as folder:
        flat, clustered = (
            trainer_of(shape, num_labels, count, Path(folder), **{**base, **settings, "clustered": path})
            for path in (False, True)
        )
    alone = EncoderAlone(shape, flat)
    alone_S, flat_S, clustered_S = _timed(flat, (alone.step, flat.step, clustered.step))
    for trainer in (flat, clustered):
        trainer.model.eval()
    flat_P, clustered_P = _timed(flat, (partial(_predict, flat), partial(_predict, clustered)))
    ratios = {
        "flat / encoder": flat_S / alone_S,
        "clustered / encoder": clustered_S / alone_S,
        "flat / clustered": flat_S / clustered_S,
        "flat / clustered, prediction": flat_P / clustered_P,
    }
    return {
        "shape": shape,
        "tokens": tokens,
        "labels": num_labels,
        "encoder_seconds": round(float(np.median(alone_S)), 4),
        **{name: np.quantile(found, [0.5, 0.25, 0.75]).round(3).tolist() for name, found in ratios.items()},
        "peak_gib": peak_gib(),
    }


def _timed(trainer: Trainer, works: Sequence[Callable[[list[Any]], Any]]) -> np.ndarray:
    """Seconds (works, rounds), each round on the same documents, in turn; after warming up."""
    found = []
    for rows in np.arange(DOCUMENTS * (WARM_UP + ROUNDS)).reshape(-1, DOCUMENTS):
        batches, times = trainer.micro_batches(rows), []
        for work in works:
            start = time.perf_counter()
            work(batches)
            wait(trainer.device)
            times.append(time.perf_counter() - start)
        found.append(times)
    return np.array(found)[WARM_UP:].T


def _predict(trainer: Trainer, batches: list[Any]) -> None:
    for batch in batches:
        trainer.model.rank(batch.documents.to(trainer.device), 5)


def main() -> None:
    """Measures line by line, prints each, writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="minilm")
    parser.add_argument("--tokens", default="20,128")
    parser.add_argument("--labels", default=",".join(map(str, LABELS)))
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    settings, results = parse_assignments(given.settings), []
    for tokens in map(int, given.tokens.split(",")):
        for labels in map(int, given.labels.split(",")):
            results.append(in_a_process_of_its_own(measure, given.shape, tokens, labels, settings))
            print(json.dumps(results[-1]), flush=True)
    if given.out:
        document = {"machine": machine(), "settings": settings, "results": results}
        given.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
