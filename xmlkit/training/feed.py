"""What training steps read, made ready before they ask for it.

B documents of a micro-batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xmlkit.config import Config
from xmlkit.data.batches import micro_batches
from xmlkit.data.ragged import Ragged
from xmlkit.hooks import Documents, RaggedLabels
from xmlkit.model.inputs import Reader, ragged_labels

STEPS_AHEAD = 2


@dataclass(frozen=True)
class TrainingData:
    """The documents of the training file, and which of them are held out."""

    reader: Reader
    labels: Ragged
    train_rows: np.ndarray
    validation_rows: np.ndarray
    counts_L: np.ndarray  # documents of each label in the whole file

    @property
    def num_documents(self) -> int:
        """Of the whole file."""
        return len(self.labels)


@dataclass(frozen=True)
class MicroBatch:
    """Documents that go through the model together, on the host."""

    documents: Documents
    labels: RaggedLabels
    share: float  # of the step's documents


def micro_batches_of(
    data: TrainingData, rows: np.ndarray, config: Config, device: torch.device
) -> list[MicroBatch]:
    """A step's documents; in pinned memory where a device copies them without our waiting."""
    keep = Tensor.pin_memory if device.type == "cuda" else _as_it_is
    num_labels, most = len(data.counts_L), config.micro_batch_size
    assert most is not None  # the settings are resolved
    return [
        MicroBatch(
            data.reader.documents(part).map(keep),
            ragged_labels(data.labels.take(part), num_labels).map(keep),
            len(part) / len(rows),
        )
        for part in micro_batches(rows, data.reader.lengths, most, config.tokens_at_once)
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


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor
