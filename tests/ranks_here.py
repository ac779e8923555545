"""Processes that meet as those of torchrun do, each forked after the imports, which take seconds."""

from __future__ import annotations

import multiprocessing
import tempfile
import traceback
from collections.abc import Callable
from datetime import timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from xmlkit.distributed import ranks

A_WHILE = 120.0  # seconds
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    ["torch", "sklearn.feature_extraction", "transformers.models.bert.modeling_bert", "xmlkit.training.train"]
)


def on_ranks(count: int, work: Callable[..., Any], *given: Any, limit: float = 60.0) -> list[Any]:
    """What `work(*given)` returns on each of so many ranks; limit: seconds that they wait for each other.

    Raises AssertionError with the tracebacks of ranks that fail.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = _processes.SimpleQueue()
        those = [
            _processes.Process(target=_rank, args=(found, folder, number, count, limit, work, given))
            for number in range(count)
        ]
        for one in those:
            one.start()
        answers = sorted((found.get() for _ in those), key=itemgetter(0))
        for one in those:
            one.join(A_WHILE)
    failed = [f"rank {number}: {answer}" for number, good, answer in answers if not good]
    assert not failed, "\n".join(failed)
    return [answer for _, _, answer in answers]


def _rank(
    found: Any, folder: str, number: int, count: int, limit: float, work: Callable[..., Any], given: Any
) -> None:
    torch.set_num_threads(1)
    try:
        store = dist.FileStore(str(Path(folder) / "store"), count)
        ranks.join_by(store, number, count, timedelta(seconds=limit))
        answer = work(*given)
        ranks.meet()
        ranks.leave()
        found.put((number, True, answer))
    except BaseException:
        found.put((number, False, traceback.format_exc()))
