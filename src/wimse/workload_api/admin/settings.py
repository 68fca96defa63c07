"""Limits of the admin socket and of the file of entries."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta

from wimse.errors import ConfigurationError
from wimse.workload_api.settings import ServerSettings

__all__ = ["AdminSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSettings:
    """Limits of the admin socket and of the file of entries.

    Attributes:
        max_connections: at one time. Default 32.
        max_calls: at one time. Default 16.
        max_request_bytes: largest request. Default 128 KiB.
        max_page_entries: entries in one page of a list. Default 500.
        max_page_bytes: where a page ends, too. Default 1 MiB; each has one entry at least.
        request_timeout: how long a caller may take to send its request. Default 10 s.
        stop_timeout: how long a server that stops waits for changes to end. Default 10 s.
        poll_interval: how often a watched file is looked at. Default 2 s.
        retry_interval: how often what was refused of a watched file is tried again. Default 10 s.

    Raises on construction:
        ConfigurationError: for a value that is not positive.
    """

    max_connections: int = 32
    max_calls: int = 16
    max_request_bytes: int = 131_072
    max_page_entries: int = 500
    max_page_bytes: int = 1_048_576
    request_timeout: timedelta = timedelta(seconds=10)
    stop_timeout: timedelta = timedelta(seconds=10)
    poll_interval: timedelta = timedelta(seconds=2)
    retry_interval: timedelta = timedelta(seconds=10)

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value <= (timedelta(0) if isinstance(value, timedelta) else 0):
                raise ConfigurationError(f"{each.name} must be positive")

    @property
    def transport(self) -> ServerSettings:
        """The limits of connections and messages."""
        return ServerSettings(
            socket_mode=0o600,
            max_connections=self.max_connections,
            max_connections_per_user=self.max_connections,
            max_request_bytes=self.max_request_bytes,
            request_timeout=self.request_timeout,
        )
