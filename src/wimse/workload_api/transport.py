"""What grpclib does not offer by itself: limits on connections and messages, and the connection behind a call.

Two private names of grpclib 0.4 are used, only here: `Stream._stream` to read a message of bounded size, and
`Server._protocol_factory` to see connections come and go. asyncio's `transport.get_protocol()` leads from a call to its
connection.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import BaseTransport
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError, Message
from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.protocol import H2Protocol
from grpclib.server import Server, Stream

from wimse.workload_api.caller import ConnectedProcess
from wimse.workload_api.settings import ServerSettings

if TYPE_CHECKING:
    from grpclib._typing import IServable

__all__ = ["BoundedServer", "connected_process", "receive"]

log = logging.getLogger("wimse.workload_api")

_MESSAGE_HEAD_BYTES: Final = 5  # gRPC over HTTP/2, Length-Prefixed-Message: one flag, four bytes of length
_SMALLEST_WINDOW_BYTES: Final = 65_535  # RFC 9113 §6.9.2
_CONNECTION_WINDOW_BYTES: Final = 1_048_576


class _Connection(H2Protocol):
    """One connection, with the process at its other end."""

    def __init__(self, base: H2Protocol, open_connections: set[_Connection], limit: int) -> None:
        super().__init__(base.handler, base.config, base.h2_config)
        self._open_connections = open_connections
        self._limit = limit
        self._transport: BaseTransport | None = None
        self.process: ConnectedProcess | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self._transport = transport
        if len(self._open_connections) >= self._limit:
            log.warning("a connection is refused: there are %d already", self._limit)
            transport.close()
            return
        self._open_connections.add(self)
        self.process = ConnectedProcess(transport.get_extra_info("socket"))

    def connection_lost(self, exc: BaseException | None) -> None:
        self._open_connections.discard(self)
        if self.process is not None:
            self.process.close()
        super().connection_lost(exc)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class BoundedServer(Server):
    """grpclib's server with a limit on connections, which closes them all when it closes."""

    def __init__(self, handlers: Collection[IServable], settings: ServerSettings) -> None:
        """Serve `handlers`.

        Args:
            handlers: the services.
            settings: the limits.
        """
        window = max(_SMALLEST_WINDOW_BYTES, settings.max_request_bytes)
        super().__init__(
            handlers,
            config=Configuration(
                http2_stream_window_size=window,
                http2_connection_window_size=max(_CONNECTION_WINDOW_BYTES, window),
            ),
        )
        self._limit = settings.max_connections
        self._connections: set[_Connection] = set()

    def _protocol_factory(self) -> H2Protocol:
        return _Connection(super()._protocol_factory(), self._connections, self._limit)

    def close(self) -> None:
        """Stop listening and close every connection; their calls end."""
        super().close()
        # Since Python 3.12 a server waits for its connections to end, and nobody else ends them.
        for connection in tuple(self._connections):
            connection.close()


def connected_process(stream: Stream[Any, Any]) -> ConnectedProcess:
    """The process behind a call.

    Raises:
        GRPCError: `UNAVAILABLE` when the connection is already gone.
    """
    protocol = stream.peer._transport.get_protocol()  # noqa: SLF001 - see the module's docstring
    if not isinstance(protocol, _Connection) or protocol.process is None:
        raise GRPCError(Status.UNAVAILABLE, "connection closed")
    return protocol.process


async def receive(stream: Stream[Any, Any], kind: type[Message], settings: ServerSettings) -> Any:
    """Read the request message of a call with one request.

    Args:
        stream: the call.
        kind: the message's type.
        settings: its size and the time that the caller has to send it.

    Returns:
        The message, of type `kind`.

    Raises:
        GRPCError: `RESOURCE_EXHAUSTED` above the size, before the message is read; `DEADLINE_EXCEEDED`;
            `UNIMPLEMENTED` for a compressed message; `INVALID_ARGUMENT` when it is missing or malformed.
    """
    raw = stream._stream  # noqa: SLF001 - see the module's docstring
    try:
        async with asyncio.timeout(settings.request_timeout.total_seconds()):
            head = await raw.recv_data(_MESSAGE_HEAD_BYTES)
            if not head:
                raise GRPCError(Status.INVALID_ARGUMENT, "message_malformed")
            length = int.from_bytes(head[1:], "big")
            if head[0]:
                raise GRPCError(Status.UNIMPLEMENTED, "compressed messages are not supported")
            if length > settings.max_request_bytes:
                raise GRPCError(Status.RESOURCE_EXHAUSTED, "document_too_large")
            return kind.FromString(await raw.recv_data(length))
    except TimeoutError:
        raise GRPCError(Status.DEADLINE_EXCEEDED, "the request message did not arrive in time") from None
    except (DecodeError, AssertionError):  # grpclib asserts that a message is as long as it says
        raise GRPCError(Status.INVALID_ARGUMENT, "message_malformed") from None
