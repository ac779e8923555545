"""Connections on which nothing, or not the whole head of a request, comes, and answers that nobody reads."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
from uvicorn.server import ServerState

from xmlkit.serve import patience
from xmlkit.serve.patience import Patient

GET, AGAIN = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HT"


async def answer(scope, receive, send):
    """Not before the head is late."""
    await asyncio.sleep(3 * patience.TO_READ)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


LONG = 20_000_000  # bytes: more than the system's buffers hold


async def answer_at_length(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % LONG)]})
    await send({"type": "http.response.body", "body": b"x" * LONG})


async def read_of(before: float, between: float) -> tuple[int, int]:
    """Bytes that are read by one who waits so many seconds before the first part and between two of them.

    And connections that are left then.
    """
    config = uvicorn.Config(answer_at_length, http=Patient, lifespan="off", log_config=None)
    config.load()
    state, loop, found = ServerState(), asyncio.get_running_loop(), 0
    server = await loop.create_server(lambda: Patient(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=2**16)
    writer.write(GET)
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(before)
    try:
        while found < LONG and (part := await reader.read(2**20)):
            found += len(part)
            await asyncio.sleep(between)
    except ConnectionResetError:
        pass
    left = len(state.connections)
    writer.close()
    server.close()
    return found, left


async def asked(*parts: bytes) -> bytes:
    """All that comes back until the server closes; a part is sent once the last one has its answer."""
    config = uvicorn.Config(answer, http=Patient, lifespan="off", log_config=None, timeout_keep_alive=600)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Patient(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    found = b""
    for number, part in enumerate(parts, 1):
        writer.write(part)
        if number < len(parts):
            found += await reader.readuntil(b"\r\n\r\n")
    found += await reader.read()
    writer.close()
    server.close()
    assert not state.connections
    return found


@pytest.mark.parametrize("parts", [(b"",), (b"GET",), (GET[:-2],)])
def test_a_head_that_is_never_whole_is_waited_for_no_longer(monkeypatch, parts):
    monkeypatch.setattr(patience, "TO_READ", 0.1)
    assert asyncio.run(asked(*parts)) == b""


@pytest.mark.parametrize("parts", [(GET, AGAIN), (GET, GET, AGAIN)])
def test_a_whole_one_is_answered_however_long_that_takes(monkeypatch, parts):
    monkeypatch.setattr(patience, "TO_READ", 0.1)
    assert asyncio.run(asked(*parts)).count(b"HTTP/1.1 204") == len(parts) - 1


def test_who_reads_no_answer_is_left(monkeypatch):
    monkeypatch.setattr(patience, "TO_SEND", 0.1)
    found, left = asyncio.run(read_of(1.0, 0.0))
    assert found < LONG and left == 0


def test_who_reads_slowly_gets_all_of_it(monkeypatch):
    """It takes several times as long as nothing may be read."""
    monkeypatch.setattr(patience, "TO_SEND", 1.0)
    assert asyncio.run(read_of(0.0, 0.01))[0] == LONG
