"""Between a request and a model's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from starlette.requests import Request

from xmlkit.explain.explain import Reasons, explaining
from xmlkit.inference.predict import Prediction
from xmlkit.serve.limits import Limits
from xmlkit.serve.refusals import Refused
from xmlkit.serve.served import Served
from xmlkit.serve.watch import log_error
from xmlkit.serve.wish import Wish
from xmlkit.serve.worker import Full, Stopped

LOOKS = 0.5  # seconds between looks whether who asked for an explanation is still there


async def ask(
    served: Served, texts: Sequence[str], wish: Wish, limits: Limits, malformed: int
) -> list[list[Prediction]]:
    """The labels of each text. Raises Refused, for what is over a limit of a request as `malformed`."""
    _check(texts, wish, limits, malformed)
    try:
        found = await asyncio.wrap_future(served.worker.ask(texts, wish))
    except Full:
        raise Refused(503, f"{served.worker.waiting:,} texts wait already; ask again", retry=1) from None
    except Stopped:
        raise Refused(503, "the server stops", retry=5) from None
    except Exception as error:
        log_error(f"{served.id} could not label {len(texts)} texts", error)
        raise Refused(500, "the model failed, as the server's log tells") from None
    labels = served.model.labels
    return [
        [Prediction(labels.ids[row], labels.name(row), score) for row, score in rows_and_scores]
        for rows_and_scores in found
    ]


async def ask_why(
    served: Served, text: str, top_k: int, allowed_L: np.ndarray | None, request: Request
) -> list[Reasons]:
    """The best labels of a text and why. Raises Refused; who leaves is not explained anything further."""
    try:
        told = asyncio.wrap_future(served.worker.send(explaining(served.model, text, top_k, allowed_L)))
    except Full:
        count = served.worker.errands
        raise Refused(503, f"{count} explanations are asked for already; ask again", retry=5) from None
    try:
        while not (await asyncio.wait([told], timeout=LOOKS))[0]:
            if await request.is_disconnected():
                raise Refused(400, "the client has left")
        return told.result()
    except Stopped:
        raise Refused(503, "the server stops", retry=5) from None
    except Refused:
        raise
    except Exception as error:
        log_error(f"{served.id} could not explain a text", error)
        raise Refused(500, "the model failed, as the server's log tells") from None
    finally:
        told.cancel()


def _check(texts: Sequence[str], wish: Wish, limits: Limits, malformed: int) -> None:
    if len(texts) > limits.texts:
        raise Refused(malformed, f"{len(texts):,} texts; at most {limits.texts:,} may be asked about at once")
    if len(texts) * wish.top_k > limits.answer:
        raise Refused(
            malformed,
            f"{len(texts):,} texts with {wish.top_k:,} labels each; an answer has at most "
            f"{limits.answer:,} labels: ask for fewer, or about fewer texts at once",
        )
    for number, text in enumerate(texts):
        if len(text) > limits.length:
            raise Refused(
                malformed, f"text {number}: {len(text):,} characters; it may have {limits.length:,}"
            )
