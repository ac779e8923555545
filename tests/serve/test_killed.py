"""A server that is killed while clients ask it, and one that takes its place."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from serving import Server, serving

CLIENTS = 6


def asked(server: Server, texts: list[str], ends: threading.Event) -> list[tuple[str, list[str] | None]]:
    """What one client is told, text by text, until it is told to end or an answer fails; None: an error."""
    found: list[tuple[str, list[str] | None]] = []
    with server.client() as client:
        while not ends.is_set():
            text = texts[len(found) % len(texts)]
            try:
                answer = client.post("/predict", json={"texts": text, "top_k": 3})
            except httpx.TransportError:
                return [*found, (text, None)]
            assert answer.status_code == 200
            found.append((text, [label["label"] for label in answer.json()["results"][0]["labels"]]))
    return found


@pytest.mark.slow
def test_each_request_is_answered_or_its_client_hears_of_an_error(run, model, tmp_path):
    texts = [f"w{i} w{(i + 3) % 10} w{20 + i}" for i in range(10)]
    best = {text: [p.label for p in found] for text, found in zip(texts, model.predict(texts, top_k=3))}
    for kills in (True, False):
        ends = threading.Event()
        with serving(tmp_path / f"log-{kills}", run) as server, ThreadPoolExecutor(CLIENTS) as pool:
            those = [pool.submit(asked, server, texts[i:] + texts[:i], ends) for i in range(CLIENTS)]
            server.wait_for("xmlkit_requests_total", 60)
            if kills:
                server.process.send_signal(signal.SIGKILL)
                server.process.wait()
            ends.set()
            told = [one.result(timeout=60) for one in those]
        for answers in told:
            right = [(text, labels) for text, labels in answers if labels is not None]
            assert right and all(labels == best[text] for text, labels in right)
            assert len(answers) - len(right) <= 1  # the one that was under way
        assert kills or all(labels for answers in told for _, labels in answers)
