"""Connections that say nothing, never finish a request's head or read no answer: closed, as all count."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

from xmlkit.serve.guard import TO_READ

TO_SEND = 30  # seconds, for any part of an answer


class Patient(H11Protocol):
    """Waits for a head as long as for a body, and for a client to read as long as it reads at all.

    uvicorn itself waits without end once a byte has come, and for an answer to be read.
    """

    _until: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """From now on."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """A part of a request."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._wait_no_more()

    def pause_writing(self) -> None:
        """More is to be sent than the client has read."""
        super().pause_writing()
        self._see_it_read()

    def resume_writing(self) -> None:
        """It has read nearly all."""
        self._see_no_more()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing comes any more."""
        self._wait_no_more()
        self._see_no_more()
        super().connection_lost(exc)

    def _see_it_read(self, left: int | None = None) -> None:
        """Goes where nothing was read of what was `left` to send; what is left is given up."""
        now = self.transport.get_write_buffer_size()
        if now == left:
            self.transport.abort()
        else:
            self._unread = self.loop.call_later(TO_SEND, self._see_it_read, now)

    def _see_no_more(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _wait(self) -> None:
        if self._until is None:
            self._until = self.loop.call_later(TO_READ, self.transport.close)

    def _wait_no_more(self) -> None:
        if self._until is not None:
            self._until.cancel()
            self._until = None
