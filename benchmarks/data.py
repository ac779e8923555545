"""Do reading, tokenising and batching keep up?

    python -m benchmarks.data CORPUS [--encoder FOLDER] [--set KEY=VALUE ...] [--out FILE]

The seconds from the start of a process to the end of its first training step, for a corpus that has been read
before; the share of tokens that are padding, over an epoch; the share of the steps' time that passes before
their batches are there; and the documents a second that a thread can make ready while nothing trains.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import in_a_process_of_its_own, machine
from benchmarks.step import data_wait
from xmlkit.config import parse_assignments
from xmlkit.data.batches import micro_batches, training_steps
from xmlkit.data.corpus import load_corpus
from xmlkit.training.train import prepare
from xmlkit.training.trainer import Trainer

STEPS, READY = 100, 400


def first_step(corpus: str, settings: dict[str, Any], started: float) -> float:
    """In a fresh process: seconds from its start to the end of the first step."""
    trainer, steps = _begun(corpus, settings)
    trainer.step(trainer.micro_batches(steps[0]))
    return round(time.time() - started, 1)


def feeding(corpus: str, settings: dict[str, Any]) -> dict[str, float]:
    """Padding, waiting, and how fast batches are made."""
    trainer, steps = _begun(corpus, settings)
    lengths = trainer.data.reader.lengths
    most, tokens = trainer.config.micro_batch_size, trainer.config.tokens_at_once
    assert most is not None  # the settings are resolved
    real = padded = 0
    for rows in steps:
        for part in micro_batches(rows, lengths, most, tokens):
            real += int(lengths[part].sum())
            padded += len(part) * int(lengths[part].max())
    start = time.perf_counter()
    ready = sum(len(rows) for rows in steps[:READY] if trainer.micro_batches(rows))
    return {
        "padding_share": round(1 - real / padded, 4),
        "documents_ready_per_second": round(ready / (time.perf_counter() - start)),
        "data_wait_share": data_wait(trainer, steps[:STEPS]),
    }


def _begun(corpus: str, settings: dict[str, Any]) -> tuple[Trainer, list[Any]]:
    with tempfile.TemporaryDirectory() as folder:
        trainer = prepare(load_corpus(corpus), settings, Path(folder) / "run")
    trainer.model.train()
    rows = trainer.data.train_rows
    order = training_steps(trainer.data.reader.lengths[rows], trainer.config.batch_size, 0, 0)
    return trainer, [rows[step] for step in order]


def main() -> None:
    """Measures, prints JSON, writes it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus")
    parser.add_argument("--encoder", default="scratch")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    settings = {"encoder": given.encoder, **parse_assignments(given.settings)}
    found: dict[str, Any] = feeding(given.corpus, settings)  # fills the cache, where it was empty
    work = (first_step, given.corpus, settings, time.time())
    found["seconds_to_first_step"] = in_a_process_of_its_own(*work)
    document = {"machine": machine(), "corpus": Path(given.corpus).name, **found}
    print(json.dumps(document, indent=2))
    if given.out:
        given.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
