"""The command line as people use it: processes, files."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked
import tiny

XMLKIT = str(Path(sys.executable).with_name("xmlkit"))
QUICK = ["--set", "max_len=16", "--set", "batch_size=16", "--set", "validation=0.2", "--set", "log_every=1"]


def xmlkit(*arguments, stdin="", cwd=None, path=None, code=0, fresh=False):
    """Runs a command; returns what it printed on both streams. `fresh`: as a new process, which is slow."""
    environment = dict(os.environ, COLUMNS="200", PYTHONPATH=str(path or ""))
    if isinstance(stdin, str):
        stdin = stdin.encode()
    command = [XMLKIT, *map(str, arguments)]
    if fresh:
        done = subprocess.run(
            command, input=stdin, capture_output=True, cwd=cwd, env=environment, check=False
        )
    else:
        done = forked.run(command, stdin, cwd, environment)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == code, out + err
    assert "Traceback" not in err
    return out, err


def hears_signals():
    """Whoever runs the tests, in the background or by nohup, may ignore some."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def started(place, *arguments, path=None, **options):
    """A command that runs on."""
    return subprocess.Popen(
        [XMLKIT, *map(str, arguments)],
        cwd=place,
        env=dict(os.environ, COLUMNS="200", PYTHONPATH=str(path or "")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **{"preexec_fn": hears_signals, **options},
    )


def wait_for_lines(log, count, process):
    while not log.exists() or log.read_text().count("\n") < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def write_corpus(folder: Path) -> Path:
    corpus = tiny.learnable_corpus()
    folder.mkdir()
    for name, split in (("train", corpus.train), ("test", corpus.test)):
        with gzip.open(folder / f"{name}.jsonl.gz", "wt") as file:
            for text, row in zip(split.texts, range(len(split)), strict=True):
                labels = [corpus.labels.ids[i] for i in split.labels[row]]
                file.write(json.dumps({"text": text, "labels": labels}) + "\n")
    (folder / "labels.tsv").write_text("".join(f"{label}\tword {label}\n" for label in corpus.labels.ids))
    return folder
