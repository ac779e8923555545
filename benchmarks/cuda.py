"""All that needs a CUDA device, in under eight minutes: first that it computes the same, then how fast.

    python -m benchmarks.cuda [--seconds 440] [--out FILE]

Candidates, losses and gradients against the CPU in float64; a whole step without waiting for the device;
then `benchmarks.step` for both shapes, with clusters and with every label scored (`full-head`), with shipped
plugins beside and with the encoder compiled; and lines shaped like ELMO's (ICML 2025) BERT-base runs on
Amazon-670K and Amazon-3M, with the epoch that they extrapolate to. Lines that no time is left for are named
in the file. With several devices, one beside all of them (`benchmarks.ranks`). Without a CUDA device it says
so and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import in_a_process_of_its_own, machine
from benchmarks.ranks import compare
from benchmarks.step import HEADER, line, measure
from benchmarks.synthetic import trainer_of
from xmlkit.model.head import RowHead
from xmlkit.training.trainer import Trainer

SECONDS = 440
SMALLEST = {"row_precision": "bfloat16"}
PLUGINS = {"plugins": ["se", "loss-fix", "astec-negatives", "combination"]}
FULL = {"plugins": ["full-head"], "clustered": False, "pooling": "mean"}  # rows as wide as one layer
LINES: list[tuple[str, int, int, dict[str, Any]]] = [
    ("bert-base", 670_091, 64, {}),
    ("bert-base", 670_091, 64, FULL),
    ("bert-base", 2_812_281, 64, {}),
    ("bert-base", 2_812_281, 64, FULL),
    ("bert-base", 670_091, 256, SMALLEST),
    ("bert-base", 2_812_281, 256, SMALLEST),
    ("bert-base", 2_812_281, 256, FULL | SMALLEST),
    ("minilm", 670_091, 64, {}),
    ("minilm", 670_091, 64, FULL),
    ("bert-base", 131_073, 64, {}),
    ("bert-base", 131_073, 64, FULL),
    ("bert-base", 25_023, 64, {}),
    ("bert-base", 25_023, 64, FULL),
    ("bert-base", 670_091, 64, PLUGINS),
    ("bert-base", 670_091, 64, {"compile": True}),
    ("minilm", 25_023, 64, {}),
    ("minilm", 2_812_281, 64, {}),
    ("minilm", 4_000, 64, {}),
    ("bert-base", 670_091, 16, {}),
    ("minilm", 670_091, 16, {}),
]
# ELMO's table: documents of its corpus, and minutes an epoch and GiB that it reports for one device.
ELMO = {670_091: (490_449, 6.0, 5.68), 2_812_281: (1_717_899, 25.25, 10.39)}


def same_as_the_cpu(num_labels: int = 3_000, documents: int = 8) -> dict[str, float]:
    """Largest relative differences of losses and gradients in float64. Raises where candidates differ."""
    found = []
    for device in ("cpu", "cuda"):
        with tempfile.TemporaryDirectory() as folder:
            settings = {"device": device, "precision": "float32", "batch_size": documents, "start": "random"}
            trainer = trainer_of("minilm", num_labels, documents, Path(folder), **settings, scattered=False)
        model = trainer.model.double().train(False)
        batch = trainer.micro_batches(np.arange(documents))[0]
        inputs, training = batch.on(trainer.device, trainer.rng)
        with torch.no_grad():
            short = model.shortlister(model.vectors(inputs), inputs, training)
        output = model(inputs, training)
        model.backward(output)
        gradients = {name: p.grad for name, p in model.encoder.named_parameters() if p.grad is not None}
        assert isinstance(model.head, RowHead)
        (product,) = getattr(model.head.rows.weight, "row_products", [])
        rows = torch.zeros(num_labels, product.right_BE.shape[1], dtype=torch.float64, device=trainer.device)
        gradients["rows"] = rows.index_add_(0, product.rows_U, product.left_UB @ product.right_BE)
        found.append(
            (
                short.ids_BC.masked_fill(~short.mask_BC, -1).sort(1).values.cpu(),
                {name: loss.item() for name, loss in output.losses.items()},
                {name: gradient.cpu() for name, gradient in gradients.items()},
            )
        )
    (ids, losses, grads), (other_ids, other_losses, other_grads) = found
    if not torch.equal(ids, other_ids):
        sys.exit("candidates differ between the CPU and CUDA")
    loss = max(abs(other_losses[name] / losses[name] - 1) for name in losses)
    whole = torch.stack([grad.norm() for grad in grads.values()]).norm()
    # That to an attention's key bias is nothing but rounding: what is added to all scores changes none.
    gradient = max(
        float((other_grads[name] - grad).norm() / grad.norm().clamp(min=1e-9 * whole))
        for name, grad in grads.items()
    )
    if max(loss, gradient) > 1e-6:
        sys.exit(f"losses differ by {loss:.1e} and gradients by {gradient:.1e} between the CPU and CUDA")
    return {"losses": loss, "gradients": gradient}


def check_waits(trainer: Trainer, steps: list[np.ndarray]) -> None:
    """Raises where the second of two steps, its batches in pinned memory, waits for the device."""
    first, second = map(trainer.micro_batches, steps)
    trainer.step(first)  # sets up libraries and moments
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")  # which itself warns that it is a prototype
        try:
            trainer.step(second)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [warning for warning in heard if "called a synchronizing" in str(warning.message)]
    places = sorted({f"{warning.filename}:{warning.lineno}" for warning in waits})
    if places:
        raise RuntimeError(f"a step waits for the device at {', '.join(places)}")


def main() -> None:
    """Checks, measures line by line, writes one JSON file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/cuda.json"))
    parser.add_argument("--seconds", type=int, default=SECONDS, help="after which no further line is begun")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device here: nothing measured, nothing written")
        return
    started = time.perf_counter()
    document: dict[str, Any] = {"machine": machine(), "differences": same_as_the_cpu()}
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of("minilm", 30_000, 32, Path(folder), batch_size=16)
    check_waits(trainer, list(np.arange(32).reshape(2, 16)))
    document |= {"waits_in_a_step": False, "results": [], "left_out": []}
    print(HEADER)
    for shape, labels, documents, settings in LINES:
        name = f"{shape}, {labels:,} labels, {documents} documents, {settings}"
        if time.perf_counter() - started > given.seconds:
            document["left_out"].append(name)
            continue
        try:
            found = in_a_process_of_its_own(measure, shape, labels, documents, settings)
        except Exception as error:  # a line that fails must not cost the others
            document["left_out"].append(f"{name}: {error!r}")
            continue
        found["settings"] = settings
        if SMALLEST.items() <= settings.items():
            corpus, minutes, gib = ELMO[labels]
            epoch = corpus / found["documents_per_second"] / 60
            found |= {"epoch_minutes": round(epoch, 1), "elmo_minutes": minutes, "elmo_gib": gib}
        document["results"].append(found)
        print(line(found), settings or "", flush=True)
    if (devices := torch.cuda.device_count()) > 1:
        document["devices"] = {"count": devices, **compare(670_091, 64 * devices, 3, devices)}
    given.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
