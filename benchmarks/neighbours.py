"""What does the search for neighbours cost, and how much of it does an index find?

    python -m benchmarks.neighbours RUN DATA [--documents 2048] [--out FILE]

RUN is one that was trained with `neighbours` and kept at least 20,000 documents; DATA its corpus. Documents
of the test split are encoded and searched for, batch by batch, exactly and through the index in turn; then
all are scored both ways.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from xmlkit_plugins.neighbours import Neighbours
from xmlkit_plugins.vector_search import INDEXED_FROM, Index

from benchmarks.machine import machine, wait
from xmlkit import load, load_corpus, nearest_vectors
from xmlkit.data.corpus import Split
from xmlkit.data.tokens import token_store
from xmlkit.inference.predict import RunPredictor
from xmlkit.model.inputs import Reader
from xmlkit.model.ranking import encode_documents


@torch.no_grad()
def measure(run: RunPredictor, split: Split) -> dict[str, Any]:
    """Documents a second of each part, and what is found."""
    opened = run.opened
    model, config = opened.model, opened.config
    part = _part(run)
    store = token_store(split.texts, opened.tokenizer, config.text_cap)
    reader = Reader(store, model.encoder.template, config.max_len)
    begun = time.perf_counter()
    index, most = Index(part.bank_ND), part.options.nearest
    opened_in = time.perf_counter() - begun
    searches = partial(nearest_vectors, bank_ND=part.bank_ND, most=most), partial(index.nearest, most=most)
    seconds, shared, begun = np.zeros(3), 0, time.perf_counter()
    for _, _, vectors in encode_documents(model, reader, np.arange(len(store)), config.tokens_at_once):
        query_BD = F.normalize(vectors.rank_BD - part.centre_D, dim=1)
        wait(model.device)
        times, found = [time.perf_counter()], []
        for search in searches:
            found.append(search(query_BD)[1])
            wait(model.device)
            times.append(time.perf_counter())
        seconds += [times[0] - begun, *np.diff(times)]
        shared += sum(len(set(a) & set(b)) for a, b in zip(found[0].tolist(), found[1].tolist(), strict=True))
        begun = time.perf_counter()
    metrics = {}
    for name in ("exact", "index"):
        part.options = part.options.model_copy(update={"search": name})
        metrics[name] = {key: round(value, 2) for key, value in run.evaluate(split).items()}
    return {
        "kept": len(part.bank_ND),
        "width": part.bank_ND.shape[1],
        "documents": len(store),
        "documents_per_second": dict(
            zip(("encoding", "exact", "index"), (len(store) / seconds).round(1).tolist(), strict=True)
        ),
        "index_opened_seconds": round(opened_in, 1),
        "found_of_the_nearest": round(shared / len(store) / most, 4),
        "metrics": metrics,
    }


def _part(run: RunPredictor) -> Neighbours:
    return next(part for part in run.opened.model.modules() if isinstance(part, Neighbours))


def main() -> None:
    """Measures, prints, writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--documents", type=int, default=2048)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    split = load_corpus(given.data).test
    assert split is not None
    run = load(given.run)
    assert isinstance(run, RunPredictor)
    if len(_part(run).bank_ND) < INDEXED_FROM:
        parser.error(f"{given.run} keeps fewer than {INDEXED_FROM:,} documents: no index is made of them")
    result = measure(run, split.take(np.arange(min(given.documents, len(split.texts)))))
    document = {"machine": machine(), "results": result}
    print(json.dumps(document["results"], indent=2))
    if given.out:
        given.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
