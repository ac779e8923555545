"""A server from its first socket to its last answer."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from xmlkit.config import Precision
from xmlkit.console import say
from xmlkit.errors import UserError
from xmlkit.serve.app import application
from xmlkit.serve.guard import Door
from xmlkit.serve.limits import Limits
from xmlkit.serve.patience import Patient
from xmlkit.serve.served import Listed, opened
from xmlkit.serve.watch import Log, Watch
from xmlkit.serve.worker import Worker
from xmlkit.training.stopping import STOPS

CONNECTIONS = 1_000
TO_LEAVE = 5  # seconds for connections that have their answers


@dataclass(frozen=True)
class Address:
    """Where it listens, and who may ask there."""

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.token is not None and not (
            self.token.isascii() and self.token.isprintable() and self.token == self.token.strip() != ""
        ):
            raise UserError(
                "--token: a header holds printable ASCII characters, one at least and no space around them"
            )


def serve(
    runs: Sequence[Path],
    precision: Precision | None,
    vocabulary: Listed | None,
    limits: Limits,
    address: Address,
) -> None:
    """Answers until SIGTERM or Ctrl-C, then all that it has taken. Raises UserError where it can't begin."""
    watch, door = Watch(), Door()
    with (
        _bound(address) as listener,
        opened(runs, precision, vocabulary, limits, watch) as models,
    ):
        app = application(models, limits, address.token, door, watch)
        workers = [one.worker for one in models.values()]
        server = _Server(app, door, workers, address, told(models, address, *listener.getsockname()[:2]))
        server.run([listener])
        if server.force_exit:
            raise KeyboardInterrupt


def told(models: Iterable[str], address: Address, host: str, port: int) -> str:
    """What is answered where, for the person who began it."""
    where = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    how = f"it is a page in a browser, and {where}/openapi.json tells programs how to ask"
    lines = [f"{', '.join(models)} at {where}; {how}; Ctrl-C stops it"]
    if address.token is None and not ipaddress.ip_address(host).is_loopback:
        lines += [
            "anyone who reaches this machine may ask; to those alone who have a token: XMLKIT_TOKEN=..."
        ]
    return "\n".join(lines)


@contextmanager
def _bound(address: Address) -> Iterator[socket.socket]:
    """A socket that does not listen yet: while models are opened, connections are refused."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, OverflowError, UnicodeError) as error:
        raise UserError(f"--host {address.host}: {error}") from None
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
        except OSError as error:
            raise _taken(address, error) from None
        yield listener


def _taken(address: Address, error: OSError) -> UserError:
    advice = "choose another; 0 takes one that is free"
    return UserError(f"--port {address.port}: {error.strerror} at {address.host}; {advice}")


class _Server(uvicorn.Server):
    """Stops in three steps: nobody more comes in, who is in is answered, connections are closed."""

    def __init__(self, app: object, door: Door, workers: list[Worker], address: Address, told: str):
        super().__init__(
            uvicorn.Config(
                app,  # type: ignore[arg-type]
                loop="asyncio",
                http=Patient,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level=logging.WARNING,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=CONNECTIONS,
                timeout_graceful_shutdown=TO_LEAVE,
            )
        )
        self._door, self._workers, self._address, self._told = door, workers, address, told
        logging.getLogger("uvicorn").handlers[:] = [Log()]

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The same as there, but that a server which has stopped as it was told has not failed."""
        heard = [number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, self.handle_exit) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """From now on requests are answered, and only now that is told."""
        try:
            await super().startup(sockets)
        except OSError as error:  # of two servers that were bound to a port the other was ready first
            raise _taken(self._address, error) from None
        say(self._told)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """A request that comes meanwhile is told that the server stops."""
        self._door.closed = True
        with suppress(OSError):  # of a log that takes no more
            say(f"stopping: {self._door.inside} requests are answered first; Ctrl-C again stops at once")
        for worker in self._workers:
            worker.hurry()
        while self._door.inside and not self.force_exit:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)
