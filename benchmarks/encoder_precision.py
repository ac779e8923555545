"""What does an encoder's precision cost and gain in prediction? One run's encoder in each, in turn.

    python -m benchmarks.encoder_precision RUN DATA [--documents N] [--rounds N] [--out FILE]

Documents of DATA's test split, drawn by chance, are ranked as `xmlkit evaluate` ranks them, tokenised anew
each time: in float32; under bfloat16 autocast with linear layers rounded beforehand, as `precision=bfloat16`
has it; with all of the encoder's weights in bfloat16; and with its linear layers in int8, by PyTorch's own
dynamic quantisation, and by torchao and ONNX Runtime where they are installed (see int8.py), by the last in a
run that reads one layer alone. A ratio is the median of its rounds, with the least and the largest; the first
round is not counted.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from benchmarks.int8 import LIBRARIES, WAYS
from benchmarks.machine import machine, shown
from xmlkit.data.corpus import Split, load_split
from xmlkit.inference.predict import load_run
from xmlkit.model.encoder import round_linear
from xmlkit.model.folder import open_run

PRECISIONS: dict[str, tuple[Callable[[nn.Module], nn.Module], bool]] = {  # the encoder made, and autocast
    "float32": (lambda backbone: backbone, False),
    "bfloat16 autocast": (lambda backbone: _rounded(backbone), True),
    "bfloat16 weights": (lambda backbone: copy.deepcopy(backbone).bfloat16(), False),
    **{f"int8 by {whose}": (make, False) for whose, make in WAYS.items()},
}


def _rounded(backbone: nn.Module) -> nn.Module:
    backbone = copy.deepcopy(backbone)
    round_linear(backbone)
    return backbone


def measure(folder: Path, split: Split, rounds: int) -> dict[str, dict[str, Any]]:
    """By precision: documents a second, how many times as fast as float32, and what is right of the first."""
    run, whole = load_run(folder), open_run(folder).model.encoder.backbone
    encoder = run.opened.model.encoder
    backbones = {name: make(whole) for name, (make, _) in PRECISIONS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in PRECISIONS}
    metrics = {}
    for number in range(1 + rounds):
        for name, (_, encoder.in_bfloat16) in PRECISIONS.items():
            encoder.backbone = backbones[name]
            if not number:
                metrics[name] = run.evaluate(split)
                continue
            begun = time.perf_counter()
            run.rank(split.texts, max(run.config.ks))
            seconds[name].append(time.perf_counter() - begun)
    found = {}
    for name, times in seconds.items():
        ratios = [a / b for a, b in zip(seconds["float32"], times, strict=True)]
        found[name] = {
            "documents_per_second": round(len(split) / statistics.median(times), 1),
            "times_float32": round(statistics.median(ratios), 2),
            "least": round(min(ratios), 2),
            "largest": round(max(ratios), 2),
            **{metric: round(metrics[name][metric], 2) for metric in ("P@1", "P@3", "P@5")},
        }
    return found


def main() -> None:
    """Measures, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("data")
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--note", help="what else the machine was doing")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    run = load_run(given.run)
    split = load_split(given.data, run.labels)
    split = split.take(np.sort(np.random.default_rng(0).permutation(len(split))[: given.documents]))
    results = measure(given.run, split, given.rounds)
    print(f"{'encoder':20} documents/s  times float32 (least to largest)  P@1 / 3 / 5")
    for name, found in results.items():
        ratios = f"{found['times_float32']:.2f} ({found['least']:.2f} to {found['largest']:.2f})"
        right = " / ".join(f"{found[f'P@{k}']:.2f}" for k in (1, 3, 5))
        print(f"{name:20} {found['documents_per_second']:11}  {ratios:33}  {right}")
    document = {
        "machine": machine(),
        "command": f"python -m benchmarks.encoder_precision {shown(sys.argv[1:])}",
        "note": given.note,
        "documents": len(split),
        "rounds": given.rounds,
        "encoder": Path(run.config.encoder).name,
        "libraries": LIBRARIES,
        "precisions": results,
    }
    if given.out:
        given.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
