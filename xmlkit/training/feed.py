"""What training steps read, made ready before they ask for it.

B documents of a micro-batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from xmlkit.config import Config
from xmlkit.data.batches import micro_batches
from xmlkit.data.joined import Joined, joined_means
from xmlkit.data.ragged import Ragged
from xmlkit.distributed import ranks
from xmlkit.measures.scoring import Scoring
from xmlkit.model.inputs import Reader, ragged_labels
from xmlkit.passing import Documents, RaggedLabels, Training
from xmlkit.training.name_documents import NameDocuments
from xmlkit.training.unlabelled import Unlabelled

STEPS_AHEAD = 2


@dataclass(frozen=True)
class TrainingData:
    """The documents of the training file, which of them are held out, and what steps read beside them."""

    reader: Reader
    labels: Ragged
    train_rows: np.ndarray
    validation_rows: np.ndarray
    counts_L: np.ndarray  # documents of each label in the whole file
    names: NameDocuments | None = None  # known to steps alone
    unlabelled: Unlabelled | None = None  # likewise

    @property
    def num_documents(self) -> int:
        """Of the whole file."""
        return len(self.labels)

    def scoring(self, config: Config) -> Scoring:
        """How the held-out documents are scored: at the k of the settings and 5."""
        ks = tuple(sorted({5, *config.ks}))
        return Scoring(self.counts_L, self.num_documents, ks, config.propensity_a, config.propensity_b)

    def places_B(self, rows: np.ndarray) -> Tensor:
        """What `Training.rows_B` says of these rows."""
        places = np.searchsorted(self.train_rows, rows)
        behind = np.where(self.is_unlabelled_B(rows), self._labelled - 2 - rows, -1)
        return torch.from_numpy(np.where(rows < self.num_documents, places, behind))

    def is_unlabelled_B(self, rows: np.ndarray) -> np.ndarray:
        """Which of these rows are texts without labels."""
        found: np.ndarray = rows >= self._labelled
        return found

    @property
    def _labelled(self) -> int:
        """The first row that is none of a document or a name."""
        return self.num_documents + (len(self.names.texts) if self.names else 0)

    @cached_property
    def steps(self) -> StepDocuments:
        """The training documents, and behind the rows of the whole file names, then texts without labels."""
        found = StepDocuments(self.reader, self.labels, None, self.train_rows)
        if self.names:
            found = found.joined(self.names)
        return found.joined(self.unlabelled) if self.unlabelled else found


@dataclass(frozen=True)
class StepDocuments:
    """What training steps read."""

    reader: Reader
    labels: Ragged | Joined
    targets: Ragged | Joined | None  # of each label, how true it is; None: all are true
    rows: np.ndarray  # those that an epoch goes through

    def joined(self, more: NameDocuments | Unlabelled) -> StepDocuments:
        """With these in rows behind all others."""
        count, store, targets = len(self.reader.store), Joined(self.reader.store, more.texts), None
        if self.targets is not None or more.targets is not None:
            targets = Joined(self.targets or _all_true(self.labels), more.targets or _all_true(more.labels))
        means = joined_means(self.reader.means, more.means, count)
        return StepDocuments(
            replace(self.reader, store=store, means=means),
            Joined(self.labels, more.labels),
            targets,
            np.concatenate([self.rows, count + np.arange(len(more.texts))]),
        )

    def labels_of(self, rows: np.ndarray, num_labels: int) -> RaggedLabels:
        """On the host."""
        targets = None if self.targets is None else self.targets.take(rows)
        return ragged_labels(self.labels.take(rows), num_labels, targets)


@dataclass(frozen=True)
class MicroBatch:
    """Documents that go through the model together, on the host."""

    documents: Documents
    labels: RaggedLabels
    rows_B: Tensor  # as in Training
    share: float  # of the step's documents
    labelled: bool = True  # as in Training

    def on(self, device: torch.device, rng: torch.Generator) -> tuple[Documents, Training]:
        """What the model is given of it there."""
        rows_B = self.rows_B.to(device, non_blocking=True)
        return self.documents.to(device), Training(
            self.labels.to(device), rng, rows_B, labelled=self.labelled
        )


def micro_batches_of(
    data: TrainingData, rows: np.ndarray, config: Config, device: torch.device
) -> list[MicroBatch]:
    """A step's documents, those without labels apart; in pinned memory where a device copies unwaited for."""
    keep = Tensor.pin_memory if device.type == "cuda" else _as_it_is
    steps, num_labels, most = data.steps, len(data.counts_L), config.micro_batch_size
    assert most is not None  # the settings are resolved
    most, tokens = most * ranks.count(), config.tokens_at_once * ranks.count()  # each encodes its share
    bare = data.is_unlabelled_B(rows)
    return [
        MicroBatch(
            steps.reader.documents(part).map(keep),
            steps.labels_of(part, num_labels).map(keep),
            keep(data.places_B(part)),
            len(part) / len(rows),
            labelled,
        )
        for some, labelled in ((rows[~bare], True), (rows[bare], False))
        for part in micro_batches(some, steps.reader.lengths, most, tokens)
    ]


def fed(
    data: TrainingData, steps: Iterable[np.ndarray], config: Config, device: torch.device
) -> Iterator[list[MicroBatch]]:
    """The micro-batches of each step, which a thread makes while the steps before are computed."""
    with ThreadPoolExecutor(1) as worker:
        waiting: deque[Future[list[MicroBatch]]] = deque()
        for rows in steps:
            waiting.append(worker.submit(micro_batches_of, data, rows, config, device))
            if len(waiting) > STEPS_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _all_true(labels: Ragged | Joined) -> Ragged:
    assert isinstance(labels, Ragged)  # what is joined has targets already
    return Ragged(np.broadcast_to(np.float32(1), labels.values.shape), labels.offsets)  # one number in memory


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor
