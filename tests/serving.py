"""A server as a process of its own, and what is asked of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from commands import hears_signals

from benchmarks.serving import served


@dataclass
class Server:
    process: subprocess.Popen
    url: str
    log: Path

    def client(self, **options) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, **options)

    def get(self, path: str, **options) -> httpx.Response:
        with self.client() as client:
            return client.get(path, **options)

    def post(self, path: str, **options) -> httpx.Response:
        with self.client() as client:
            return client.post(path, **options)

    def figure(self, name: str) -> float:
        """The sum of a figure over its labels."""
        lines = [line for line in self.get("/metrics").text.splitlines() if re.match(rf"{name}[{{ ]", line)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def wait_for(self, name: str, least: float) -> None:
        while self.figure(name) < least:
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)

    def wait_for_line(self, words: str) -> None:
        while words not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def serving(log: Path, *arguments: object, **environment: str) -> Iterator[Server]:
    env = dict(os.environ, COLUMNS="200", **environment)
    with served(log, *arguments, env=env, preexec_fn=hears_signals) as (process, url):
        yield Server(process, url, log)
