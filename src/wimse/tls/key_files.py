"""A private key for OpenSSL, which Python lets read from a file only: one that has no name, where there is such."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["as_file"]


@contextmanager
def as_file(data: bytes) -> Iterator[str]:
    """The path of a file with `data`, which is gone afterwards.

    On Linux it lies in memory, has no name that another user could open, and vanishes with its descriptor, whatever
    becomes of this process. Elsewhere it is a file of mode 0600 in a directory of mode 0700.
    """
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("wimse", os.MFD_CLOEXEC), "wb") as file:  # noqa: PTH123 - it has no path yet
            file.write(data)
            file.flush()
            path = f"/proc/self/fd/{file.fileno()}"
            if Path(path).exists():  # not in a container without /proc
                yield path
                return
    with tempfile.TemporaryDirectory(prefix="wimse-") as directory:
        named = Path(directory) / "credential.pem"
        descriptor = os.open(named, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - opened with its mode
            file.write(data)
        yield str(named)
