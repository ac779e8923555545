"""Connections that say nothing, never finish a request's head or read no answer: closed, as all count."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

from xmlkit.serve.guard import TO_READ

TO_SEND = 30  # seconds, in which some of an answer is to be read


class Patient(H11Protocol):
    """Waits for a head as long as for a body, and for a client to read as long as it reads at all.

    uvicorn itself waits without end once a byte has come, and for an answer to be read.
    """

    _until: asyncio.TimerHandle | None = None
    _looks: asyncio.TimerHandle | None = None
    _unread = 0  # bytes, when it was looked at last and nothing has come since

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """From now on."""
        super().connection_made(transport)
        self._wait()
        self._see_it_read()

    def data_received(self, data: bytes) -> None:
        """A part of a request."""
        self._unread = 0
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._wait_no_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing comes any more."""
        self._wait_no_more()
        if self._looks is not None:
            self._looks.cancel()
        super().connection_lost(exc)

    def _see_it_read(self) -> None:
        """Gives up what is left to send where none of it was read for so long, be it to close or not."""
        left = self.transport.get_write_buffer_size()
        if left and left == self._unread:
            self.transport.abort()
        else:
            self._unread = left
            self._looks = self.loop.call_later(TO_SEND, self._see_it_read)

    def _wait(self) -> None:
        if self._until is None:
            self._until = self.loop.call_later(TO_READ, self.transport.close)

    def _wait_no_more(self) -> None:
        if self._until is not None:
            self._until.cancel()
            self._until = None
