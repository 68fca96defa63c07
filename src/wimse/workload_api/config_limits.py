"""``[limits]`` of the identity server's configuration: what callers may take of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import msgspec

from wimse.errors import ConfigurationError
from wimse.workload_api.settings import ServerSettings

__all__ = ["LimitsConfig"]

_SECONDS: Final = "_seconds"


class LimitsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[limits]``: see `ServerSettings`, which says what each one is and has the same defaults.

    Attributes:
        max_connections: at one time.
        max_connections_per_user: of one user at one time.
        max_streams: calls at one time.
        max_streams_per_process: of one process at one time.
        max_streams_per_user: of one user at one time.
        max_calls_per_second_per_user: calls that one user begins.
        max_request_bytes: largest request message.
        max_requests_per_stream: requests in one call of reflection.
        max_control_frames_per_second: of one connection.
        max_write_buffer_bytes: what may wait for one caller to read it.
        max_executable_bytes: largest file that is hashed.
        request_timeout_seconds: to send a request message.
        send_timeout_seconds: to read a message.
        recheck_interval_seconds: until the caller of an open stream is looked at again.
        max_push_splay_seconds: over how long a change is pushed.
        stop_timeout_seconds: for calls to end when the server stops.
    """

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
    request_timeout_seconds: float = 10
    send_timeout_seconds: float = 10
    recheck_interval_seconds: float = 5
    max_push_splay_seconds: float = 5
    stop_timeout_seconds: float = 2

    def settings(self, socket_mode: int) -> ServerSettings:
        """The settings.

        Args:
            socket_mode: permission bits of the socket, which are no limit and stand elsewhere.

        Raises:
            ConfigurationError: for a value that is out of bounds.
        """
        return ServerSettings(socket_mode=socket_mode, **self._values())

    def _values(self) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name.removesuffix(_SECONDS): _value(name, each) for name, each in given.items()}

    def problems(self) -> Iterator[tuple[str, str]]:
        """Each value that is out of bounds, and why."""
        for name in self.__struct_fields__:
            try:
                LimitsConfig(**{name: getattr(self, name)}).settings(0o600)
            except ConfigurationError as error:
                yield name, error.detail


def _value(name: str, value: float) -> int | timedelta:
    if not name.endswith(_SECONDS):
        return int(value)
    try:
        return timedelta(seconds=value)
    except (OverflowError, ValueError):  # so much, infinitely much, or no number at all
        raise ConfigurationError(f"{name} is not a time that can be waited") from None
