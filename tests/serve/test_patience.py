"""Connections on which nothing, or not the whole head of a request, comes, and answers that nobody reads."""

from __future__ import annotations

import asyncio
import socket
import time

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


LONG, SHORT, BUFFER = 2_000_000, 100_000, 2**14  # bytes


def answers(length: int):
    async def answer(scope, receive, send):
        head = {"status": 200, "headers": [(b"content-length", b"%d" % length)]}
        await send({"type": "http.response.start", **head})
        await send({"type": "http.response.body", "body": b"x" * length})

    return answer


async def read_of(length: int, before: float, between: float) -> tuple[int, int, float]:
    """What is read by one who waits so many seconds before the first part of an answer, and between parts.

    In bytes; the connections that are left then; seconds from the first part on.
    """
    config = uvicorn.Config(answers(length), http=Patient, lifespan="off", log_config=None)
    config.load()
    state, loop, found = ServerState(), asyncio.get_running_loop(), 0
    server = await loop.create_server(lambda: Patient(config, state, {}), "127.0.0.1", 0)
    server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    client.setblocking(False)
    await loop.sock_connect(client, server.sockets[0].getsockname())
    await loop.sock_sendall(client, GET)
    await asyncio.sleep(before)
    left, begun = len(state.connections), time.monotonic()
    try:
        while found < length and (part := await loop.sock_recv(client, 2**15)):
            found += len(part)
            await asyncio.sleep(between)
    except ConnectionResetError:
        pass
    client.close()
    server.close()
    return found, left, time.monotonic() - begun


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


@pytest.mark.parametrize("length", [LONG, SHORT])
def test_who_reads_no_answer_is_left(monkeypatch, length):
    """Also where less is unsent than the server would wait with."""
    monkeypatch.setattr(patience, "TO_SEND", 0.1)
    found, left, _ = asyncio.run(read_of(length, 1.0, 0.0))
    assert found < length and left == 0


def test_who_reads_slowly_gets_all_of_it(monkeypatch):
    """It takes several times as long as nothing may be read."""
    monkeypatch.setattr(patience, "TO_SEND", 0.3)
    found, _, seconds = asyncio.run(read_of(LONG, 0.0, 0.01))
    assert found >= LONG and seconds > 2 * patience.TO_SEND
