"""Who the caller is, as the kernel says: SO_PEERCRED and a pidfd, then /proc.

Rules:

1. The kernel freezes the credentials when the caller connects. A process that was handed the socket afterwards speaks
   as the one that connected; that one must still be alive, and still execute the same file, at each attestation.
2. What was true at the connection's beginning (executable, mount namespace) is fixed then and compared each time, so
   that an exec after the connection takes over no identity.
3. A pidfd is held as long as the connection: it must say that the process has not ended. Where the kernel has
   SO_PEERPIDFD (6.5) it is that of the process that connected; else it is opened at once, and from then on the same.
4. The process's directory in /proc is opened once, while the pidfd says so. It stays that of this process: whoever gets
   the pid after it has another one. It is read between two questions to the pidfd, and what selectors ask for beside it
   between two such looks; both must show what was fixed.
5. The effective user and group must still be those of the connection: who gives a user up gives up its identity. They
   are the owner of that directory, whatever else of it belongs to root (`task_dump_owner` of the kernel).
6. The executable must be a file that exists under its path. A deleted or replaced one is refused. A caller in another
   mount namespace, such as a container, has a path only where that path names the same file here.
7. Whatever cannot be established is `no_identity`. The reason goes to the log, not to the caller.

A socket shows the connecting process's identifier as our pid namespace sees it: from outside it is 0, which is refused.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys
from dataclasses import replace
from typing import Final, NamedTuple, Protocol

from wimse.errors import Reason, Refused
from wimse.issuer import Caller
from wimse.workload_api.properties import ExecutableHashes, properties

__all__ = ["ConnectedProcess", "PeerSocket"]

_SO_PEERPIDFD: Final = 77  # Linux 6.5; Python has no name for it yet
_CREDENTIALS: Final = struct.Struct("iII")  # struct ucred: pid_t, uid_t, gid_t
_NO_KINDS: Final[frozenset[str]] = frozenset()
_FROM_THE_LOOK: Final = frozenset({"pid", "uid", "gid", "path"})


class PeerSocket(Protocol):
    """What is needed of a connected socket; asyncio's TransportSocket has it as well."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        """As `socket.socket.getsockopt`."""


class _Process(NamedTuple):
    """What is fixed at the beginning: the file that is executed, and where."""

    executable: str
    device: int
    inode: int
    mount_namespace: str


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
        self._proc: int | None = None
        self._end = select.poll()  # of the process
        self._refusal: Refused | None = None
        self._process: _Process | None = None
        self._caller: Caller | None = None
        self.pid = 0
        self.uid: int | None = None
        try:
            raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            self.pid, self._uid, self._gid = _CREDENTIALS.unpack(raw)
            self.uid = self._uid
            if self.pid <= 0:
                raise _denied("the caller is in another pid namespace")
            self._pidfd = _pidfd(peer, self.pid)
            self._end.register(self._pidfd, select.POLLIN)  # pidfd_open(2): readable when the process has ended
            self._proc = _open_directory(self.pid)
            self._our_namespace = os.readlink("/proc/self/ns/mnt")  # noqa: PTH115 - see read_proc
            self._process = self._look()
            self._caller = Caller(pid=self.pid, uid=self._uid, gid=self._gid, executable=self._process.executable)
        except Refused as refused:
            self._refusal = refused
        except (OSError, struct.error):
            self._refusal = _denied("the kernel does not say who the caller is")

    def attest(self, kinds: frozenset[str] = _NO_KINDS, hashes: ExecutableHashes | None = None) -> Caller:
        """Say who the caller is, after looking again.

        Args:
            kinds: of selectors; only these of its properties are looked up.
            hashes: of executables, for the kind `sha256`.

        Raises:
            Refused: `no_identity` when the process has ended, executes another file or is another user than when it
                connected, or cannot be looked at.
        """
        if self._refusal is not None or self._caller is None:
            raise self._refusal or _denied("the kernel does not say who the caller is")
        self._look_again()
        if kinds <= _FROM_THE_LOOK:
            return self._caller
        try:
            found = properties(self.pid, kinds, hashes)
        except (OSError, ValueError):
            raise _denied("the caller has ended or cannot be looked at") from None
        self._look_again()
        return replace(self._caller, properties=found)

    def _look_again(self) -> None:
        if self._look() != self._process:
            raise _denied("the caller is not the process that connected, or executes another file")

    def close(self) -> None:
        """Let go of the process; `attest` refuses from now on. May be called twice."""
        self._refusal = _denied("the connection is closed")
        for descriptor in (self._pidfd, self._proc):
            if descriptor is not None:
                os.close(descriptor)
        self._pidfd = self._proc = None

    def _look(self) -> _Process:
        proc = self._proc
        if proc is None or self._has_ended():
            raise _denied("the caller has ended")
        try:
            namespace = os.readlink("ns/mnt", dir_fd=proc)
            executable = os.readlink("exe", dir_fd=proc)
            # The kernel appends this to what was unlinked; a file that is really called so is refused with it.
            if executable.endswith(" (deleted)"):
                raise _denied("the caller's executable has been deleted")
            running = os.stat("exe", dir_fd=proc)
            here = _is_file(executable, running)
            elsewhere = namespace != self._our_namespace and _is_file(f"root{executable}", running, proc)
            owner = os.fstat(proc)
        except OSError:
            raise _denied("the caller has ended or cannot be looked at") from None
        if self._has_ended():
            raise _denied("the caller has ended")
        if not (here or elsewhere):
            raise _denied("the caller's executable is not the file of that path")
        if (owner.st_uid, owner.st_gid) != (self._uid, self._gid):
            raise _denied("the caller is another user or group than when it connected")
        return _Process(executable if here else "", running.st_dev, running.st_ino, namespace)

    def _has_ended(self) -> bool:
        return self._pidfd is None or bool(self._end.poll(0))


def _pidfd(peer: PeerSocket, pid: int) -> int:
    """A file descriptor that stays with the process that connected; OSError when there is none to be had."""
    try:
        raw = peer.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD, 4)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:  # the process has been reaped
            raise _denied("the caller has ended") from None
    else:
        return int.from_bytes(raw, sys.byteorder)
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        reason = "the caller has ended" if error.errno == errno.ESRCH else "this kernel gives no pidfd (Linux 5.3)"
        raise _denied(reason) from None


def _open_directory(pid: int) -> int:
    try:
        return os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        raise _denied("the caller has ended or cannot be looked at") from None


def _is_file(path: str, file: os.stat_result, directory: int | None = None) -> bool:
    try:
        named = os.stat(path, dir_fd=directory)
    except OSError:
        return False
    return (named.st_dev, named.st_ino) == (file.st_dev, file.st_ino)
