"""One connection to each endpoint, shared by all sources of an event loop, and left alone by forked children.

One private name of grpclib 0.4 is used, only here: `Channel._protocol_factory`, to know the transport.
"""

from __future__ import annotations

import asyncio
import os
import threading
from asyncio import BaseTransport
from typing import Final, TypeAlias

from grpclib.client import Channel
from grpclib.exceptions import StreamTerminatedError
from grpclib.protocol import H2Protocol
from h2.exceptions import H2Error

from wimse.workload_api.address import EndpointAddress

__all__ = ["LOST", "Connection"]

# What a call raises whose connection cannot be made or is lost. The last is grpclib's way to say that it was lost while
# the call began: it takes the transport out of the connection (`Connection.close`).
LOST: Final = (OSError, StreamTerminatedError, H2Error, AttributeError)


_Key: TypeAlias = tuple[asyncio.AbstractEventLoop, EndpointAddress, object]


class _Protocol(H2Protocol):
    """A connection whose transport is known."""

    transport: BaseTransport | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        self.transport = transport
        super().connection_made(transport)


class _Channel(Channel):
    def __init__(self, address: EndpointAddress) -> None:
        super().__init__(path=address.path, host=address.host, port=address.port)
        self.protocol: _Protocol | None = None

    def _protocol_factory(self) -> H2Protocol:
        made = super()._protocol_factory()
        self.protocol = _Protocol(made.handler, made.config, made.h2_config)
        return self.protocol


class Connection:
    """A channel to one address in one event loop, with the number of those who use it."""

    def __init__(self, address: EndpointAddress, key: _Key) -> None:
        """Prepare; the first call connects. Use `acquire` instead."""
        self.channel = _Channel(address)
        self.users = 0
        self._key = key

    @classmethod
    def acquire(cls, address: EndpointAddress, *, shared: bool) -> Connection:
        """A connection of the running event loop to `address`, shared or one's own; give it back with `release`."""
        key = (asyncio.get_running_loop(), address, None if shared else object())
        with _lock:
            connection = _open.get(key)
            if connection is None:
                connection = _open[key] = cls(address, key)
            connection.users += 1
            return connection

    def release(self) -> None:
        """Close the connection if nobody else uses it; in a forked child, only forget it."""
        with _lock:
            self.users -= 1
            if self.users or _open.get(self._key) is not self:
                return
            del _open[self._key]
        self.drop()

    def drop(self) -> None:
        """Close what does not answer: open calls end with an error, and the next call connects anew."""
        self.channel.close()

    def abandon(self) -> None:
        """Let go of the socket in a forked child without a word to the server, who is talking to the parent."""
        protocol = self.channel.protocol
        transport = None if protocol is None else protocol.transport
        socket = None if transport is None else transport.get_extra_info("socket")
        if socket is None or socket.fileno() < 0:
            return
        # The number stays taken, so that whoever closes it later closes nothing else; and the event loop's epoll, which
        # parent and child have in common, is not touched.
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.dup2(nothing, socket.fileno(), inheritable=False)
        os.close(nothing)


_open: Final[dict[_Key, Connection]] = {}
_abandoned: Final[list[Connection]] = []  # kept, because their end would write to what is no socket any more
_lock = threading.Lock()


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - whoever held it does not exist in this process
    _lock = threading.Lock()
    for connection in _open.values():
        connection.abandon()
    _abandoned.extend(_open.values())
    _open.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
