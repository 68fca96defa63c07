"""Who the caller is, as the kernel says: SO_PEERCRED, then /proc.

Rules:

1. The kernel freezes the credentials when the caller connects. A process that was handed the socket afterwards speaks
   as the one that connected; that one must still be alive, and still execute the same file, at each attestation.
2. What was true at the connection's beginning (start time, executable) is fixed then and compared each time, so that
   neither a recycled pid nor an exec after the connection takes over an identity.
3. Where the kernel has SO_PEERPIDFD, it must say that the process that connected has not ended.
4. /proc is read between two readings of the start time: both must be the one that was fixed.
5. The executable must be a file that exists under its path, here, where selectors are written: a deleted or replaced
   one, or one of another mount namespace, proves nothing about that path.
6. Whatever cannot be established is `no_identity`. The reason goes to the log, not to the caller.

A socket shows the connecting process's identifier as our pid namespace sees it: from outside it is 0.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from wimse.errors import Reason, Refused
from wimse.issuer import Caller

__all__ = ["ConnectedProcess", "PeerSocket"]

_SO_PEERPIDFD: Final = 77  # Linux 6.5; Python has no name for it yet
_CREDENTIALS: Final = struct.Struct("iII")  # struct ucred: pid_t, uid_t, gid_t
_START_TIME_FIELD: Final = 22  # proc_pid_stat(5), counted from 1
_FIRST_FIELD_AFTER_NAME: Final = 3


class PeerSocket(Protocol):
    """What is needed of a connected socket; asyncio's TransportSocket has it as well."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        """As `socket.socket.getsockopt`."""


@dataclass(frozen=True, slots=True)
class _Process:
    """What is fixed at the beginning: start time in clock ticks since boot, and the file that is executed."""

    start_time: int
    executable: str
    device: int
    inode: int


def _denied(detail: str) -> Refused:
    return Refused(Reason.NO_IDENTITY, detail)


class ConnectedProcess:
    """The process at the other end of one connection."""

    def __init__(self, peer: PeerSocket) -> None:
        """Take the credentials of the peer and fix what it is now; a failure shows in `attest`.

        Args:
            peer: the server's end of a connected Unix socket.
        """
        self._pidfd: int | None = None
        self._refusal: Refused | None = None
        self._process: _Process | None = None
        self.pid = 0
        try:
            raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            self.pid, self._uid, self._gid = _CREDENTIALS.unpack(raw)
            if self.pid <= 0:
                raise _denied("the caller is in another pid namespace")
            self._pidfd = _peer_pidfd(peer)
            self._process = self._look()
        except Refused as refused:
            self._refusal = refused
        except (OSError, struct.error):
            self._refusal = _denied("the kernel does not say who the caller is")

    def attest(self) -> Caller:
        """Say who the caller is, after looking again.

        Raises:
            Refused: `no_identity` when the process has ended, executes another file than when it connected, or
                cannot be looked at.
        """
        if self._refusal is not None or self._process is None:
            raise self._refusal or _denied("the kernel does not say who the caller is")
        if self._look() != self._process:
            raise _denied("the caller is not the process that connected, or executes another file")
        return Caller(pid=self.pid, uid=self._uid, gid=self._gid, executable=self._process.executable)

    def close(self) -> None:
        """Let go of the process; `attest` refuses from now on. May be called twice."""
        self._refusal = _denied("the connection is closed")
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def _look(self) -> _Process:
        try:
            start_time = _start_time(self.pid)
            executable = str(Path(f"/proc/{self.pid}/exe").readlink())
            # The kernel appends this to what was unlinked; a file that is really called so is refused with it.
            if executable.endswith(" (deleted)"):
                raise _denied("the caller's executable has been deleted")
            running, named = Path(f"/proc/{self.pid}/exe").stat(), Path(executable).stat()
            still_the_same = _start_time(self.pid) == start_time
        except OSError:
            raise _denied("the caller has ended or cannot be looked at") from None
        if not still_the_same or self._has_ended():
            raise _denied("the caller has ended")
        if (running.st_dev, running.st_ino) != (named.st_dev, named.st_ino):
            raise _denied("the caller's executable is not the file of that path here")
        return _Process(start_time, executable, running.st_dev, running.st_ino)

    def _has_ended(self) -> bool:
        if self._pidfd is None:
            return False
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)  # pidfd_open(2): readable when the process has ended
        return bool(poll.poll(0))


def _peer_pidfd(peer: PeerSocket) -> int | None:
    try:
        raw = peer.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD, 4)
    except OSError:
        return None  # an older kernel, or the process has been reaped: then /proc does not show its start time
    return int.from_bytes(raw, "little" if struct.pack("=H", 1)[0] else "big")


def _start_time(pid: int) -> int:
    line = Path(f"/proc/{pid}/stat").read_bytes()
    # The name in parentheses may hold anything, parentheses and spaces too: count from the last one.
    fields = line[line.rindex(b")") + 1 :].split()
    return int(fields[_START_TIME_FIELD - _FIRST_FIELD_AFTER_NAME])
