"""What systemd is told: ready, reloading, stopping, still alive (sd_notify(3)); nothing where nobody listens."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

__all__ = ["notify", "watchdog_seconds"]

log = logging.getLogger("wimse.workload_api")


def notify(*assignments: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send assignments such as ``READY=1`` to $NOTIFY_SOCKET; give whether they were sent."""
    path = environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    if "RELOADING=1" in assignments:  # Type=notify-reload wants to know when
        assignments = (*assignments, f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(0)  # a manager that does not read must not stop the event loop
            sock.connect("\0" + path[1:] if path.startswith("@") else path)
            sock.sendall("\n".join(assignments).encode("utf-8"))
    except OSError:
        log.warning("systemd cannot be told: %s", " ".join(assignments))
        return False
    return True


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """How often to say that all is well, in seconds: half of what $WATCHDOG_USEC demands. None for never."""
    microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", str(os.getpid()))
    if not (microseconds.isascii() and microseconds.isdecimal()) or int(microseconds) == 0 or pid != str(os.getpid()):
        return None
    return int(microseconds) / 2_000_000
