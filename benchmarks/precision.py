"""Is bfloat16 autocast faster? The same training steps in both precisions, in turn.

    python -m benchmarks.precision [--encoder FOLDER] [--out FILE]

Times whole optimiser steps of xmlkit's own trainer on the embedded corpus, on this machine's default device.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.machine import machine, wait
from xmlkit.data.batches import training_steps
from xmlkit.data.corpus import load_corpus
from xmlkit.training.train import prepare

WARM_UP, STEPS, LENGTHS = 3, 12, (32, 64, 128)
PRECISIONS = {"float32": False, "bfloat16": True}


def measure(encoder: str, max_len: int) -> dict[str, float]:
    """The encoder's shape, median seconds a step in each precision, and their ratio pair by pair."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"encoder": encoder, "max_len": max_len}
        trainer = prepare(load_corpus("demo"), settings, Path(folder) / "run")
    trainer.model.train()
    data, batch_size = trainer.data, trainer.config.batch_size
    steps = training_steps(data.reader.lengths[data.train_rows], batch_size, 0, 0)
    steps = [data.train_rows[rows] for rows in steps if len(rows) == batch_size][: WARM_UP + STEPS]
    seconds: dict[str, list[float]] = {name: [] for name in PRECISIONS}
    for rows in steps:
        for name, trainer.model.encoder.in_bfloat16 in PRECISIONS.items():
            wait(trainer.device)
            start = time.perf_counter()
            trainer.step(trainer.micro_batches(rows))
            wait(trainer.device)
            seconds[name].append(time.perf_counter() - start)
    seconds = {name: times[WARM_UP:] for name, times in seconds.items()}
    ratios = [a / b for a, b in zip(seconds["float32"], seconds["bfloat16"], strict=True)]
    shape = trainer.model.encoder.backbone.config
    return {
        "layers": shape.num_hidden_layers,
        "hidden": shape.hidden_size,
        **{f"{name}_seconds": round(statistics.median(times), 4) for name, times in seconds.items()},
        "speedup_median": round(statistics.median(ratios), 2),
        "speedup_min": round(min(ratios), 2),
        "speedup_max": round(max(ratios), 2),
    }


def main() -> None:
    """Measures, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="scratch")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    results = {length: measure(arguments.encoder, length) for length in LENGTHS}
    print("tokens  float32 s  bfloat16 s  speed-up (min to max)")
    for length, found in results.items():
        spread = f"{found['speedup_median']} ({found['speedup_min']} to {found['speedup_max']})"
        print(f"{length:6}  {found['float32_seconds']:9}  {found['bfloat16_seconds']:10}  {spread}")
    if arguments.out:
        document = {"machine": machine(), "batch_size": 64, "max_len": results}
        arguments.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
