"""Sockets of servers: made where nobody can put another one in their place, removed by who made them."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from pathlib import Path
from typing import Final

from wimse.errors import ConfigurationError

__all__ = ["bind_socket", "remove_socket"]

log = logging.getLogger("wimse.workload_api")

_PROBE_SECONDS: Final = 1.0


def bind_socket(path: str, mode: int) -> tuple[socket.socket, tuple[int, int]]:
    """Make a socket; its file is there with `mode` before anybody can connect, because it does not listen yet.

    Args:
        path: of the socket, checked by `check_socket_path`.
        mode: permission bits.

    Returns:
        The socket, and device and inode of its file.

    Raises:
        ConfigurationError: see `IdentityServer.listening`.
    """
    _check_directory(Path(path).parent)
    _clear(Path(path))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        made = os.lstat(path)
        Path(path).chmod(mode, follow_symlinks=True)
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"cannot make the socket {path}: {error.strerror}") from None
    return listener, (made.st_dev, made.st_ino)


def _check_directory(directory: Path) -> None:
    try:
        status = directory.stat()
    except OSError as error:
        advice = f"; make it first: install -d -m 0755 {directory}" if error.errno == errno.ENOENT else ""
        raise ConfigurationError(f"the directory {directory} of the socket: {error.strerror}{advice}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"{directory}, where the socket is to be, is not a directory; choose another path")
    real = directory.resolve()
    # Whoever may rename in one of these could put a socket of his own in the place of ours.
    for each in (real, *real.parents):
        _check_writers(each, each.stat())


def _check_writers(directory: Path, status: os.stat_result) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigurationError(
            f"the directory {directory} of the socket belongs to another user, who could replace the socket; "
            "choose one that belongs to root or to the server's user, such as /run/wimse"
        )
    if status.st_mode & stat.S_ISVTX:
        return
    if status.st_mode & stat.S_IWOTH:
        raise ConfigurationError(
            f"others may write to the directory {directory} of the socket, which is not sticky; chmod o-w it"
        )
    if status.st_mode & stat.S_IWGRP and status.st_gid not in (0, os.getegid()):
        raise ConfigurationError(
            f"a group may write to the directory {directory} of the socket, which is not sticky; chmod g-w it"
        )


def _clear(path: Path) -> None:
    """Remove a socket that nobody listens on; refuse anything else that is there."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"the socket {path}: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise ConfigurationError(f"{path} is there and is not a socket; move it away, or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        code = probe.connect_ex(str(path))
    if code not in (errno.ECONNREFUSED, errno.ENOENT):
        raise ConfigurationError(f"a server is listening on {path} already; stop it first, or choose another path")
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot remove the stale socket {path}: {error.strerror}") from None


def remove_socket(path: Path, identity: tuple[int, int]) -> None:
    """Remove our socket, and not one that another server has put in its place."""
    try:
        status = path.lstat()
        if (status.st_dev, status.st_ino) == identity:
            path.unlink()
    except FileNotFoundError:
        return
    except OSError:
        log.warning("the socket %s cannot be removed", path)
