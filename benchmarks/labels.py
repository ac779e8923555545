"""What do more labels cost a training step? Two corpora, the same encoder, batches of one size, in turn.

    python -m benchmarks.labels FEW MANY [--encoder FOLDER] [--set KEY=VALUE ...] [--out FILE]

Times whole optimiser steps of xmlkit's own trainer. Each pair of steps has as many documents and, padding
included, as many tokens; the figure is the median of the pairs' ratios. Clusters are scored at random, so
that each document has a shortlist of its own, as it has once a model has learnt: at the start all share one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import machine, peak_gib, wait
from xmlkit.config import parse_assignments
from xmlkit.data.batches import training_steps
from xmlkit.data.corpus import load_corpus
from xmlkit.training.train import prepare
from xmlkit.training.trainer import Trainer

WARM_UP, PAIRS = 8, 80


def trainer_of(corpus: str, settings: dict[str, object], folder: str) -> Trainer:
    """All that comes before the first step, in training mode."""
    trainer = prepare(load_corpus(corpus), settings, Path(folder) / Path(corpus).name)
    part = trainer.model.shortlister
    while part.inner is not None:  # the innermost scores the clusters
        part = part.inner
    torch.nn.init.normal_(part.rows.weight, std=0.3)
    trainer.model.train()
    return trainer


def steps_by_size(trainer: Trainer) -> dict[int, list[np.ndarray]]:
    """An epoch's full steps by the length of their longest document."""
    data, batch_size = trainer.data, trainer.config.batch_size
    lengths = data.reader.lengths[data.train_rows]
    found: dict[int, list[np.ndarray]] = {}
    for rows in training_steps(lengths, batch_size, 0, 0):
        if len(rows) == batch_size:
            found.setdefault(int(lengths[rows].max()), []).append(data.train_rows[rows])
    return found


def timed(trainer: Trainer, rows: np.ndarray) -> float:
    """Seconds of one step."""
    start = time.perf_counter()
    trainer.step(trainer.micro_batches(rows))
    wait(trainer.device)
    return time.perf_counter() - start


def measure(few: str, many: str, settings: dict[str, object]) -> dict[str, object]:
    """Median seconds a step on both corpora, and the ratio pair by pair."""
    with tempfile.TemporaryDirectory() as folder:
        trainers = [trainer_of(corpus, settings, folder) for corpus in (few, many)]
    sizes = [steps_by_size(trainer) for trainer in trainers]
    common = sorted(sizes[0].keys() & sizes[1].keys(), key=lambda size: -len(sizes[0][size]))
    pairs = [pair for size in common for pair in zip(sizes[0][size], sizes[1][size])]
    picked = np.random.default_rng(0).permutation(len(pairs))[: WARM_UP + PAIRS]
    seconds = np.array([[timed(t, rows) for t, rows in zip(trainers, pairs[i])] for i in picked])[WARM_UP:]
    ratios = seconds[:, 1] / seconds[:, 0]
    names = [Path(corpus).name for corpus in (few, many)]
    return {
        "labels": dict(zip(names, [len(trainer.data.counts_L) for trainer in trainers])),
        "seconds": dict(zip(names, np.median(seconds, 0).round(4).tolist())),
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_of_totals": round(float(seconds[:, 1].sum() / seconds[:, 0].sum()), 3),
        "ratio_quartiles": np.quantile(ratios, [0.25, 0.75]).round(3).tolist(),
        "peak_rss_gib": peak_gib(),
    }


def main() -> None:
    """Measures, prints JSON, and writes it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("few")
    parser.add_argument("many")
    parser.add_argument("--encoder", default="scratch")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    settings = {"encoder": arguments.encoder, "clustered": True, **parse_assignments(arguments.settings)}
    found = measure(arguments.few, arguments.many, settings)
    document = {
        "machine": machine(),
        "settings": settings | {"encoder": Path(arguments.encoder).name},
        **found,
    }
    print(json.dumps(document, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
