"""Processes that meet as those of torchrun do, each forked after the imports, which take seconds."""

from __future__ import annotations

import multiprocessing
import pickle
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from xmlkit.distributed import ranks

A_WHILE = 200.0  # seconds
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    ["sklearn.feature_extraction", "transformers.models.bert.modeling_bert", "xmlkit.training.train"]
)


def on_ranks(count: int, work: Callable[..., Any], *given: Any, limit: float = 60.0) -> list[Any]:
    """What `work(*given)` returns on each of so many ranks; None of one that ends without a word.

    limit: seconds that they wait for each other. Raises AssertionError with the tracebacks of failures.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked = (Path(folder), count, limit, work, given)
        those = [_processes.Process(target=_rank, args=(number, *asked)) for number in range(count)]
        for one in those:
            one.start()
        deadline = time.monotonic() + A_WHILE
        for one in those:
            one.join(max(deadline - time.monotonic(), 0))
            one.kill()
        files = [Path(folder, str(number)) for number in range(count)]
        answers = [pickle.loads(file.read_bytes()) if file.exists() else (None, None) for file in files]
    failed = [f"rank {number}: {error}" for number, (_, error) in enumerate(answers) if error]
    assert not failed, "\n".join(failed)
    return [answer for answer, _ in answers]


def _rank(
    number: int, folder: Path, count: int, limit: float, work: Callable[..., Any], given: tuple[Any, ...]
) -> None:
    torch.set_num_threads(1)
    answer, error = None, None
    try:
        store = dist.FileStore(str(folder / "store"), count)
        ranks.join_by(store, number, count, timedelta(seconds=limit))
        answer = work(*given)
    except BaseException:
        error = traceback.format_exc()
    (folder / str(number)).write_bytes(pickle.dumps((answer, error)))
    ranks.leave()
