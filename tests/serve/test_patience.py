"""Connections on which nothing, or not the whole head of a request, comes."""

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
