"""Is anything lost, or let in without a word? Kills, damage, full disks, two processes, hostile inputs.

    python -m benchmarks.reliability [--kills 50] [--damages 300] … [--out FILE]

Real processes of the command line on a small part of `demo`, with a tiny encoder of random weights. What
counts as good is said beside each check; the program ends with 1 where anything else was seen.
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
from benchmarks import hostile
from benchmarks.machine import machine
from xmlkit.console import console
from xmlkit.data.corpus import load_corpus
from xmlkit.errors import UserError
from xmlkit.model.tensor_file import load_tensors
from xmlkit.training import train as training
from xmlkit.training.checkpoint import CHECKPOINT
from xmlkit.training.report import outcome_of

DOCUMENTS = 400
SETTINGS = {
    **{"encoder": "scratch", "max_len": 32, "epochs": 2, "batch_size": 32, "eval_every": 8},
    **{"checkpoint_every": 4, "validation": 0.1, "clustered": True, "device": "cpu"},
}
SET = [f"--set={key}={value}" for key, value in SETTINGS.items()]
TEXTS = ["Open a file.", "Return the name of the month.", "Send a request and wait for the answer."]
OF_A_RUN = (
    *("config.json", "labels.jsonl", "model.json", "model.safetensors", "encoder/config.json"),
    *("encoder/tokenizer.json", "encoder/tokenizer_config.json"),
)
JOBS = {  # what is killed: the command, and the files that count, below a name
    "train": (["train", "corpus", "--out", "NAME", *SET], "model.safetensors"),
    "compare": (
        ["compare", "corpus", "--plugin-sets", "base;loss-fix", "--seeds", "1", "--out", "NAME", *SET],
        "*/seed-0/model.safetensors",
    ),
    "predict": (
        ["predict", "whole-train", "texts", "--format", "jsonl", "--out", "NAME/answers"],
        "answers",
    ),
}
PATIENCE = 600  # seconds for one command


class Place:
    """A folder with a corpus, a cache of its own, and what each job comes to where nothing goes wrong."""

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
        (folder / "texts").write_text("\n".join(" ".join(text.split()) for text in demo.train.texts))
        self.seconds = {}
        for job in JOBS:
            began = time.monotonic()
            done = self.finished(self.start(job, f"whole-{job}"))
            assert done == (0, ""), done
            self.seconds[job] = time.monotonic() - began
        done = self.finished(self.start("train", "other", more=["--set=seed=1"]))
        assert done == (0, ""), done

    def start(
        self, job: str, name: str, most_bytes: int | None = None, more: list[str] | None = None
    ) -> subprocess.Popen[str]:
        """The job into the folder of this name, on one thread; no file of it may grow beyond `most_bytes`."""
        if job == "predict":
            (self.folder / name).mkdir(exist_ok=True)
        command = [part.replace("NAME", name) for part in JOBS[job][0]]
        return self.run([*command, *(more or [])], most_bytes)

    def run(self, arguments: list[str], most_bytes: int | None = None) -> subprocess.Popen[str]:
        """A command in this folder."""
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

    def go_on(self, job: str, name: str) -> subprocess.Popen[str]:
        """What the user would do next: a run goes on, or begins where nothing came of it."""
        if job == "train" and (self.folder / name / CHECKPOINT).is_file():
            return self.run(["train", "--resume", name])
        return self.start(job, name)

    def is_over(self, job: str, name: str) -> bool:
        """Whether there is nothing to go on with."""
        run = self.folder / name
        return (
            job == "train" and outcome_of(run / "log.jsonl") is not None and not (run / CHECKPOINT).exists()
        )

    def finished(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Exit status, and the last line where it is not 0; the word `traceback` where there was one."""
        _, err = process.communicate(timeout=PATIENCE)
        if "Traceback" in err:
            return process.returncode, "traceback"
        return process.returncode, err.splitlines()[-1] if process.returncode and err else ""

    def is_whole(self, job: str, name: str) -> bool:
        """Whether what the job made is what it makes unbroken, to the bit."""
        theirs, ours = self.folder / f"whole-{job}", self.folder / name
        files = [path.relative_to(theirs) for path in theirs.glob(JOBS[job][1])]
        assert files
        return all(_are_alike(theirs / file, ours / file) for file in files)


def _are_alike(theirs: Path, ours: Path) -> bool:
    """Answers by their bytes, weights without the digests beside them."""
    if theirs.suffix != ".safetensors":
        return theirs.read_bytes() == ours.read_bytes()
    expected, found = load_tensors(theirs)[0], load_tensors(ours)[0]
    return found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)


def kill(place: Place, draw: random.Random, number: int) -> str:
    """Killed at one to three random moments, then gone on with to the end; good: `identical`."""
    job = draw.choice(("train", "train", "compare", "predict"))
    name = f"killed-{number}"
    if number % 2:  # also what is kept between runs is being made
        shutil.rmtree(place.folder / "cache", ignore_errors=True)
    process = place.start(job, name)
    for _ in range(draw.choice((1, 1, 2, 3))):
        time.sleep(draw.uniform(0, place.seconds[job]))
        process.kill()
        process.communicate()
        if place.is_over(job, name):
            break
        process = place.go_on(job, name)
    else:
        status, said = place.finished(process)
        if status:
            return f"{job}: {said}"
    return "identical" if place.is_whole(job, name) else f"{job}: other than unbroken"


def damage(place: Place, draw: random.Random, number: int) -> str:
    """A flip, a cut, a swap, a byte more, or a missing file; good: `told`, or in the cache `made anew`."""
    where = draw.choice((_damage_run, _damage_run, _damage_checkpoint, _damage_cache))
    try:
        return where(place, draw)
    except UserError as error:
        return "told" if str(error).count("\n") == 0 else "told, in more than a line"
    except Exception as error:
        return f"traceback: {type(error).__name__}"


def _spoil(file: Path, other: Path | None, draw: random.Random) -> None:
    content = file.read_bytes()
    at = draw.randrange(len(content)) if content else 0
    flipped = bytes([content[at] ^ 1 << draw.randrange(8)]) if content else b"x"
    file.unlink()
    ways = [content[:at] + flipped + content[at + 1 :], content[:at] or b"x", content + flipped, None]
    if other and other.read_bytes() != content:
        ways.append(other.read_bytes())
    if file.suffix == ".jsonl":
        ways.append(b"".join(reversed(content.splitlines(True))))
    if (damaged := draw.choice(ways)) is not None:
        file.write_bytes(damaged)


def _damage_run(place: Place, draw: random.Random) -> str:
    run, name = _copy(place.folder / "whole-train"), draw.choice(OF_A_RUN)
    _spoil(run / name, place.folder / "other" / name, draw)
    xmlkit.load(run).predict(TEXTS)
    return f"silent: {name}"


def _damage_checkpoint(place: Place, draw: random.Random) -> str:
    """Of a training that was broken off: before it goes on."""
    broken = place.folder / "broken"
    if not broken.exists():
        process = place.start("train", "broken")
        while not (broken / "model.safetensors").exists():
            time.sleep(0.01)
        process.kill()
        process.communicate()
    run = _copy(broken)
    name = draw.choice((CHECKPOINT, CHECKPOINT, *OF_A_RUN[:3]))
    _spoil(run / name, place.folder / "other" / name if name != CHECKPOINT else None, draw)
    training.resume(run, load_corpus(place.folder / "corpus"))
    return f"silent: {name}"


def _damage_cache(place: Place, draw: random.Random) -> str:
    """What is kept between runs: tokens and clusters."""
    os.environ["XMLKIT_CACHE"] = str(place.folder / "cache")
    corpus = load_corpus(place.folder / "corpus")
    shutil.rmtree(place.folder / "prepared", ignore_errors=True)
    training.prepare(corpus, SETTINGS, place.folder / "prepared")
    files = sorted(path for path in (place.folder / "cache").rglob("*") if path.is_file())
    before = {path: path.read_bytes() for path in files}
    _spoil(draw.choice(files), None, draw)
    shutil.rmtree(place.folder / "prepared")
    with console.capture() as said:
        training.prepare(corpus, SETTINGS, place.folder / "prepared")
    for path, content in before.items():
        if path.read_bytes() != content:
            return f"made otherwise: {path.relative_to(place.folder)}"
    return "made anew" if "made anew" in said.get() else "silent: cache"


def _copy(run: Path) -> Path:
    copied = run.with_name("damaged")
    shutil.rmtree(copied, ignore_errors=True)
    shutil.copytree(run, copied)
    return copied


def disk(place: Place, draw: random.Random, number: int) -> str:
    """No file may grow beyond so many bytes, then there is room; good: `identical`."""
    job = draw.choice(("train", "train", "compare", "predict"))
    name = f"disk-{number}"
    shutil.rmtree(place.folder / "cache", ignore_errors=True)
    files = (place.folder / f"whole-{job}").glob(JOBS[job][1])
    largest = max(path.stat().st_size for path in files)
    status, said = place.finished(place.start(job, name, int(largest * draw.uniform(0, 1.3))))
    if said == "traceback" or (status and not said.startswith("error: ")):
        return f"{job}: {said}"
    if not place.is_over(job, name):
        status, said = place.finished(place.go_on(job, name))
    return "identical" if not status and place.is_whole(job, name) else f"{job}: {said or 'other'}"


def pair(place: Place, draw: random.Random, number: int) -> str:
    """Two of one kind into one folder, moments apart; good: `one told, one identical`."""
    job, name = draw.choice(tuple(JOBS)), f"pair-{number}"
    first = place.start(job, name)
    time.sleep(draw.uniform(0, 1))
    both = sorted(map(place.finished, (first, place.start(job, name))))
    told = any(words in both[1][1] for words in ("is at work in it", "is there already", "writes it"))
    one_after_another = job != "train" and both == [(0, ""), (0, "")]  # it found nothing left to do
    if not told and not one_after_another:
        return f"{job}: ended with {both}"
    return "one told, one identical" if place.is_whole(job, name) else f"{job}: other"


CHECKS: dict[str, tuple[Callable[[Place, random.Random, int], str], int, set[str]]] = {
    "kills": (kill, 50, {"identical"}),
    "damages": (damage, 300, {"told", "made anew"}),
    "disks": (disk, 20, {"identical"}),
    "pairs": (pair, 12, {"one told, one identical"}),
}
HOSTILE = {"readers": 980_000, "texts": 15_000, "runs": 5_000}  # inputs; 0 leaves them out


def main() -> None:
    """Counts what was seen, prints it, writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, count in [*((name, count) for name, (_, count, _) in CHECKS.items()), *HOSTILE.items()]:
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, dict[str, int]] = {}
    is_good = True
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        for name, (check, _, good) in CHECKS.items():
            draw = random.Random(f"{given.seed} {name}")
            counts = Counter(check(place, draw, number) for number in range(getattr(given, name)))
            found[name] = dict(counts)
            is_good &= set(counts) <= good
            print(f"{name}: {found[name]}", flush=True)
    for name in HOSTILE:
        if inputs := getattr(given, name):
            status, found[name], said = hostile.attack(name, inputs, given.seed)
            is_good &= status == 0
            print(f"{name}: {found[name]}" if status == 0 else said, flush=True)
    if given.out:
        document = {"machine": machine(), "seed": given.seed, "seen": found}
        given.out.write_text(json.dumps(document, indent=2) + "\n")
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
