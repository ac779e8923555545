"""How long does reading a corpus take, and how much memory?

    python -m benchmarks.reading [CORPUS] [--documents N] [--out FILE]

In a fresh process, for a folder or, without one, for made-up documents of 100 words: the seconds of each
stage, of the clock and of the processor (reading; the digest by which a run knows its corpus; finding the
held-out part and taking the rest, as training does), and the most memory by its end, above what the process
had before: all that is resident, and what lies in no file (`anonymous`), which the system can't give away.
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
KINDS = {"resident": "VmHWM", "anonymous": "RssAnon"}


def make(folder: Path, documents: int) -> Path:
    """Words of 3 to 10 letters, the k-th as frequent as 1 / k; five labels each; a quarter is not ASCII."""
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
    told.send("beginning")
    begin = time.process_time()
    found = load_corpus(corpus)
    told.send(("reading", time.process_time() - begin))
    begin = time.process_time()
    _ = found.digest
    told.send(("digest", time.process_time() - begin))
    begin = time.process_time()
    apart = validation_rows(found.train.texts, 0.05, 4000)
    rest = found.train.take(np.flatnonzero(~apart))
    told.send(("held_out", time.process_time() - begin))
    told.send(len(rest) + int(apart.sum()))


def measure(corpus: str) -> dict[str, Any]:
    """What the process had at most by the end of each stage."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=stages, args=(corpus, theirs))
    process.start()
    ours.recv()
    first, most = _memory(process.pid), dict.fromkeys(KINDS, 0)
    found: dict[str, Any] = {}
    begin = time.perf_counter()
    while True:
        while not ours.poll(SAMPLED_EVERY):
            now = _memory(process.pid)
            most = {kind: max(now[kind], most[kind]) for kind in now}
        said = ours.recv()
        if isinstance(said, int):
            found["documents"] = said
            break
        stage, of_processor = said
        found[stage] = {"seconds": round(time.perf_counter() - begin, 2)}
        found[stage]["processor_seconds"] = round(of_processor, 2)
        found[stage] |= {f"{kind}_mib": round((most[kind] - first[kind]) / 1024) for kind in most}
        begin = time.perf_counter()
    process.join()
    return found


def _memory(process: int | None) -> dict[str, int]:
    """Kibibytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return {kind: int(status[name].split()[0]) for kind, name in KINDS.items()}


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
