"""What strangers write, made worse until something gives: all readers, predicting, and the opening of a run.

    python -m benchmarks.hostile readers|texts|runs [--inputs N] [--seed N]

Inputs are made by atheris (`pip install atheris`), which begins with files as they should be and is led by
the lines of xmlkit that its changes reach. UserError is an answer; any other exception, a minute without one
and more than 3 GiB are not: the program ends with another status than 0, and the input is printed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LONGEST = 2048  # bytes of an input
LIMITS = ["-timeout=60", "-rss_limit_mb=3072", "-keep_seed=1", "-print_final_stats=1"]
PLAIN = {  # as they should be, of each kind that is read
    "train.jsonl": b'{"text": "a b", "labels": ["x", "y"]}\n{"text": "c", "labels": []}\n',
    "train.tsv": b"a text\t<http://x> <http://y>\nanother\t<http://x>\n",
    "train_labels.txt": b"x y\nx\n",
    "train_raw_texts.txt": b"a text\nanother\n",
    "labels.tsv": b"<http://x>\tthe name\n<http://y>\tanother\n",
    "train.jsonl.gz": gzip.compress(b'{"text": "a b", "labels": ["x", "y"]}\n', mtime=0),
    "config.toml": b'epochs = 2\nencoder = "scratch"\nplugins = ["se"]\n[se]\nreduction = 4\n',
    "config.json": b'{"epochs": 2, "ks": [1, 3, 5], "se": {"reduction": 4}, "plugins": ["se"]}',
    "set": b"epochs=2\nks=1,3,5\nse.reduction=4\nencoder=none\n",
    "sets": b"base;se,loss-fix;base[start=prior];se[reduction=4]\n",
    "answers.jsonl": b'{"text": "a", "labels": [{"label": "x", "name": "n", "score": 0.5}]}\n',
    "answers.tsv": b"1\tx\tname\t0.5000\n3\ty\tname\t0.2500\n",
    "log.jsonl": b'{"step": 1, "seconds": 0.5, "loss": 2.0}\n{"step": 2, "outcome": "finished"}\n',
}
BESIDE = {  # what else a corpus needs
    "train_labels.txt": ("train_raw_texts.txt",),
    "train_raw_texts.txt": ("train_labels.txt",),
    "labels.tsv": ("train.tsv",),
}


def readers(folder: Path) -> tuple[Callable[[bytes], None], list[bytes]]:
    """Corpora, settings, sets, answers and logs; the first byte of an input says which."""
    from xmlkit.comparison.sets import parse_sets
    from xmlkit.config import parse_assignments, read_config_file, resolve
    from xmlkit.data.corpus import load_corpus
    from xmlkit.data.describe import describe
    from xmlkit.data.remarks import remarks
    from xmlkit.inference.answers import answered, answered_texts
    from xmlkit.training.report import outcome_of

    def corpus(path: Path) -> None:
        found = load_corpus(path.parent)
        remarks(found)
        describe(found)

    def answers(path: Path) -> None:
        answered(path, path.suffix[1:])
        if path.suffix == ".jsonl":
            list(answered_texts(path))

    def words(path: Path) -> list[str]:
        return path.read_text(errors="surrogateescape").split("\n")  # as arguments are

    work: dict[str, Callable[[Path], object]] = {
        **dict.fromkeys((name for name in PLAIN if name.startswith(("train", "labels"))), corpus),
        **dict.fromkeys(("config.toml", "config.json"), lambda path: resolve(read_config_file(path))),
        "set": lambda path: resolve(parse_assignments(words(path))),
        "sets": lambda path: [found.config({}, 0, None) for found in parse_sets(words(path)[0])],
        **dict.fromkeys(("answers.jsonl", "answers.tsv"), answers),
        "log.jsonl": outcome_of,
    }
    names = list(PLAIN)
    for number, name in enumerate(names):
        (folder / str(number)).mkdir()
        for other in BESIDE.get(name, ()):
            (folder / str(number) / other).write_bytes(PLAIN[other])

    def read(data: bytes) -> None:
        number = data[0] % len(names) if data else 0
        path = folder / str(number) / names[number]
        path.write_bytes(data[1:])
        work[names[number]](path)

    return read, [bytes([number]) + content for number, content in enumerate(PLAIN.values())]


def _run(folder: Path) -> Path:
    from xmlkit.testing.tiny import fit, tiny_trainer

    fit(tiny_trainer(folder / "run", {"clustered": True}))
    return folder / "run"


def texts(folder: Path) -> tuple[Callable[[bytes], None], list[bytes]]:
    """A file of texts, and the same as standard input, with a tiny model."""
    import io

    from xmlkit import load
    from xmlkit.data.lines import read_lines, read_stream

    model = load(_run(folder))
    path = folder / "texts"

    def predict(data: bytes) -> None:
        path.write_bytes(data)
        first = model.predict(text for _, text in read_lines(path))
        again = model.predict(text for _, text in read_stream(io.BytesIO(data), "standard input"))
        assert first == again

    return predict, [b"w1 w2\nw3\n", "\ufeffWörter, \u2028 und mehr\r\nw1".encode()]


def runs(folder: Path) -> tuple[Callable[[bytes], None], list[bytes]]:
    """A run's files, with the digests that a stranger would give them; the first byte says which."""
    import shutil

    from safetensors.torch import load_file

    from xmlkit import load
    from xmlkit.files import digests
    from xmlkit.model.folder import DESCRIPTION, WEIGHTS
    from xmlkit.model.tensor_file import load_note, save_tensors

    whole = _run(folder)
    names = ["config.json", "labels.jsonl", DESCRIPTION, "encoder/config.json", "encoder/tokenizer.json"]
    names += ["encoder/tokenizer_config.json"]
    weights, note = load_file(whole / WEIGHTS), load_note(whole / WEIGHTS)
    plain = [(whole / name).read_bytes() for name in names]
    changed = folder / "changed"

    def open_and_predict(data: bytes) -> None:
        number = data[0] % len(names) if data else 0
        shutil.rmtree(changed, ignore_errors=True)
        shutil.copytree(whole, changed)
        (changed / names[number]).write_bytes(data[1:])
        with suppress(ValueError, TypeError, KeyError, RecursionError, OSError):  # then load is to say so
            document = json.loads((changed / DESCRIPTION).read_bytes())
            document["files"] = digests(changed, document["files"])
            (changed / DESCRIPTION).write_text(json.dumps(document))
        save_tensors(changed / WEIGHTS, weights, {**note, **digests(changed, [DESCRIPTION])})
        load(changed).predict(["w1 w2", "w3"])

    return open_and_predict, [bytes([number]) + content for number, content in enumerate(plain)]


TARGETS = {"readers": readers, "texts": texts, "runs": runs}


def attack(target: str, inputs: int, seed: int) -> tuple[int, dict[str, int], str]:
    """In a process of its own: its status, what libFuzzer counted, and what it said."""
    command = [sys.executable, "-m", "benchmarks.hostile", target, f"--inputs={inputs}", f"--seed={seed}"]
    said = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if "pulse" in line:  # how far it is, at each power of two
                print(f"{target}: {line}", end="", flush=True)
    counted = {name: int(value) for name, value in re.findall(r"stat::(\w+):\s+(\d+)", "".join(said))}
    return process.returncode, counted, "".join(said)


def main() -> None:
    """Does not return: libFuzzer ends the process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    import atheris

    with atheris.instrument_imports(include=["xmlkit"]):
        from xmlkit import console
        from xmlkit.errors import UserError

        scratch = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        (scratch / "seeds").mkdir()
        (scratch / "work").mkdir()
        os.environ["XMLKIT_CACHE"] = str(scratch / "cache")
        work, seeds = TARGETS[given.target](scratch / "work")
    console.console.quiet = True
    for number, seed in enumerate(seeds):
        (scratch / "seeds" / str(number)).write_bytes(seed)

    def one(data: bytes) -> None:
        with suppress(UserError):
            work(data)

    limits = [*LIMITS, f"-max_len={max(LONGEST, *map(len, seeds))}"]
    numbers = [f"-runs={given.inputs}", f"-seed={given.seed}", f"-artifact_prefix={scratch}/"]
    atheris.Setup([sys.argv[0], *limits, *numbers, str(scratch / "seeds")], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
