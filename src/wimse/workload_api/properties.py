"""What can be found out about a process beside its number, user, group and executable.

Everything here is read while `wimse.workload_api.caller` makes sure, before and after, that the process is the same.
Only what some entry asks for is looked up.
"""

from __future__ import annotations

import asyncio
import grp
import hashlib
import logging
import os
import pwd
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wimse.workload_api.cgroups import MAX_CGROUP_BYTES, control_group_selectors

__all__ = ["ExecutableHashes", "Status", "properties", "read_proc", "read_status"]

log = logging.getLogger("wimse.workload_api")

_CGROUP_KINDS: Final = frozenset(
    {"systemd:id", "systemd:unit", "docker:container_id", "k8s:pod-uid", "k8s:container-id"}
)
_MAX_CACHED: Final = 1024
_PROC_BYTES: Final = 4096

_FileKey = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Status:
    """Of /proc/PID/status: what the process may do now.

    Attributes:
        uid: its effective user.
        gid: its effective group.
        groups: its supplementary groups.
    """

    uid: int
    gid: int
    groups: tuple[int, ...]


def read_proc(path: str) -> bytes:
    """Read a file of /proc, without pathlib and buffers: ten thousand streams look at their callers every 5 s.

    Raises:
        OSError: when it is not there, or may not be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(descriptor, _PROC_BYTES)
        if len(data) == _PROC_BYTES:
            while more := os.read(descriptor, _PROC_BYTES):
                data += more
        return data
    finally:
        os.close(descriptor)


def read_status(pid: int) -> Status:
    """Read /proc/PID/status.

    Raises:
        OSError: when the process has ended.
        ValueError: when it is not as proc_pid_status(5) says.
    """
    text = read_proc(f"/proc/{pid}/status")
    try:
        # real, effective, saved, file system
        uid, gid = int(_line(text, b"\nUid:")[1]), int(_line(text, b"\nGid:")[1])
        return Status(uid, gid, tuple(map(int, _line(text, b"\nGroups:"))))
    except IndexError as error:
        raise ValueError("/proc/PID/status lacks a line") from error


def _line(text: bytes, name: bytes) -> list[bytes]:
    # The first is the kernel's: "Name" is the first line, and cannot hold a line's end.
    _, found, rest = text.partition(name)
    if not found:
        raise ValueError("/proc/PID/status lacks a line")
    return rest[: rest.find(b"\n")].split()


def properties(pid: int, kinds: frozenset[str], hashes: ExecutableHashes | None = None) -> frozenset[str]:
    """The selectors of these kinds that match a process; those of numbers and of the path are not among them.

    Args:
        pid: the process.
        kinds: what entries ask for.
        hashes: of executables, already computed.

    Raises:
        OSError: when the process has ended or cannot be looked at.
        ValueError: when /proc is not as it should be.
    """
    found: set[str] = set()
    if kinds & {"supplementary_gid", "user", "group"}:
        status = read_status(pid)
        found.update(f"unix:supplementary_gid:{group}" for group in status.groups)
        found.update(_names(status, kinds))
    if "sha256" in kinds and hashes is not None:
        digest = hashes.known(pid)
        found.update([f"unix:sha256:{digest}"] if digest else [])
    if kinds & _CGROUP_KINDS:
        with Path(f"/proc/{pid}/cgroup").open("rb") as file:
            text = file.read(MAX_CGROUP_BYTES + 1)
        if len(text) <= MAX_CGROUP_BYTES:
            found.update(control_group_selectors(text.decode("utf-8", "replace")))
    return frozenset(found)


def _names(status: Status, kinds: frozenset[str]) -> set[str]:
    # As the machine's user database has it now; a number without a name has no selector.
    names: set[str] = set()
    if "user" in kinds:
        try:
            names.add(f"unix:user:{pwd.getpwuid(status.uid).pw_name}")
        except KeyError:
            log.debug("the user of a caller has no name")
    if "group" in kinds:
        try:
            names.add(f"unix:group:{grp.getgrgid(status.gid).gr_name}")
        except KeyError:
            log.debug("the group of a caller has no name")
    return names


class ExecutableHashes:
    """SHA-256 of executables, each computed once, in a thread, one at a time."""

    def __init__(self, max_executable_bytes: int) -> None:
        """Remember hashes.

        Args:
            max_executable_bytes: a larger file has no hash.
        """
        self._limit = max_executable_bytes
        self._known: OrderedDict[_FileKey, str | None] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()

    def known(self, pid: int) -> str | None:
        """The hash of what a process executes, when `prepare` has computed it.

        Raises:
            OSError: when the process has ended or cannot be looked at.
        """
        return self._known.get(_key(Path(f"/proc/{pid}/exe").stat()))

    async def prepare(self, pid: int) -> None:
        """Compute the hash of what a process executes; a failure leaves it unknown."""
        try:
            if _key(Path(f"/proc/{pid}/exe").stat()) in self._known:  # noqa: ASYNC240 - /proc does not wait
                return
            async with self._one_at_a_time:
                # The file that is opened is the one that is executed, whatever its path names meanwhile.
                key, digest = await asyncio.to_thread(self._digest, pid)
        except OSError:
            return
        self._known[key] = digest
        while len(self._known) > _MAX_CACHED:
            self._known.popitem(last=False)

    def _digest(self, pid: int) -> tuple[_FileKey, str | None]:
        with Path(f"/proc/{pid}/exe").open("rb") as file:
            before = os.fstat(file.fileno())
            if before.st_size > self._limit:
                log.warning("an executable of %d bytes is too large for unix:sha256", before.st_size)
                return _key(before), None
            if _key(before) in self._known:  # while this waited
                return _key(before), self._known[_key(before)]
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            after = os.fstat(file.fileno())
        return _key(after), digest if _key(after) == _key(before) else None


def _key(status: os.stat_result) -> _FileKey:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
