"""The models of a server, by the names that they have in URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from xmlkit.blend.load import load
from xmlkit.config import Precision
from xmlkit.data.dialect import Dialect
from xmlkit.data.vocabularies import Label, vocabularies
from xmlkit.errors import UserError
from xmlkit.hub import local
from xmlkit.inference.predict import Predictor
from xmlkit.quick import uncollected
from xmlkit.serve.limits import Limits
from xmlkit.serve.watch import Watch
from xmlkit.serve.worker import Worker

UNKNOWN = "und"  # BCP 47: of a language that nobody has named


@dataclass(frozen=True)
class Listed:
    """A vocabulary as those have it who ask as they ask Annif."""

    id: str
    labels: dict[str, Label]
    language: str


@dataclass(frozen=True)
class Served:
    """A model, and the thread that asks it."""

    id: str
    model: Predictor
    worker: Worker
    vocabulary: Listed
    modified: datetime  # when its folder had been written to last as it was opened

    @cached_property
    def listed_L(self) -> np.ndarray | None:
        """Bool: labels that the vocabulary has; None where it has all."""
        listed_L = np.array([label in self.vocabulary.labels for label in self.model.labels.ids], bool)
        return None if listed_L.all() else listed_L


def read_vocabulary(path: Path, language: str | None) -> Listed:
    """A file of labels, of any kind that a corpus may have. Raises UserError where it is none."""
    if not path.is_file():
        raise UserError(f"--vocab {path}: no such file; give one like labels.tsv")
    for kind in vocabularies():
        if kind.takes(path):
            listed = {label.id: label for label in kind.read(path, Dialect(language=language))}
            return Listed(slug(path.name.partition(".")[0]), listed, language or UNKNOWN)
    raise UserError(f"--vocab {path}: no kind of vocabulary that is known; give a file like labels.tsv")


@contextmanager
def opened(
    runs: Sequence[Path],
    precision: Precision | None,
    vocabulary: Listed | None,
    limits: Limits,
    watch: Watch,
) -> Iterator[dict[str, Served]]:
    """The models of these folders; at the end all that was asked is answered, after an error nothing more.

    Raises UserError where a folder is none of a model, or has no label of the vocabulary.
    """
    names, runs = ids(runs), list(map(local, runs))
    with uncollected():
        models = {id: load(run, precision) for id, run in zip(names, runs, strict=True)}
    served: dict[str, Served] = {}
    try:
        for (id, model), run in zip(models.items(), runs):
            model.rank(["warm"], 1)  # what is made at the first text, is made before anyone waits for it
            listed, modified = vocabulary or _own(id, model), _modified(run)
            worker = Worker(model, limits, watch.batches_of(id))  # its thread runs from here on
            served[id] = Served(id, model, worker, listed, modified)
            watch.queue_of(id, worker)
            if (listed_L := served[id].listed_L) is not None and not listed_L.any():
                raise UserError(f"--vocab: it has none of the labels of {run}; give the one that is its own")
        yield served
    except BaseException:
        for one in served.values():
            one.worker.stop(at_once=True)
        raise
    for one in served.values():
        one.worker.stop()


def ids(runs: Sequence[Path]) -> list[str]:
    """A name for each folder that can stand in a URL as it is, and is no other's."""
    found: list[str] = []
    for run in runs:
        name = slug(run.resolve().name)
        number = 1
        while (id := name if number == 1 else f"{name}-{number}") in found:
            number += 1
        found.append(id)
    return found


def slug(name: str) -> str:
    """Letters, digits, `_`, `-` and dots between them."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"


def _own(id: str, model: Predictor) -> Listed:
    labels = model.labels
    listed = {label: Label("", label, labels.name(row)) for row, label in enumerate(labels.ids)}
    return Listed(id, listed, UNKNOWN)


def _modified(folder: Path) -> datetime:
    whole = (path for path in folder.iterdir() if path.exists())  # an editor's lock is a link to nowhere
    return datetime.fromtimestamp(max(path.stat().st_mtime for path in whole), UTC)
