"""What the thread makes ready is what the trainer would have made itself, in order."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch

from xmlkit.config import resolve
from xmlkit.data.template import Template
from xmlkit.data.tokens import tokenise
from xmlkit.model.inputs import Reader
from xmlkit.training import feed
from xmlkit.training.feed import TrainingData, fed, micro_batches_of

CPU = torch.device("cpu")
CONFIG = resolve({"encoder": "tiny", "max_len": 16, "batch_size": 8, "micro_batch_tokens": 40})


def data():
    kind = tiny.tokenizer()
    reader = Reader(tokenise(tiny.texts(60), kind, 100), Template.of(kind), 16)
    rows = np.arange(60)
    return TrainingData(reader, tiny.label_rows(60, 23), rows, rows[:0], np.ones(23, int))


def test_steps_come_in_order_with_all_their_documents():
    ours = data()
    steps = np.random.default_rng(0).permutation(60).reshape(-1, 6)
    found = list(fed(ours, iter(steps), CONFIG, CPU))
    assert len(found) == len(steps)
    for rows, batches in zip(steps, found, strict=True):
        assert sum(batch.share for batch in batches) == pytest.approx(1)
        for ready, made in zip(batches, micro_batches_of(ours, rows, CONFIG, CPU), strict=True):
            assert torch.equal(ready.documents.tokens_BT, made.documents.tokens_BT)
            assert torch.equal(ready.labels.values_V, made.labels.values_V)
            assert ready.documents.tokens_BT.numel() <= 40 or len(ready.labels) == 1


def test_it_reads_a_few_steps_ahead_and_no_more():
    asked = []
    steps = (asked.append(i) or np.array([i]) for i in range(60))
    ready = fed(data(), steps, CONFIG, CPU)
    next(ready)
    assert len(asked) == 1 + feed.STEPS_AHEAD
    ready.close()  # as when training stops early: the thread ends


def test_a_mistake_in_the_thread_is_heard_of():
    with pytest.raises(IndexError):
        list(fed(data(), [np.array([1000])], CONFIG, CPU))
