"""What grpclib does not offer by itself: limits on connections and messages, and the connection behind a call.

A few private names of grpclib 0.4 are used, only here: `Stream._stream` to read a message of bounded size and to write
one at once, `Server._protocol_factory` to see connections come and go, and a connection's table of frames to count some
of them. asyncio's `transport.get_protocol()` leads from a call to its connection.
"""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio import BaseTransport, Transport
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, Final, cast

from google.protobuf.message import DecodeError, Message
from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.protocol import H2Protocol
from grpclib.protocol import Stream as RawStream
from grpclib.server import Server, Stream
from h2.events import PingReceived, PriorityUpdated, RemoteSettingsChanged, StreamReset

from wimse.workload_api.caller import ConnectedProcess
from wimse.workload_api.settings import ServerSettings

if TYPE_CHECKING:
    from grpclib._typing import IServable

__all__ = ["BoundedServer", "Bucket", "abort", "connected_process", "receive", "receive_many", "send_at_once"]

log = logging.getLogger("wimse.workload_api")

_MESSAGE_HEAD_BYTES: Final = 5  # gRPC over HTTP/2, Length-Prefixed-Message: one flag, four bytes of length
_SMALLEST_WINDOW_BYTES: Final = 65_535  # RFC 9113 §6.9.2
_CONNECTION_WINDOW_BYTES: Final = 1_048_576
_ANSWER_HEAD: Final = ((":status", "200"), ("content-type", "application/grpc+proto"))
# Frames that cost a caller nothing and us an answer or a task (CVE-2019-9512, CVE-2019-9515, CVE-2023-44487).
_CONTROL_FRAMES: Final = (PingReceived, RemoteSettingsChanged, StreamReset, PriorityUpdated)


class Bucket:
    """So many a second, and as many at once."""

    def __init__(self, per_second: float) -> None:
        """Begin full."""
        self._per_second = self._tokens = float(per_second)
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Take one, if there is one; `now` is a monotonic time in seconds."""
        self._tokens = min(self._per_second, self._tokens + max(0.0, now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class _Connection(H2Protocol):
    """One connection, with the process at its other end."""

    def __init__(self, base: H2Protocol, others: _Connections, settings: ServerSettings) -> None:
        super().__init__(base.handler, base.config, base.h2_config)
        self._others = others
        self._max_buffer = settings.max_write_buffer_bytes
        self._control_frames = Bucket(settings.max_control_frames_per_second)
        self._transport: Transport | None = None
        self.process: ConnectedProcess | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self._transport = cast("Transport", transport)
        process = ConnectedProcess(transport.get_extra_info("socket"))
        if not self._others.admit(self, process.uid):
            process.close()
            self._transport.close()
            return
        self.process = process
        for event in _CONTROL_FRAMES:
            inner = cast("Callable[[Any], None]", self.processor.processors[event])
            self.processor.processors[event] = self._counting(inner)

    def _counting(self, inner: Callable[[Any], None]) -> Callable[[Any], None]:
        def count(event: Any) -> None:
            if self._control_frames.take(time.monotonic()):
                inner(event)
            else:
                self._punish("it sends too many control frames")

        return count

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        super().data_received(data)
        # What h2 answers by itself (to a PING, to SETTINGS) is not held back by flow control.
        if transport.get_write_buffer_size() > self._max_buffer:
            self._punish("it does not read what it is answered")

    def _punish(self, why: str) -> None:
        if self._transport is not None and not self._transport.is_closing():
            log.warning("the connection of process %d is closed: %s", self.process.pid if self.process else 0, why)
            self._transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.process is not None:
            self._others.forget(self, self.process.uid)
            self.process.close()
        super().connection_lost(exc)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class _Connections:
    """All connections, counted."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._open: set[_Connection] = set()
        self._by_user: Counter[int | None] = Counter()

    def admit(self, connection: _Connection, uid: int | None) -> bool:
        if len(self._open) >= self._settings.max_connections:
            log.warning("a connection is refused: there are %d already", len(self._open))
            return False
        if self._by_user[uid] >= self._settings.max_connections_per_user:
            log.warning("a connection is refused: its user has %d already", self._by_user[uid])
            return False
        self._open.add(connection)
        self._by_user[uid] += 1
        return True

    def forget(self, connection: _Connection, uid: int | None) -> None:
        self._open.discard(connection)
        self._by_user[uid] -= 1
        if not self._by_user[uid]:
            del self._by_user[uid]

    def __iter__(self) -> Iterator[_Connection]:
        return iter(tuple(self._open))

    def __len__(self) -> int:
        return len(self._open)


class BoundedServer(Server):
    """grpclib's server with a limit on connections, which closes them all when it closes."""

    def __init__(
        self, handlers: Collection[IServable], settings: ServerSettings, *, codec: CodecBase | None = None
    ) -> None:
        """Serve `handlers`.

        Args:
            handlers: the services.
            settings: the limits.
            codec: of the messages; protobuf by default.
        """
        window = max(_SMALLEST_WINDOW_BYTES, settings.max_request_bytes)
        super().__init__(
            handlers,
            codec=codec,
            config=Configuration(
                http2_stream_window_size=window,
                http2_connection_window_size=max(_CONNECTION_WINDOW_BYTES, window),
            ),
        )
        self._settings = settings
        self.connections = _Connections(settings)

    def _protocol_factory(self) -> H2Protocol:
        return _Connection(super()._protocol_factory(), self.connections, self._settings)

    def close(self) -> None:
        """Stop listening and close every connection; their calls end."""
        super().close()
        # Since Python 3.12 a server waits for its connections to end, and nobody else ends them.
        for connection in self.connections:
            connection.close()


def connected_process(stream: Stream[Any, Any]) -> ConnectedProcess:
    """The process behind a call.

    Raises:
        GRPCError: `UNAVAILABLE` when the connection is already gone.
    """
    protocol = _connection(stream)
    if protocol is None or protocol.process is None:
        raise GRPCError(Status.UNAVAILABLE, "connection closed")
    return protocol.process


def abort(stream: Stream[Any, Any]) -> None:
    """Close the connection of a call at once, with all that it was to be sent."""
    protocol = _connection(stream)
    if protocol is not None:
        protocol.abort()


def _connection(stream: Stream[Any, Any]) -> _Connection | None:
    protocol = stream.peer._transport.get_protocol()  # noqa: SLF001 - see the module's docstring
    return protocol if isinstance(protocol, _Connection) else None


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
    message = await _receive(stream, kind, settings)
    if message is None:
        raise GRPCError(Status.INVALID_ARGUMENT, "message_malformed")
    return message


async def receive_many(stream: Stream[Any, Any], kind: type[Message], settings: ServerSettings) -> AsyncIterator[Any]:
    """Read the request messages of a call until its caller has sent the last one; as `receive`.

    Raises:
        GRPCError: also `RESOURCE_EXHAUSTED` after `max_requests_per_stream` of them.
    """
    for _ in range(settings.max_requests_per_stream):
        message = await _receive(stream, kind, settings)
        if message is None:
            return
        yield message
    raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many requests in one call")


def send_at_once(stream: Stream[Any, Any], message: Message) -> bool:
    """Send a message without waiting, with the head of the answer in the same write where it is the first.

    Returns:
        Whether it is sent. It is not where it would have to wait for its reader, or is longer than one frame.

    Raises:
        H2Error: when the call has ended.
    """
    raw = stream._stream  # noqa: SLF001 - see the module's docstring
    h2, number, transport = raw._h2_connection, raw.id, raw._transport  # noqa: SLF001
    if not raw.connection.write_ready.is_set() or transport.is_closing() or number not in h2.streams:
        return False
    text = message.SerializeToString()
    data = b"\0" + len(text).to_bytes(_MESSAGE_HEAD_BYTES - 1, "big") + text
    if len(data) > min(h2.local_flow_control_window(number), h2.max_outbound_frame_size):
        return False
    if not stream._send_initial_metadata_done:  # noqa: SLF001
        h2.send_headers(number, _ANSWER_HEAD)
        stream._send_initial_metadata_done = True  # noqa: SLF001
    h2.send_data(number, data)
    stream._send_message_done = True  # noqa: SLF001
    transport.write(h2.data_to_send())
    return True


async def _receive(stream: Stream[Any, Any], kind: type[Message], settings: ServerSettings) -> Any:
    raw = stream._stream  # noqa: SLF001 - see the module's docstring
    try:
        if raw.buffer._eof:  # noqa: SLF001 - all of it is here
            return await _read(raw, kind, settings)
        async with asyncio.timeout(settings.request_timeout.total_seconds()):
            return await _read(raw, kind, settings)
    except TimeoutError:
        raise GRPCError(Status.DEADLINE_EXCEEDED, "the request message did not arrive in time") from None
    except (DecodeError, AssertionError):  # grpclib asserts that a message is as long as it says
        raise GRPCError(Status.INVALID_ARGUMENT, "message_malformed") from None


async def _read(raw: RawStream, kind: type[Message], settings: ServerSettings) -> Any:
    head = await raw.recv_data(_MESSAGE_HEAD_BYTES)
    if not head:
        return None
    length = int.from_bytes(head[1:], "big")
    if head[0]:
        raise GRPCError(Status.UNIMPLEMENTED, "compressed messages are not supported")
    if length > settings.max_request_bytes:
        raise GRPCError(Status.RESOURCE_EXHAUSTED, "document_too_large")
    return kind.FromString(await raw.recv_data(length))
