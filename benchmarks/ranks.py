"""What does it cost to split a model over processes, and how does that grow?

    python -m benchmarks.ranks [--labels 25023] [--documents 32] [--rounds 5] [--out FILE]
    python -m benchmarks.ranks --simulate [--measured FILE] [--out FILE]

First the same work, a training step of MiniLM's shape, in one process of one thread and in two of one thread
each, in turn; and the bytes of all tensors that the ranks hand to PyTorch's collectives, beside what follows
from the sizes. `--simulate` is a calculation, and measures nothing: from what one device took (by default an
H100, `benchmarks.cuda`) and stated bandwidths, a step's time and memory a rank for 1 to 64 devices.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.distributed as dist
from torch import multiprocessing

from benchmarks.machine import machine, wait
from benchmarks.suite.part import LEFT_OUT
from benchmarks.synthetic import balanced_clusters, trainer_of
from xmlkit.distributed import ranks
from xmlkit.model.split import split_over_ranks
from xmlkit.training.trainer import Trainer

WARM_UP, STEPS = 1, 3
NUMBER, A_CLUSTER = 4, 16  # bytes; of a cluster that is among the likeliest: its id and two scores
SHORTLIST = 75  # clusters
COUNTS, LABELS, BANDWIDTHS = (1, 2, 4, 8, 16, 32, 64), (3_000_000, 30_000_000, 100_000_000), (25e9, 400e9)
MEASURED = Path("benchmarks/results/cuda-h100.json")


# ------------------------------------------------------------------------------------------ measured here


def compare(labels: int, documents: int, rounds: int, several: int = 2) -> dict[str, Any]:
    """Of one process and of several: medians, the ratio of each round, and bytes a step."""
    found: dict[int, list[float]] = {1: [], several: []}
    for _ in range(rounds):
        for count in found:
            seconds, sent, expected = _round(count, labels, documents)
            found[count].append(seconds)
    one, more = found[1], found[several]
    return {
        "labels": labels,
        "documents": documents,
        "seconds_a_step": {str(count): round(statistics.median(some), 4) for count, some in found.items()},
        "speed_up": [round(a / b, 3) for a, b in zip(one, more, strict=True)],
        "megabytes_a_step": round(sent / 1e6, 3),
        "megabytes_by_the_formula": round(expected / 1e6, 3),
    }


def _round(count: int, labels: int, documents: int) -> tuple[float, float, float]:
    """Of the first of so many ranks."""
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(_rank, (folder, count, labels, documents), count)
        found = json.loads(Path(folder, "found.json").read_text())
        return found["seconds"], found["sent"], found["expected"]


def _rank(number: int, folder: str, count: int, labels: int, documents: int) -> None:
    torch.set_num_threads(1)
    if torch.cuda.is_available():
        torch.cuda.set_device(number)
    store = dist.FileStore(f"{folder}/store", count)
    ranks.join_by(store, number, count, timedelta(seconds=600))
    total = documents * (WARM_UP + STEPS)
    with patch.object(Trainer, "__init__", _split_first(Trainer.__init__)):
        trainer = trainer_of("minilm", labels, total, Path(folder), batch_size=documents)
    steps = [trainer.micro_batches(rows) for rows in np.arange(total).reshape(-1, documents)]
    for batches in steps[:WARM_UP]:
        trainer.step(batches)
    with counted() as sent:
        wait(trainer.device)
        begun = time.perf_counter()
        for batches in steps[WARM_UP:]:
            trainer.step(batches)
        wait(trainer.device)
        seconds = (time.perf_counter() - begun) / STEPS
    if number == 0:
        expected = _formula(trainer, steps[WARM_UP:]) / STEPS if count > 1 else 0.0
        found = {"seconds": seconds, "sent": sum(sent) / STEPS, "expected": expected}
        Path(folder, "found.json").write_text(json.dumps(found))
    ranks.meet()
    ranks.leave()


def _split_first(begin: Any) -> Any:
    """As training does, which makes its trainer of a model that is split."""

    def split(self: Trainer, run: Any, *given: Any) -> None:
        split_over_ranks(run.model)
        begin(self, run, *given)

    return split


@contextmanager
def counted() -> Iterator[list[int]]:
    """The bytes of each tensor that is handed to a collective meanwhile."""
    sent: list[int] = []

    def noting(work: Any) -> Any:
        def noted(*given: Any, **named: Any) -> Any:
            tensor = given[1] if isinstance(given[0], list) else given[0]
            sent.append(tensor.numel() * tensor.element_size())
            return work(*given, **named)

        return noted

    noted = {name: noting(getattr(dist, name)) for name in ("all_reduce", "all_gather")}
    with patch.multiple(dist, **noted):
        yield sent


def _formula(trainer: Trainer, steps: list[Any]) -> float:
    """Bytes of some steps with clusters, by the sizes."""
    model, total = trainer.model, 0.0
    clusters = model.shortlister.clusters
    assert clusters is not None
    weights = [weight for weight in trainer.dense if weight.requires_grad]
    for batches in steps:
        total += NUMBER * sum(weight.numel() for weight in weights) + 8 * len(weights)
        for batch in batches:
            documents, width = len(batch.labels), model.representation.rank_width
            candidates = trainer.config.shortlist * clusters.largest
            if batch.labels.most > trainer.config.shortlist:
                candidates += batch.labels.most
            own = documents // ranks.count()
            total += NUMBER * own * width  # vectors of its documents
            total += NUMBER * 2 * documents * width  # the boundary's gradient, for both losses
            total += NUMBER * documents * candidates  # candidates' scores
            total += NUMBER + NUMBER * 2 * documents  # what clusters cost, the lowest and highest scores
            each = min(trainer.config.shortlist, -(-clusters.num_clusters // ranks.count()))
            total += A_CLUSTER * documents * each  # of the likeliest of each rank
    return total


# ------------------------------------------------------------------------------------------ by calculation


def simulate(measured: Path, documents: int = 1024) -> list[dict[str, Any]]:
    """A step of so many documents, BERT-base, as this suite's CUDA lines are: with clusters, and every label.

    Lines through the measured times of the encoder by its documents, and of the rest by the rows that it
    reads; nothing overlaps. An all-reduce moves 2 (N - 1) / N of its bytes through each rank's link, and a
    gathering of N parts half of that. Label rows are 400 wide with clusters, 3,840 without. Documents are not
    cut into micro-batches, scores of a rank's clusters are there five times.
    """
    lines = json.loads(measured.read_text())["results"]
    clustered = [line for line in lines if not line["settings"].get("plugins")]
    flat = [line for line in lines if line["settings"].get("plugins") == ["full-head"]]
    encoder = _line([(found["documents"], found["encoder_seconds"]) for found in clustered])
    rows = _line([(found["rows_a_step"], _rest(found)) for found in clustered])
    whole = _line([(found["rows_a_step"] * found["documents"], _rest(found)) for found in flat])
    fixed = _line([(f["documents"], f["peak_gib"] * 2**30 - _of_rows(f) * f["labels"]) for f in clustered])
    found = []
    for labels in LABELS:
        num_clusters, width, wide = balanced_clusters(labels, 100).num_clusters, 3840, 400
        candidates = SHORTLIST * labels / num_clusters
        read = labels * (1 - (1 - min(candidates, labels) / labels) ** documents)
        for count in COUNTS:
            own = documents / count
            dense = 110e6 + width * wide
            common = NUMBER * (dense + 3 * documents * width)
            likeliest = A_CLUSTER * documents * SHORTLIST * count / 2
            traffic = {
                "clusters": common + NUMBER * documents * (2 + candidates) + likeliest,
                "every label": NUMBER * (110e6 + 2 * documents * width),
            }
            seconds = {
                "clusters": encoder(own) + rows(read / count),
                "every label": encoder(own) + whole(labels / count * documents),
            }
            memory = {
                "clusters": fixed(own)
                + _of_rows(clustered[0]) * labels / count
                + 5 * NUMBER * documents * num_clusters / count,
                "every label": fixed(own) + _of_rows(flat[0]) * labels / count,
            }
            for way, computing in seconds.items():
                moved = 2 * (count - 1) / count * traffic[way]
                found.append(
                    {
                        "labels": labels,
                        "devices": count,
                        "way": way,
                        "seconds": {
                            f"{b / 1e9:.0f} GB/s": round(computing + moved / b, 3) for b in BANDWIDTHS
                        },
                        "computing": round(computing, 3),
                        "megabytes": round(moved / 1e6),
                        "gib_a_rank": round(memory[way] / 2**30, 1),
                    }
                )
    return found


def _rest(found: dict[str, Any]) -> float:
    return float(found["step_seconds"] - found["encoder_seconds"])


def _of_rows(found: dict[str, Any]) -> float:
    return float(sum(found["bytes_a_label"].values()))


def _line(points: list[tuple[float, float]]) -> Any:
    """Through these by least squares; never below a tenth of the lowest of them."""
    x, y = np.array(points, float).T
    slope, begin = np.polyfit(x, y, 1)
    least = min(value for _, value in points) / 10
    return lambda x: max(float(begin + slope * x), least)


def main() -> None:
    """Measures or calculates, prints, and writes one JSON file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=int, default=25_023)
    parser.add_argument("--documents", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--measured", type=Path, default=MEASURED)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    document: dict[str, Any]
    if given.simulate:
        document = {"by_calculation_from": given.measured.name, "results": simulate(given.measured)}
        for line in document["results"]:
            times = "  ".join(f"{seconds:7.3f} s at {at}" for at, seconds in line["seconds"].items())
            size = f"{line['megabytes']:>7,} MB  {line['gib_a_rank']:>7.1f} GiB"
            print(f"{line['labels']:>11,}  {line['way']:<11}  {line['devices']:>2}  {times}  {size}")
    else:
        if torch.cuda.is_available() and torch.cuda.device_count() < 2:
            print("several processes: a device for each of two is needed, and there is one", file=sys.stderr)
            sys.exit(LEFT_OUT)
        document = {"machine": machine(), **compare(given.labels, given.documents, given.rounds)}
        print(json.dumps(document, indent=2))
    if given.out:
        given.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
