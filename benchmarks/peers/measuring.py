"""One peer on one corpus: its figures by our metrics, what it took, and what one writes for it.

N documents, K ranks, L labels.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.machine import cores
from benchmarks.peers.environments import python_with, versions
from benchmarks.peers.given import TOP, Given
from benchmarks.peers.lines import lines_of
from xmlkit.data.corpus import Corpus
from xmlkit.errors import UserError
from xmlkit.metrics import score_ranking
from xmlkit.report.suite import SHOWN

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Peer:
    """A library with settings of its own."""

    module: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_pretrained: bool = False  # it starts from an encoder


def measure(name: str, peer: Peer, corpus: Corpus, encoder: str | None = None) -> dict[str, Any]:
    """On a corpus with test documents. Raises UserError where an encoder is missing, no environment can be
    made, or the peer fails."""
    if peer.is_pretrained and not (encoder and Path(encoder).is_dir()):
        raise UserError(f"--encoder: {name} starts from a pretrained encoder; name the folder of one")
    assert corpus.test is not None
    module = import_module(peer.module)
    alone = getattr(module, "ALONE", ())
    python = python_with(module.REQUIREMENTS, peer.module.rpartition(".")[2], alone)
    train = corpus.train
    rows = [train.labels[row].tolist() for row in range(len(train))]
    names = [" ".join(corpus.labels.name(row).split()) for row in range(len(corpus.labels))]
    with TemporaryDirectory(prefix="xmlkit-peer-") as place:
        folder = Path(place)
        Given(list(train.texts), rows, names, encoder or "").save(folder / "train.json")
        (folder / "test.json").write_text(json.dumps(list(corpus.test.texts)), encoding="utf-8")
        _run([python, "-m", "benchmarks.peers.there", peer.module, place, json.dumps(dict(peer.settings))])
        told = json.loads((folder / "told.json").read_text())
        predicted = json.loads((folder / "predicted.json").read_text())
        size = sum(file.stat().st_size for file in (folder / "model").rglob("*") if file.is_file())
    return {
        "peer": name,
        "corpus": corpus.name,
        "settings": dict(peer.settings),
        "versions": versions(python, [*module.REQUIREMENTS, *alone]),
        "cores": cores(),
        "seconds": round(told["train"], 1),
        "seconds_to_load": round(told["load"], 2),
        "documents_per_second": round(len(predicted) / told["predict"], 1),
        "peak_gib": round(told["peak_gib"], 2),
        "megabytes": round(size / 1e6, 1),
        "lines_written": lines_of(inspect.getsource(module)),
        "test_documents": len(corpus.test),
        **scored(predicted, corpus),
    }


def scored(predicted: Sequence[Sequence[int]], corpus: Corpus) -> dict[str, float]:
    """The metrics of a list of label rows for each test document, best first, of which `TOP` count."""
    assert corpus.test is not None and len(predicted) == len(corpus.test), "a list for each test document"
    top_NK = np.full((len(predicted), TOP), -1, np.int64)
    for row, labels in enumerate(predicted):
        top_NK[row, : len(labels[:TOP])] = labels[:TOP]
    counts_L = np.bincount(corpus.train.labels.values, minlength=len(corpus.labels))
    found = score_ranking(top_NK, corpus.test.labels, counts_L, len(corpus.train))
    return {metric: round(found[metric], 2) for metric in SHOWN}


def _run(command: list[str]) -> None:
    """In a group of its own, which ends with us. Raises UserError where it fails."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, start_new_session=True)
    try:
        status = process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    if status:
        raise UserError(f"{command[3]} ended with {status}; what it said stands above")
