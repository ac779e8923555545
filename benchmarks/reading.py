"""How long does reading a corpus take, and how much memory?

    python -m benchmarks.reading [CORPUS] [--documents N] [--out FILE]

In a fresh process, for a folder or, without one, for made-up documents of 100 words: the seconds of each stage (reading;
the digest by which a run knows its corpus; finding the held-out part and taking the rest, as training does), and the
most memory by its end, above what the process had before: all that is resident, and what is not in a file
(`anonymous`), which alone the system can't give to others.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from xmlkit.data.corpus import load_corpus, validation_rows

WORDS, VOCABULARY, LABELS = 100, 50_000, 10_000
SAMPLED_EVERY = 0.01  # seconds


def make(folder: Path, documents: int) -> Path:
    """Words of 3 to 10 letters, the k-th as frequent as 1 / k; five labels a document; every fourth is not ASCII."""
    rnd = random.Random(0)
    letters = "etaoinshrdlu" * 4 + "bcfgjkmpqvwxyz"
    words = ["".join(rnd.choices(letters, k=rnd.randint(3, 10))) for _ in range(VOCABULARY)]
    weights = np.cumsum(1 / np.arange(1, VOCABULARY + 1)).tolist()
    with (folder / "train.tsv").open("w", encoding="utf-8") as file:
        for number in range(documents):
            text = " ".join(rnd.choices(words, cum_weights=weights, k=WORDS))
            ending = " ←" if number % 4 == 0 else ""
            labels = " ".join(f"<http://labels/{rnd.randrange(LABELS)}>" for _ in range(5))
            file.write(f"{text}{ending}\t{labels}\n")
    return folder


def stages(corpus: str, told: Connection) -> None:
    """In a process of its own: says when each stage begins and ends."""
    told.send("before")
    found = load_corpus(corpus)
    told.send("reading")
    _ = found.digest
    told.send("digest")
    apart = validation_rows(found.train.texts, 0.05, 4000)
    rest = found.train.take(np.flatnonzero(~apart))  # kept, as training keeps it
    told.send("held_out")
    told.send(len(apart))


def measure(corpus: str) -> dict[str, Any]:
    """What the process had at most by the end of each stage."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=stages, args=(corpus, theirs))
    process.start()
    ours.recv()
    first, start, most, found = _memory(process.pid), time.perf_counter(), {}, {}
    while not isinstance(found.get("documents"), int):
        while not ours.poll(SAMPLED_EVERY):
            now = _memory(process.pid)
            most = {kind: max(now[kind], most.get(kind, 0)) for kind in now}
        said = ours.recv()
        if isinstance(said, int):
            found["documents"] = said
        else:
            seconds = {"seconds": round(time.perf_counter() - start, 2)}
            grown = {f"{kind}_mib": round((most[kind] - first[kind]) / 1024) for kind in most}
            found[said] = seconds | grown
            start = time.perf_counter()
    process.join()
    return found


def _memory(process: int | None) -> dict[str, int]:
    """Kibibytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    names = {"resident": "VmHWM", "anonymous": "RssAnon"}
    return {kind: int(status[name].split()[0]) for kind, name in names.items()}


def main() -> None:
    """Measures, prints JSON, writes it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", nargs="?")
    parser.add_argument("--documents", type=int, default=300_000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = given.corpus or str(make(Path(folder), given.documents))
        size = sum(path.stat().st_size for path in Path(corpus).iterdir())
        found = measure(corpus)
    name = Path(corpus).name if given.corpus else f"made up, {WORDS} words a document"
    document = {"machine": machine(), "corpus": name, "file_mib": size >> 20, **found}
    print(json.dumps(document, indent=2))
    if given.out:
        given.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
