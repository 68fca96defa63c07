"""What grpclib does not offer by itself: limits on connections and messages, and calls that rest without a task.

Of grpclib's server its sockets, its connections and their flow control are left; what a call is stands in
`wimse.workload_api.call`. A few private names of grpclib 0.4 are used, only here: `Server._protocol_factory` to see
connections come and go, `Connection._connection` for what h2 can say and do, and a connection's table of frames to
count some of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio import BaseTransport, Transport
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, Protocol, cast

from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.encoding.base import GRPC_CONTENT_TYPE, CodecBase
from grpclib.encoding.proto import ProtoCodec
from grpclib.protocol import EventsProcessor, H2Protocol
from grpclib.protocol import Stream as FlowControlledStream
from grpclib.server import Server
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
)

from wimse.workload_api.call import Call, Method
from wimse.workload_api.caller import ConnectedProcess
from wimse.workload_api.settings import ServerSettings

__all__ = ["BoundedServer", "Bucket", "Calls", "Service"]

log = logging.getLogger("wimse.workload_api")

_SMALLEST_WINDOW_BYTES: Final = 65_535  # RFC 9113 §6.9.2
_CONNECTION_WINDOW_BYTES: Final = 1_048_576
# Frames that cost a caller nothing and us an answer or a task (CVE-2019-9512, CVE-2019-9515, CVE-2023-44487).
_CONTROL_FRAMES: Final = (PingReceived, RemoteSettingsChanged, StreamReset, PriorityUpdated)


_Headers = list[tuple[str, str]]


class Service(Protocol):
    """What is served."""

    def __mapping__(self) -> Mapping[str, Method]:
        """The methods by path."""


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


class Calls(EventsProcessor):
    """The calls of one connection."""

    def __init__(self, owner: _Connection, base: EventsProcessor, served: _Served) -> None:
        """Begin without any; `base` is grpclib's, which this one replaces."""
        super().__init__(base.handler, base.connection)
        self.h2: H2Connection = base.connection._connection  # noqa: SLF001 - see the module's docstring
        self.settings = served.settings
        self.answer_head = served.answer_head
        self._served = served
        self._owner = owner
        self._open: dict[int, Call] = {}
        self._new: list[Call] = []

    @property
    def caller(self) -> ConnectedProcess | None:
        """The process at the other end; None when the connection is gone."""
        return self._owner.process

    def __iter__(self) -> Iterator[Call]:
        return iter(tuple(self._open.values()))

    def process_request_received(self, event: RequestReceived) -> None:
        """Admit a call, or say that it is none."""
        number, headers = event.stream_id, cast("_Headers", event.headers)
        head = dict(headers)
        path = head.get(":path", "")
        method = self._served.methods.get(path)
        refusal = self._served.refusal(head)
        if method is None or refusal is not None:
            self.finish(number, refusal or _trailers("200", Status.UNIMPLEMENTED, "Method not found"))
            return
        call = self._open[number] = Call(self, number, path, method, headers)
        call.admit()
        self._new.append(call)

    def process_data_received(self, event: DataReceived) -> None:
        """Hand on a part of a message."""
        call = self._open.get(event.stream_id)
        size = event.flow_controlled_length or 0
        if call is None:
            self.acknowledge(event.stream_id, size)
        else:
            call.receive(event.data or b"", size)

    def process_stream_ended(self, event: StreamEnded) -> None:
        """Tell a call that its caller sends no more."""
        call = self._open.get(event.stream_id)
        if call is not None:
            call.receive_end()

    def process_stream_reset(self, event: StreamReset) -> None:
        """End a call whose caller has given it up."""
        call = self._open.get(event.stream_id)
        if call is not None:
            call.end()

    def processed(self) -> None:
        """Take that all which came at one time has been handed on."""
        new, self._new = self._new, []
        for call in new:
            call.wait_for_request()

    def close(self, reason: str = "Connection closed") -> None:
        """End all calls, for the connection is gone."""
        super().close(reason)
        for call in self:
            call.end()

    # ------------------------------------------------------------------------------------------ for the calls

    def abort(self) -> None:
        """Close the connection at once."""
        self._owner.abort()

    def encode(self, message: Any, kind: Any) -> bytes:
        """A message as gRPC sends it: one byte for "not compressed", four for the length."""
        text = self._served.codec.encode(message, kind)
        return b"\0" + len(text).to_bytes(4, "big") + text

    def may_write(self, number: int) -> bool:
        """Whether what is written now need not wait, and the call is still there for h2."""
        connection = self.connection
        return connection.write_ready.is_set() and not connection.is_closing() and number in self.h2.streams

    def write(self) -> None:
        """Write what h2 has to send."""
        self.connection.flush()

    def flow_controlled(self, number: int) -> FlowControlledStream:
        """What sends messages in parts, as they are read."""
        stream = self.streams.get(number)
        if stream is None:
            stream = self.streams[number] = self.connection.create_stream(stream_id=number)
        return stream

    def acknowledge(self, number: int, size: int) -> None:
        """Let the caller send so many bytes more."""
        if not self.connection.is_closing():
            self.connection.ack(number, size)

    def finish(self, number: int, trailers: _Headers) -> None:
        """Send the last headers of a call, if it is still there, and take no more of its request."""
        stream = self.h2.streams.get(number)
        if self.connection.is_closing() or stream is None or stream.closed:
            return
        self.h2.send_headers(number, trailers, end_stream=True)
        if not stream.closed:  # for the caller has not ended it
            self.h2.reset_stream(number)
        self.write()

    def forget(self, number: int) -> None:
        """Take a call from the list."""
        self._open.pop(number, None)
        self.streams.pop(number, None)


class _Served:
    """What all connections of a server have in common."""

    def __init__(self, services: Collection[Service], settings: ServerSettings, codec: CodecBase) -> None:
        kind = codec.__content_subtype__
        self.methods = {path: method for service in services for path, method in service.__mapping__().items()}
        self.settings = settings
        self.codec = codec
        self.answer_head = ((":status", "200"), ("content-type", f"{GRPC_CONTENT_TYPE}+{kind}"))
        self._content_types = {f"{GRPC_CONTENT_TYPE}+{kind}", *([GRPC_CONTENT_TYPE] if kind == "proto" else [])}

    def refusal(self, head: Mapping[str, str]) -> _Headers | None:
        """What is answered to a request that is no call of gRPC; None for one that is."""
        if head.get(":method") != "POST":
            return [(":status", "405")]
        if head.get("content-type") not in self._content_types:
            return _trailers("415", Status.UNKNOWN, "Unacceptable content-type header")
        if head.get("te") != "trailers":
            return _trailers("400", Status.UNKNOWN, 'Required "te: trailers" header is missing')
        return None


def _trailers(status: str, grpc_status: Status, message: str) -> _Headers:
    return [(":status", status), ("grpc-status", str(grpc_status.value)), ("grpc-message", message)]


class _Connection(H2Protocol):
    """One connection, with the process at its other end."""

    def __init__(self, base: H2Protocol, others: _Connections, served: _Served) -> None:
        super().__init__(base.handler, base.config, base.h2_config)
        self._others = others
        self._served = served
        self._max_buffer = served.settings.max_write_buffer_bytes
        self._control_frames = Bucket(served.settings.max_control_frames_per_second)
        self._transport: Transport | None = None
        self.process: ConnectedProcess | None = None
        self.calls: Calls

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self._transport = cast("Transport", transport)
        self.processor = self.calls = Calls(self, self.processor, self._served)
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
        self.calls.processed()
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
        self, services: Collection[Service], settings: ServerSettings, *, codec: CodecBase | None = None
    ) -> None:
        """Serve `services`.

        Args:
            services: their methods.
            settings: the limits.
            codec: of the messages; protobuf by default.
        """
        window = max(_SMALLEST_WINDOW_BYTES, settings.max_request_bytes)
        super().__init__(
            (),
            config=Configuration(
                http2_stream_window_size=window,
                http2_connection_window_size=max(_CONNECTION_WINDOW_BYTES, window),
            ),
        )
        self._served = _Served(services, settings, codec or ProtoCodec())
        self._answering: set[asyncio.Task[None]] = set()
        self.connections = _Connections(settings)

    def _protocol_factory(self) -> H2Protocol:
        return _Connection(super()._protocol_factory(), self.connections, self._served)

    def close(self) -> None:
        """Stop listening and close every connection; their calls end."""
        super().close()
        # Since Python 3.12 a server waits for its connections to end, and nobody else ends them.
        for connection in self.connections:
            self._answering.update(call.task for call in connection.calls if call.task is not None)
            connection.close()

    async def wait_closed(self) -> None:
        """Wait until all that was answering has ended."""
        await super().wait_closed()
        if self._answering:
            await asyncio.wait(self._answering)
