"""What does a training step cost beside the encoder's own, and a prediction beside its forward pass?

    python -m benchmarks.step [--shapes minilm,bert-base] [--documents 16,64] [--labels 4000,...]
                              [--set KEY=VALUE ...] [--out FILE]

Made-up work as LightXML trains Amazon-670K: 128 tokens a document, about 5 labels, clusters of at most 100
labels, 75 of them shortlisted, label rows of 400. The encoder alone does its forward and backward pass and
its own AdamW step on the same batches, in turn with the whole step; ratios are taken pair by pair. Each line
is a process of its own, so that its largest memory is its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import in_a_process_of_its_own, machine, peak_gib, wait
from benchmarks.synthetic import SHAPES, TOKENS, encoder_of, trainer_of
from xmlkit.config import parse_assignments
from xmlkit.passing import LayerStates
from xmlkit.training.feed import fed
from xmlkit.training.optim import optimizers
from xmlkit.training.rows import row_parameters
from xmlkit.training.trainer import Trainer

LABELS = (4_000, 25_023, 131_073, 670_091, 2_812_281)
WARM_UP, PAIRS = 2, 6
TARGETS = {670_091: 1.10, 2_812_281: 1.20}


def measure(shape: str, num_labels: int, documents: int, settings: dict[str, Any]) -> dict[str, Any]:
    """One line of the table."""
    steps = WARM_UP + PAIRS
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(
            shape, num_labels, documents * steps, Path(folder), batch_size=documents, **settings
        )
    rows = np.arange(documents * steps).reshape(steps, documents)
    alone = EncoderAlone(shape, trainer)
    step = _pairs(trainer, rows, alone.step, trainer.step)
    parts, read_rows = _parts(trainer, rows)
    waits = data_wait(trainer, list(rows))
    trainer.model.eval()
    alone.encoder.eval()
    head = trainer.model.head_for_prediction()
    predict = _pairs(trainer, rows, alone.forward, lambda batch: _predict(trainer, batch, head))
    flops = _flops(trainer, documents)
    peak = _matmul_rate(trainer)
    return {
        "shape": shape,
        "labels": num_labels,
        "documents": documents,
        "encoder_seconds": _median(step[:, 0]),
        "step_seconds": _median(step[:, 1]),
        "ratio": _spread(step[:, 1] / step[:, 0]),
        "target": TARGETS.get(num_labels),
        "parts_seconds": parts,
        "rows_a_step": read_rows,
        "data_wait_share": waits,
        "documents_per_second": round(documents / statistics.median(step[:, 1]), 1),
        "tokens_per_second": round(documents * TOKENS / statistics.median(step[:, 1])),
        "share_of_matmul_rate": round(flops / statistics.median(step[:, 1]) / peak, 3),
        "matmul_tflops": round(peak / 1e12, 2),
        "prediction_speed": _spread(predict[:, 0] / predict[:, 1]),
        "predicted_per_second": round(documents / statistics.median(predict[:, 1]), 1),
        "bytes_a_label": _bytes_a_label(trainer),
        "peak_gib": _peak_gib(trainer),
    }


class EncoderAlone:
    """The same encoder with an AdamW of its own, and no labels."""

    def __init__(self, shape: str, trainer: Trainer):
        self.trainer, self.encoder = trainer, encoder_of(shape, trainer.config.layers)
        self.encoder.load_state_dict(trainer.model.encoder.state_dict())
        self.encoder.to(trainer.device).train()
        if trainer.config.compile:
            self.encoder.backbone.compile(dynamic=True)
        self.optimizers = optimizers([self.encoder], trainer.config)

    def states(self, batch: Any) -> LayerStates:
        """Its forward pass, in the trainer's precision."""
        trainer = self.trainer
        with torch.autocast(trainer.device.type, torch.bfloat16, enabled=trainer.model.encoder.in_bfloat16):
            return self.encoder(batch.documents.to(trainer.device))

    def step(self, batches: list[Any]) -> None:
        """Forward, backward from what the document vector reads, optimiser."""
        for batch in batches:
            first_BNH = self.states(batch).first_BNH.float()
            first_BNH.backward(torch.ones_like(first_BNH))
        for optimizer in self.optimizers:
            optimizer.step()
        self.encoder.zero_grad()

    @torch.no_grad()
    def forward(self, batches: list[Any]) -> None:
        """Its states, and nothing done with them but to read what the document vector is made of."""
        for batch in batches:
            self.states(batch).first_BNH.cpu()


def _predict(trainer: Trainer, batches: list[Any], head: Any) -> None:
    for batch in batches:
        scores, ids = trainer.model.rank(batch.documents.to(trainer.device), 5, head)
        scores.cpu(), ids.cpu()


def _pairs(
    trainer: Trainer, rows: np.ndarray, first: Callable[..., Any], second: Callable[..., Any]
) -> np.ndarray:
    """Seconds of both on the same batches, in turn; after warming up."""
    found = []
    for documents in rows:
        batches = trainer.micro_batches(documents)
        found.append([_timed(trainer, partial(work, batches)) for work in (first, second)])
    return np.array(found)[WARM_UP:]


def _timed(trainer: Trainer, work: Callable[[], Any]) -> float:
    wait(trainer.device)
    start = time.perf_counter()
    work()
    wait(trainer.device)
    return time.perf_counter() - start


def _parts(trainer: Trainer, rows: np.ndarray) -> tuple[dict[str, float], int]:
    """Median seconds of a step's parts, waiting for the device after each; and the rows that it reads."""
    model, spent, read = trainer.model, defaultdict(list), []
    every_label = model.shortlister.every_label
    timed = {
        "encoder": (model, "vectors"),
        **({} if every_label else {"candidates": (model.shortlister, "forward")}),
        "scoring": (model, "_loss_of_every_label") if every_label else (model.head, "scores_BC"),
        "backward": (model, "backward"),
    }
    now: dict[str, float] = {}
    for name, (part, method) in timed.items():
        object.__setattr__(part, method, _timing(trainer, getattr(part, method), name, now))
    products = model.head.vector_maker.products_BU

    def counted(query_BE: Any, rows_U: Any) -> Any:
        read.append(model.num_labels if every_label else len(torch.unique(rows_U)))
        return products(query_BE, rows_U)

    for documents in rows:
        batches = trainer.micro_batches(documents)
        now.clear()
        whole = _timed(trainer, partial(trainer.step, batches))
        now["optimiser and the rest"] = whole - sum(now.values())
        for name, seconds in now.items():
            spent[name].append(seconds)
    object.__setattr__(model.head.vector_maker, "products_BU", counted)
    trainer.step(trainer.micro_batches(rows[-1]))
    for part, method in [*timed.values(), (model.head.vector_maker, "products_BU")]:
        del part.__dict__[method]
    return {name: _median(seconds[WARM_UP:]) for name, seconds in spent.items()}, round(np.mean(read))


def _timing(
    trainer: Trainer, work: Callable[..., Any], name: str, now: dict[str, float]
) -> Callable[..., Any]:
    def timed(*given: Any, **named: Any) -> Any:
        wait(trainer.device)
        start = time.perf_counter()
        found = work(*given, **named)
        wait(trainer.device)
        now[name] = now.get(name, 0.0) + time.perf_counter() - start
        return found

    return timed


def data_wait(trainer: Trainer, rows: Sequence[np.ndarray]) -> float:
    """The share of the steps' time that passes before their batches are there."""
    waited, begun = 0.0, time.perf_counter()
    ready = fed(trainer.data, rows, trainer.config, trainer.device)
    for number in range(len(rows)):
        start = time.perf_counter()
        batches = next(ready)
        waited += time.perf_counter() - start if number else 0.0  # the first has no step to hide behind
        trainer.step(batches)
        wait(trainer.device)
    return round(waited / (time.perf_counter() - begun), 4)


def _flops(trainer: Trainer, documents: int) -> float:
    """Of the encoder's forward and backward pass: 6 a weight and token, and its attention's products."""
    shape = trainer.model.encoder.backbone.config
    layers, hidden = shape.num_hidden_layers, shape.hidden_size
    weights = layers * (4 * hidden**2 + 2 * hidden * shape.intermediate_size)
    attention = layers * 4 * TOKENS * hidden
    return 3.0 * (2 * weights + attention) * documents * TOKENS


def _matmul_rate(trainer: Trainer, size: int = 2048) -> float:
    """What the device reaches with large matrices in the encoder's precision, in operations a second."""
    dtype = torch.bfloat16 if trainer.model.encoder.in_bfloat16 else torch.float32
    matrix = torch.randn(size, size, device=trainer.device, dtype=dtype)
    seconds = [_timed(trainer, lambda: matrix @ matrix) for _ in range(10)]
    return 2 * size**3 / min(seconds)


def _bytes_a_label(trainer: Trainer) -> dict[str, float]:
    """Of the tables of rows and their optimisers' state."""
    weights = row_parameters(trainer.model)
    states = [t for o in trainer.optimizers for p in weights for t in o.state.get(p, {}).values()]
    num_labels = trainer.model.num_labels
    sizes = {"weights": weights, "state": states}
    return {
        name: round(sum(t.numel() * t.element_size() for t in tensors) / num_labels, 1)
        for name, tensors in sizes.items()
    }


def _peak_gib(trainer: Trainer) -> float:
    if trainer.device.type == "cuda":
        return round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return peak_gib()


def _median(seconds: Any) -> float:
    return round(float(np.median(seconds)), 4)


def _spread(ratios: np.ndarray) -> list[float]:
    """Median, smallest, largest."""
    return [round(float(value), 3) for value in (np.median(ratios), ratios.min(), ratios.max())]


HEADER = "shape      labels     docs  step / encoder       target  docs/s  predict / forward    B/label  GiB"


def line(found: dict[str, Any]) -> str:
    """As the table has it."""
    ratio, speed = (
        f"{m:.2f} ({low:.2f} to {high:.2f})" for m, low, high in (found["ratio"], found["prediction_speed"])
    )
    size = sum(found["bytes_a_label"].values())
    return (
        f"{found['shape']:9}  {found['labels']:9,}  {found['documents']:4}  {ratio:19}  "
        f"{found['target'] or '':6}  {found['documents_per_second']:6}  {speed:19}  {size:7.0f}  "
        f"{found['peak_gib']:4}"
    )


def main() -> None:
    """Measures line by line, prints each, writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--documents", default="16,64")
    parser.add_argument("--labels", default=",".join(map(str, LABELS)))
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    settings = parse_assignments(given.settings)
    print(HEADER)
    results = []
    for shape in given.shapes.split(","):
        for documents in map(int, given.documents.split(",")):
            for labels in map(int, given.labels.split(",")):
                results.append(in_a_process_of_its_own(measure, shape, labels, documents, settings))
                print(line(results[-1]), flush=True)
    if given.out:
        document = {"machine": machine(), "settings": settings, "results": results}
        given.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
