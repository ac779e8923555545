"""What stands before all that is served: who may ask, how much, and how slowly."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xmlkit.serve.limits import Limits
from xmlkit.serve.refusals import Refused, problem

TO_READ = 30  # seconds, for the whole of a body
BEARER = {"WWW-Authenticate": "Bearer"}
HEALTH = "/healthz"  # open to all: whoever looks after a machine has no token


class Guard:
    """Around an application, of which some paths are open to who has no token."""

    def __init__(
        self, app: ASGIApp, limits: Limits, token: str | None, door: Door, open_to_all: Collection[str]
    ):
        self._app, self._limits, self._door, self._open = app, limits, door, open_to_all
        self._bearer = token and f"bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None:
            with self._door:
                try:
                    await self._app(scope, self._bounded(headers, receive), send)
                    return
                except asyncio.CancelledError:  # the loop ends at once
                    refusal = _stops()
        await refusal(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        inside = self._door.inside
        if (
            self._bearer
            and scope["path"] not in self._open
            and not self._knows(headers.get("authorization", ""))
        ):
            return problem(401, "give the server's token: Authorization: Bearer TOKEN", BEARER)
        if self._door.closed:
            return _stops()
        if scope["method"] == "POST" and inside >= self._limits.requests:
            return problem(503, f"{inside} requests are being answered; ask again", {"Retry-After": "1"})
        return None

    def _knows(self, given: str) -> bool:
        kind, _, token = given.partition(" ")
        assert self._bearer
        return hmac.compare_digest(f"{kind.lower()} {token.strip()}".encode(), self._bearer)

    def _bounded(self, headers: Headers, receive: Receive) -> Receive:
        """Counts as it comes in: a length that is announced may be wrong or missing."""
        most, length = self._limits.body, headers.get("content-length", "")
        too_large = Refused(413, f"more than {most:,} bytes; send fewer texts at once")
        read, whole, until = 0, False, asyncio.get_running_loop().time() + TO_READ

        async def counted() -> Message:
            nonlocal read, whole
            if whole:  # what comes now is that the client leaves
                return await receive()
            if length.isdecimal() and int(length) > most:
                raise too_large
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise Refused(408, f"the request was not whole within {TO_READ} seconds") from None
            read += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if read > most:
                raise too_large
            return message

        return counted


class Door:
    """Counts who is inside; once closed, nobody more comes in."""

    def __init__(self) -> None:
        self.inside, self.closed = 0, False

    def __enter__(self) -> None:
        self.inside += 1

    def __exit__(self, *error: object) -> None:
        self.inside -= 1


def _stops() -> Response:
    return problem(503, "the server stops", {"Retry-After": "5", "Connection": "close"})
