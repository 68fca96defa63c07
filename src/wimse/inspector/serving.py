"""The page served by granian, on the loopback interface only."""

from __future__ import annotations

import socket
from collections.abc import Callable

from granian.constants import Interfaces
from granian.server import Server

from wimse.errors import ConfigurationError
from wimse.inspector.app import application

__all__ = ["serve_page"]

_ADDRESS = "127.0.0.1"


def serve_page(port: int, *, ready: Callable[[], None]) -> None:
    """Serve the page until SIGINT or SIGTERM.

    Args:
        port: TCP port on 127.0.0.1.
        ready: called once, when the page is about to be there.

    Raises:
        ConfigurationError: when the port is taken.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_ADDRESS, port))
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {_ADDRESS}:{port}: {error.strerror}") from None
    server = Server(
        f"{application.__module__}:{application.__qualname__}",  # loaded anew in the worker's process
        factory=True,
        address=_ADDRESS,
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
        log_access=False,
    )
    server.on_startup(ready)
    server.serve()
