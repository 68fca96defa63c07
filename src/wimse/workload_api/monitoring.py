"""A small HTTP endpoint for those who watch: `/live`, `/ready`, `/metrics`. Off unless an address is given.

It listens on a loopback address only, answers GET and HEAD, reads nothing but a short head, and closes. It knows
neither identities nor keys, and it is another socket than that of the Workload API and that of the operator.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Callable

from wimse.errors import ConfigurationError

__all__ = ["monitoring", "parse_listen_address"]

_MAX_HEAD_BYTES = 8192
_TIMEOUT_SECONDS = 5.0
_MAX_CONNECTIONS = 16
_PLAIN = "text/plain; charset=utf-8"
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_PHRASES = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


def parse_listen_address(text: str) -> tuple[str, int]:
    """Read ``127.0.0.1:9464`` or ``[::1]:9464``.

    Raises:
        ConfigurationError: for anything else, and for an address that is not loopback.
    """
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    except ValueError:
        raise ConfigurationError("the address to monitor at is an IP address and a port: 127.0.0.1:9464") from None
    if not address.is_loopback:
        raise ConfigurationError("the address to monitor at must be loopback, such as 127.0.0.1:9464")
    if not (port.isascii() and port.isdecimal()) or not 0 < int(port) <= 65_535:
        raise ConfigurationError("the address to monitor at needs a port from 1 to 65535")
    return str(address), int(port)


@contextlib.asynccontextmanager
async def monitoring(
    address: tuple[str, int], *, ready: Callable[[], bool], metrics: Callable[[], bytes] | None
) -> AsyncIterator[None]:
    """Answer inside the `async with`.

    Args:
        address: as `parse_listen_address` gives it.
        ready: whether the server does what it is there for.
        metrics: the text for `/metrics`; None for 404.

    Raises:
        ConfigurationError: when the address cannot be listened on.
    """
    connections: set[asyncio.StreamWriter] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                if len(connections) <= _MAX_CONNECTIONS:
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(_response(head, ready, metrics))
                    await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            connections.discard(writer)
            writer.close()

    try:
        server = await asyncio.start_server(answer, *address, limit=_MAX_HEAD_BYTES)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen at {address[0]}:{address[1]} to be monitored: {error.strerror}"
        ) from None
    try:
        yield
    finally:
        server.close()
        for writer in tuple(connections):
            writer.close()
        await server.wait_closed()


def _response(head: bytes, ready: Callable[[], bool], metrics: Callable[[], bytes] | None) -> bytes:
    method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    status, kind, body = 404, _PLAIN, b"not found\n"
    if method not in {b"GET", b"HEAD"}:
        status, body = 405, b"method not allowed\n"
    elif rest.startswith(b"/live "):
        status, body = 200, b"live\n"  # this event loop turns
    elif rest.startswith(b"/ready "):
        status, body = (200, b"ready\n") if ready() else (503, b"not ready\n")
    elif rest.startswith(b"/metrics ") and metrics is not None:
        status, kind, body = 200, _PROMETHEUS, metrics()
    fields = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n"
    start = f"HTTP/1.1 {status} {_PHRASES[status]}\r\n{fields}\r\n".encode("ascii")
    return start + (b"" if method == b"HEAD" else body)
