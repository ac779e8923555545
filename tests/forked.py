"""Processes as new as any, but that each is forked after the imports, which take seconds."""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SERVER = """
import gc, json, os, socket, sys

import sklearn.feature_extraction, torch, transformers.models.bert.modeling_bert
import xmlkit.blend, xmlkit.cli.entry, xmlkit.comparison, xmlkit.inference.predict, xmlkit.training.train

gc.freeze()
with socket.socket(fileno=int(sys.argv[1])).makefile("rw") as asked:
    for line in asked:
        job = json.loads(line)
        child = os.fork()
        if child:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=asked, flush=True)
            continue
        for number, name in enumerate(job["streams"]):
            os.dup2(os.open(name, os.O_RDWR), number)
        os.chdir(job["cwd"])
        os.environ.clear()
        os.environ.update(job["environment"])
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            stream.reconfigure(encoding=os.environ.get("PYTHONIOENCODING"))
        sys.path[:0] = job["path"]
        sys.argv = job["command"]
        exec(job["code"])
        break
"""


@cache
def server():
    """A stream to it, and its end when that is closed. It computes nothing: a fork would lose its threads."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", SERVER, str(theirs.fileno())],
        stdin=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
        env=dict(os.environ, COLUMNS="200", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1"),
    )
    theirs.close()
    asked = ours.makefile("rw")
    ours.close()  # when `asked` is
    atexit.register(process.wait)
    atexit.register(asked.close)  # before
    return asked


def run(command, stdin, cwd, environment, code="xmlkit.cli.main()"):
    """What `subprocess.run` gives; the code finds the command in `sys.argv`."""
    with tempfile.TemporaryDirectory() as streams:
        given, out, err = (Path(streams, name) for name in ("in", "out", "err"))
        for file, content in ((given, stdin), (out, b""), (err, b"")):
            file.write_bytes(content)
        job = {"command": command, "code": code, "cwd": str(cwd or Path.cwd()), "environment": environment}
        job["path"] = list(filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)))
        job["streams"] = [str(file) for file in (given, out, err)]
        asked = server()
        print(json.dumps(job), file=asked, flush=True)
        status = int(asked.readline())
        return subprocess.CompletedProcess(command, status, out.read_bytes(), err.read_bytes())
