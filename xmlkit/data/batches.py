"""Which documents form a step, and which of them go through the model together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

STEPS_A_POOL = 100  # documents are sorted by length within this many steps, so that a step wastes no padding


def training_steps(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """An epoch as steps of `batch_size` documents of like length, in random order.

    Every document stands in exactly one step; the order follows from seed and epoch alone.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    pool = STEPS_A_POOL * batch_size
    steps = []
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        steps += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return [steps[i] for i in rng.permutation(len(steps))]


def micro_batches(
    rows: np.ndarray,
    lengths: np.ndarray,
    max_documents: int,
    max_tokens: int,
    max_padding: int | None = None,
) -> Iterator[np.ndarray]:
    """The rows in runs of like length, each within all limits; one document always fits.

    Tokens are counted with padding, of which `max_padding` may be needed by lengthening shorter documents.
    """
    rows = rows[np.argsort(lengths[rows], kind="stable")]
    sorted_lengths = lengths[rows]
    ends = np.concatenate([[0], sorted_lengths.cumsum()])
    most_padding = max_tokens if max_padding is None else max_padding
    start = 0
    while start < len(rows):
        end = start + 1
        while end < len(rows) and end - start < max_documents:
            tokens = (end + 1 - start) * sorted_lengths[end]
            if tokens > max_tokens or tokens - (ends[end + 1] - ends[start]) > most_padding:
                break
            end += 1
        yield rows[start:end]
        start = end
