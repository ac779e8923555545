"""How fast is a served model beside the model alone, and does its memory stay?

    python -m benchmarks.serve RUN TEXTS OUT.json [--seconds N] [--requests N]

TEXTS has a text a line. In one run, in turn: `model.predict` of one text after the other and of all at once;
1, 8 and 32 clients, each a connection that asks about one text as soon as it has the answer to the last; the
server's resident memory before so many requests more, of 32 clients, and after each tenth of them. It needs
httpx, which the tests' extra brings.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np

import xmlkit
from benchmarks.machine import machine, shown
from benchmarks.serving import served

CLIENTS = (1, 8, 32)
TENTHS = 10


def summary(seconds: list[float], in_all: float) -> dict[str, float]:
    """Requests a second and percentiles in milliseconds."""
    p50, p99 = 1000 * np.percentile(seconds, [50, 99])
    return {
        "requests": len(seconds),
        "requests_per_second": round(len(seconds) / in_all, 1),
        "p50_ms": round(p50, 1),
        "p99_ms": round(p99, 1),
    }


def alone(model: xmlkit.Predictor, texts: list[str], seconds: float) -> dict[str, Any]:
    """The model without a server: one text a call, and all in one call."""
    model.predict(texts[:8])
    took: list[float] = []
    begun = time.perf_counter()
    for text in itertools.cycle(texts):
        start = time.perf_counter()
        model.predict([text])
        took.append(time.perf_counter() - start)
        if time.perf_counter() - begun > seconds:
            break
    one = summary(took, time.perf_counter() - begun)
    begun = time.perf_counter()
    model.predict(texts)
    return {
        "one_text_a_call": one,
        "texts_per_second_in_one_call": len(texts) / (time.perf_counter() - begun),
    }


async def asking(
    url: str, texts: list[str], clients: int, goes_on: Callable[[int], bool]
) -> dict[str, float]:
    """What that many clients see, who ask while `goes_on` (of the number of requests so far) says so."""
    took: list[float] = []

    async def client(first: int) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as session:
            for text in itertools.cycle(texts[first:] + texts[:first]):
                if not goes_on(len(took)):
                    return
                start = time.perf_counter()
                answer = await session.post("/predict", json={"texts": text})
                took.append(time.perf_counter() - start)
                assert answer.status_code == 200, answer.text

    begun = time.perf_counter()
    await asyncio.gather(*(client(i * len(texts) // clients) for i in range(clients)))
    return summary(took, time.perf_counter() - begun)


def until(seconds: float) -> Callable[[int], bool]:
    """For so long."""
    end = time.perf_counter() + seconds
    return lambda requests: time.perf_counter() < end


def resident_mib(process: int) -> float:
    """Of a process, on Linux."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--requests", type=int, default=3000)
    given = parser.parse_args()
    texts = given.texts.read_text(encoding="utf-8").splitlines()
    document: dict[str, Any] = {
        "command": f"python -m benchmarks.serve {shown(sys.argv[1:])}",
        "load_average_before": os.getloadavg(),
        "alone": alone(xmlkit.load(given.run), texts, given.seconds),
    }
    with TemporaryDirectory() as place, served(Path(place) / "log", given.run) as (process, url):
        document["served"] = {
            clients: asyncio.run(asking(url, texts, clients, until(given.seconds))) for clients in CLIENTS
        }
        resident = [resident_mib(process.pid)]
        for _ in range(TENTHS):
            asyncio.run(asking(url, texts, CLIENTS[-1], lambda requests: requests < given.requests // TENTHS))
            resident.append(resident_mib(process.pid))
        document["memory"] = {"requests": given.requests, "resident_mib": resident}
    document |= {"load_average_after": os.getloadavg(), "machine": machine()}
    given.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({name: document[name] for name in ("alone", "served", "memory")}, indent=2))


if __name__ == "__main__":
    main()
