"""Limits and waits of the shell, for both ends."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta

from wimse.errors import ConfigurationError

__all__ = ["ServerSettings", "SourceSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Limits of the identity server.

    Attributes:
        socket_mode: permission bits of the socket. Default 0o666: who may connect is not who gets an identity.
        max_connections: connections at one time. Default 1024; one above it is closed at once.
        max_connections_per_user: connections at one time of one user. Default 512, so that one does not use them up.
        max_streams: calls at one time, over all connections. Default 4096.
        max_streams_per_process: calls at one time of one process. Default 64.
        max_streams_per_user: calls at one time of one user. Default 2048.
        max_calls_per_second_per_user: calls begun in a second, and as many at once. Default 1000.
        max_request_bytes: largest request message. Default 64 KiB.
        max_requests_per_stream: requests in one call of reflection. Default 256.
        max_control_frames_per_second: PING, SETTINGS, RST_STREAM and PRIORITY frames of one connection, and as many
            at once. Default 1000; then it is closed.
        max_write_buffer_bytes: what may wait for one caller to read it. Default 1 MiB; then its connection is closed.
        max_executable_bytes: largest file that `unix:sha256` is computed of. Default 256 MiB.
        request_timeout: how long a caller may take to send its request message. Default 10 s.
        send_timeout: how long a caller may take to read a message. Default 10 s; then its connection is closed.
        recheck_interval: how often the caller of an open stream is looked at again; within this time a stream
            ends whose caller is gone or has lost its identity. Default 5 s.
        max_push_splay: over how long a change is pushed to many streams at most. Default 5 s; a half millisecond for
            each stream that is open, so that few of them do not wait.
        stop_timeout: how long a server that stops waits for its calls to end. Default 2 s.

    Raises on construction:
        ConfigurationError: for a value that is not positive, or a mode with other bits than 0o777.
    """

    socket_mode: int = 0o666
    max_connections: int = 1024
    max_connections_per_user: int = 512
    max_streams: int = 4096
    max_streams_per_process: int = 64
    max_streams_per_user: int = 2048
    max_calls_per_second_per_user: int = 1000
    max_request_bytes: int = 65_536
    max_requests_per_stream: int = 256
    max_control_frames_per_second: int = 1000
    max_write_buffer_bytes: int = 1_048_576
    max_executable_bytes: int = 268_435_456
    request_timeout: timedelta = timedelta(seconds=10)
    send_timeout: timedelta = timedelta(seconds=10)
    recheck_interval: timedelta = timedelta(seconds=5)
    max_push_splay: timedelta = timedelta(seconds=5)
    stop_timeout: timedelta = timedelta(seconds=2)

    def __post_init__(self) -> None:
        _check_positive(self)
        if self.socket_mode & ~0o777:
            raise ConfigurationError("socket_mode has other bits than the nine permissions")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """Waits of a source.

    Attributes:
        first_snapshot_timeout: how long to wait for the first snapshot. Default 10 s.
        call_timeout: how long a single call, or the first message of a stream, may take. Default 10 s.
        initial_backoff: the wait before the second attempt to reconnect; the first is made at once. Default 0.25 s,
            doubled after each failure.
        max_backoff: the longest wait between attempts. Default 3 s: the endpoint is on the same machine, and after
            an outage its workloads shall be back within 5 s.
        max_cached_audiences: JWT-SVIDs that are kept, each for its audience. Default 256; the oldest is dropped.

    Raises on construction:
        ConfigurationError: for a value that is not positive.
    """

    first_snapshot_timeout: timedelta = timedelta(seconds=10)
    call_timeout: timedelta = timedelta(seconds=10)
    initial_backoff: timedelta = timedelta(seconds=0.25)
    max_backoff: timedelta = timedelta(seconds=3)
    max_cached_audiences: int = 256

    def __post_init__(self) -> None:
        _check_positive(self)


def _check_positive(settings: ServerSettings | SourceSettings) -> None:
    for each in fields(settings):
        value = getattr(settings, each.name)
        zero = timedelta(0) if isinstance(value, timedelta) else 0
        if value <= zero:
            raise ConfigurationError(f"{each.name} must be positive")
