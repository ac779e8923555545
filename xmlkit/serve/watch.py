"""What a server tells of itself: a line of the log for each request, and figures for Prometheus."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xmlkit.console import say

if TYPE_CHECKING:
    from xmlkit.serve.worker import Worker

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LONGEST = 200  # characters of a method or a path in the log


class Watch:
    """Counts by model and route; nothing that a client chooses is the name of a figure."""

    def __init__(self) -> None:
        self._figures = to = CollectorRegistry()
        self.requests = Counter("xmlkit_requests", "Requests answered.", ["route", "status"], registry=to)
        self.seconds = Histogram(
            "xmlkit_request_seconds", "From a request to its answer.", ["route"], buckets=SECONDS, registry=to
        )
        self._batches = Histogram(
            "xmlkit_batch_texts", "Texts of a batch.", ["model"], buckets=TEXTS, registry=to
        )
        self._model = Counter("xmlkit_model_seconds", "In which a model worked.", ["model"], registry=to)
        self._queue = Gauge("xmlkit_queued_texts", "Texts not begun with.", ["model"], registry=to)
        self._explanations = Gauge(
            "xmlkit_queued_explanations", "Explanations not ended with.", ["model"], registry=to
        )

    def batches_of(self, model: str) -> Callable[[int, float], None]:
        """Hears of a model's batches: texts, none where it explains, and seconds."""
        batches, seconds = self._batches.labels(model), self._model.labels(model)

        def heard(texts: int, took: float) -> None:
            if texts:
                batches.observe(texts)
            seconds.inc(took)

        return heard

    def queue_of(self, model: str, worker: Worker) -> None:
        """Looks at it whenever figures are asked for."""
        self._queue.labels(model).set_function(lambda: worker.waiting)
        self._explanations.labels(model).set_function(lambda: worker.errands)

    def figures(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self._figures)


class Watched:
    """Around an application: times, counts and logs each request."""

    def __init__(self, app: ASGIApp, watch: Watch):
        self._app, self._watch = app, watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, begun = 500, time.perf_counter()

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:
            took = time.perf_counter() - begun
            route = getattr(scope.get("route"), "path", "none")
            self._watch.requests.labels(route, status).inc()
            self._watch.seconds.labels(route).observe(took)
            path = quote(scope["path"], safe="/")[:LONGEST]
            log(f"{scope['method'][:LONGEST]} {path} {status} {1000 * took:.0f} ms")


def log(text: str) -> None:
    """A line with the time. Further lines begin with a bar: what a client sent can't pass for one of ours."""
    first, *more = text.splitlines() or [""]
    say(time.strftime("%Y-%m-%d %H:%M:%S ") + first)
    for line in more:
        say(f"  | {line}")


class Log(logging.Handler):
    """What libraries log, as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """With its traceback, where it has one."""
        log(self.format(record))


def log_error(what: str, error: Exception) -> None:
    """With the traceback, which the author of a plugin needs."""
    log("\n".join([what, *traceback.format_exception(error)]))
