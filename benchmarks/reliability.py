"""Is anything lost, or let in without a word? Kills, damaged files, full disks, two processes in one folder.

    python -m benchmarks.reliability [--kills 50] [--damages 300] [--disks 20] [--pairs 10] [--out FILE]

Real processes of the command line on a small part of `demo`, with a tiny encoder of random weights. What
counts as good is said beside each count; the program ends with 1 where anything else was seen.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

import xmlkit
from benchmarks.machine import machine
from xmlkit.data.corpus import load_corpus
from xmlkit.errors import UserError
from xmlkit.model.tensor_file import load_tensors

DOCUMENTS = 600
SETTINGS = {
    **{"encoder": "scratch", "max_len": 32, "epochs": 2, "batch_size": 32, "eval_every": 8},
    **{"checkpoint_every": 4, "validation": 0.1, "clustered": True, "device": "cpu"},
}
TEXTS = ["Open a file.", "Return the name of the month.", "Send a request and wait for the answer."]
OF_A_RUN = ("config.json", "labels.jsonl", "model.json", "model.safetensors", "encoder/config.json")
OF_A_RUN += ("encoder/tokenizer.json", "encoder/tokenizer_config.json")
PATIENCE = 300  # seconds for one command


class Place:
    """A folder with a corpus, a cache of its own, and an unbroken run to compare with."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "corpus").mkdir()
        demo = load_corpus("demo")
        rows = [[demo.labels.ids[label] for label in demo.train.labels[row]] for row in range(DOCUMENTS)]
        lines = (
            json.dumps({"text": text, "labels": labels})
            for text, labels in zip(demo.train.texts[:DOCUMENTS], rows, strict=True)
        )
        (folder / "corpus" / "train.jsonl").write_text("\n".join(lines))
        began = time.monotonic()
        done = self.finished(self.train("whole"))
        assert done == (0, ""), done
        self.seconds = time.monotonic() - began
        self.weights, _ = load_tensors(folder / "whole" / "model.safetensors")

    def start(self, *arguments: str, most_bytes: int | None = None) -> subprocess.Popen[str]:
        """A command in this folder, on one thread."""
        limits = most_bytes and partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("xmlkit")), *arguments],
            cwd=self.folder,
            env={**os.environ, "XMLKIT_CACHE": str(self.folder / "cache"), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limits or None,
        )

    def train(self, name: str, most_bytes: int | None = None) -> subprocess.Popen[str]:
        """A training into the folder of this name."""
        settings = [f"--set={key}={value}" for key, value in SETTINGS.items()]
        return self.start("train", "corpus", "--out", name, *settings, most_bytes=most_bytes)

    def go_on(self, name: str) -> subprocess.Popen[str]:
        """What the user would do next: the run goes on, or begins where nothing came of it."""
        if (self.folder / name / "checkpoint.safetensors").is_file():
            return self.start("train", "--resume", name)
        return self.train(name)

    def finished(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Exit status, and the last line where it is not 0; the word `traceback` where there was one."""
        _, err = process.communicate(timeout=PATIENCE)
        if "Traceback" in err:
            return process.returncode, "traceback"
        return process.returncode, err.splitlines()[-1] if process.returncode and err else ""

    def is_whole(self, name: str) -> bool:
        """Whether the run's weights are those of the unbroken one, to the bit."""
        found, _ = load_tensors(self.folder / name / "model.safetensors")
        return found.keys() == self.weights.keys() and all(
            torch.equal(found[key], self.weights[key]) for key in found
        )


def kill(place: Place, draw: random.Random, number: int) -> str:
    """Killed at one or two random moments, then gone on with to the end; good: `identical`."""
    name = f"killed-{number}"
    process = place.train(name)
    if number % 2:  # also what is kept between runs is being made
        shutil.rmtree(place.folder / "cache", ignore_errors=True)
    for _ in range(draw.choice((1, 1, 2))):
        time.sleep(draw.uniform(0, place.seconds))
        process.kill()
        process.communicate()
        if _is_over(place.folder / name):
            break
        process = place.go_on(name)
    else:
        status, said = place.finished(process)
        if status:
            return said
    return "identical" if place.is_whole(name) else "other weights"


def _is_over(run: Path) -> bool:
    log = run / "log.jsonl"
    return log.is_file() and '"outcome": "finished"' in log.read_text()


def damage(place: Place, draw: random.Random, number: int) -> str:
    """A flip, a cut, nothing at all, or a missing file in a run; good: `told`."""
    run = place.folder / "damaged"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(place.folder / "whole", run)
    name = draw.choice(OF_A_RUN)
    content = (run / name).read_bytes()
    at = draw.randrange(len(content))
    (run / name).unlink()
    if kind := number % 4:  # 0: missing
        flipped = bytes([content[at] ^ 1 << draw.randrange(8)])
        damaged = {1: content[:at] + flipped + content[at + 1 :], 2: content[:at], 3: content + flipped}
        (run / name).write_bytes(damaged[kind])
    try:
        xmlkit.load(run).predict(TEXTS)
    except UserError as error:
        return (
            "told" if Path(name).name in str(error) and "\n" not in str(error) else "told, without its name"
        )
    except Exception as error:
        return f"traceback: {type(error).__name__}"
    return "silent"


def disk(place: Place, draw: random.Random, number: int) -> str:
    """No file may grow beyond so many bytes, then there is room; good: `identical`."""
    name = f"disk-{number}"
    shutil.rmtree(place.folder / "cache", ignore_errors=True)
    largest = (place.folder / "whole" / "model.safetensors").stat().st_size
    status, said = place.finished(place.train(name, int(largest * draw.uniform(0, 1.5))))
    if said == "traceback" or (status and not said.startswith("error: ")):
        return said
    if not _is_over(place.folder / name):
        status, said = place.finished(place.go_on(name))
    return "identical" if not status and place.is_whole(name) else said or "other weights"


def pair(place: Place, draw: random.Random, number: int) -> str:
    """Two trainings into one folder, moments apart; good: `one told, one identical`."""
    name = f"pair-{number}"
    first = place.train(name)
    time.sleep(draw.uniform(0, 1))
    both = sorted(map(place.finished, (first, place.train(name))))
    if [status for status, _ in both] != [0, 1]:
        return f"ended with {both}"
    told = any(words in both[1][1] for words in ("is at work in it", "is there already"))
    return "one told, one identical" if told and place.is_whole(name) else f"said {both[1][1]!r}"


CHECKS: dict[str, tuple[Callable[[Place, random.Random, int], str], int, str]] = {
    "kills": (kill, 50, "identical"),
    "damages": (damage, 300, "told"),
    "disks": (disk, 20, "identical"),
    "pairs": (pair, 10, "one told, one identical"),
}


def main() -> None:
    """Counts what was seen, prints it, writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, (_, count, _) in CHECKS.items():
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found, is_good = {}, True
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        for name, (check, _, good) in CHECKS.items():
            draw = random.Random(f"{given.seed} {name}")
            counts = Counter(check(place, draw, number) for number in range(getattr(given, name)))
            found[name] = dict(counts)
            is_good &= set(counts) <= {good}
            print(f"{name}: {found[name]}", flush=True)
    if given.out:
        document = {"machine": machine(), "seed": given.seed, "seen": found}
        given.out.write_text(json.dumps(document, indent=2) + "\n")
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
