"""Ports for servers that are told their port."""

from __future__ import annotations

import random
import socket

__all__ = ["free_port"]

# Below the range that the kernel takes the other ends of connections from: no connection of a test that runs at the
# same time can be given the port between here and the server's start.
_FIRST, _LAST = 20_000, 30_000


def free_port() -> int:
    """A port of 127.0.0.1 that nothing uses."""
    while True:
        port = random.SystemRandom().randint(_FIRST, _LAST)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
