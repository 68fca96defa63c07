from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wimse.errors import Reason, Refused
from wimse.workload_api.caller import ConnectedProcess

# Connects, says so, and then does what its input says: `exec FILE` or nothing.
CALLER = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
os.set_inheritable(s.fileno(), True)
line = sys.stdin.readline().split()
if line and line[0] == "exec":
    os.execv(line[1], [line[1], "30"])
"""


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s.sock"))
        sock.listen()
        yield sock


def start(listener: socket.socket, executable: str = sys.executable) -> tuple[subprocess.Popen[bytes], socket.socket]:
    process = subprocess.Popen([executable, "-c", CALLER, listener.getsockname()], stdin=subprocess.PIPE)
    connection, _ = listener.accept()
    return process, connection


def stop(process: subprocess.Popen[bytes], *things: socket.socket | ConnectedProcess) -> None:
    process.kill()
    process.communicate()
    for thing in things:
        thing.close()


def denied(process: ConnectedProcess) -> str:
    with pytest.raises(Refused) as refusal:
        process.attest()
    assert refusal.value.reason is Reason.NO_IDENTITY
    return refusal.value.detail


def test_caller_is_who_the_kernel_says(listener: socket.socket) -> None:
    process, connection = start(listener)
    connected = ConnectedProcess(connection)
    caller = connected.attest()
    assert (caller.pid, caller.uid, caller.gid) == (process.pid, os.getuid(), os.getgid())
    assert caller.executable == str(Path(f"/proc/{process.pid}/exe").readlink())
    stop(process, connected, connection)


def test_caller_that_has_ended_is_denied(listener: socket.socket) -> None:
    """IS-05: before the first look, and between two."""
    process, connection = start(listener)
    connected = ConnectedProcess(connection)
    connected.attest()
    stop(process)
    assert "ended" in denied(connected)
    late = ConnectedProcess(connection)
    assert "ended" in denied(late)
    for each in (connected, late, connection):
        each.close()


def test_zombie_is_denied(listener: socket.socket) -> None:
    """IS-05: a process that has ended and was not waited for still stands in /proc."""
    process, connection = start(listener)
    connected = ConnectedProcess(connection)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert "ended" in denied(connected)
    stop(process, connected, connection)


def test_recycled_pid_is_denied(listener: socket.socket) -> None:
    """IS-05: another process under the pid has another start time."""
    process, connection = start(listener)
    connected = ConnectedProcess(connection)
    connected.attest()
    other, other_connection = start(listener)
    connected.pid = other.pid  # as if the kernel had given it again
    assert "not the process that connected" in denied(connected)
    stop(process, connected, connection)
    stop(other, other_connection)


def test_exec_after_the_connection_is_denied(listener: socket.socket) -> None:
    """IS-06: the identity of another program is not taken over with its pid."""
    process, connection = start(listener)
    connected = ConnectedProcess(connection)
    before = connected.attest()
    assert process.stdin is not None
    process.stdin.write(f"exec {shutil.which('sleep')}\n".encode())
    process.stdin.flush()
    while str(Path(f"/proc/{process.pid}/exe").readlink()) == before.executable:
        pass
    assert "executes another file" in denied(connected)
    stop(process, connected, connection)


def test_deleted_or_replaced_executable_is_denied(listener: socket.socket, tmp_path: Path) -> None:
    """IS-09: what is under the path now is not what runs."""
    copy = tmp_path / "python"
    for replace in (False, True):
        shutil.copy(str(Path("/proc/self/exe").readlink()), copy)
        process, connection = start(listener, str(copy))
        connected = ConnectedProcess(connection)
        assert connected.attest().executable == str(copy)
        copy.unlink()
        if replace:
            copy.write_text("another file")
        assert "deleted" in denied(connected)
        stop(process, connected, connection)


def test_moved_executable_is_denied(listener: socket.socket, tmp_path: Path) -> None:
    """IS-09: the kernel follows the file, so that its path is another one now."""
    copy = tmp_path / "python"
    shutil.copy(str(Path("/proc/self/exe").readlink()), copy)
    process, connection = start(listener, str(copy))
    connected = ConnectedProcess(connection)
    copy.rename(tmp_path / "moved")
    assert "not the process that connected" in denied(connected)
    stop(process, connected, connection)


@pytest.mark.skipif(
    subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode != 0,
    reason="mount namespaces are not permitted here",
)
def test_executable_of_another_mount_namespace_is_denied(listener: socket.socket, tmp_path: Path) -> None:
    """IS-09: the path that the kernel shows names another file here."""
    named, real = tmp_path / "payments", Path("/proc/self/exe").readlink()
    named.write_text("the file that a selector means")
    script = 'mount --bind "$1" "$2" && exec "$2" -c "$3" "$4"'
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script, "sh", real, named, CALLER, listener.getsockname()],
        stdin=subprocess.PIPE,
    )
    connection, _ = listener.accept()
    connected = ConnectedProcess(connection)
    assert str(Path(f"/proc/{process.pid}/exe").readlink()) == str(named)
    assert "not the file of that path here" in denied(connected)
    stop(process, connected, connection)


def test_ended_process_is_denied_whatever_stands_under_its_pid(listener: socket.socket) -> None:
    """IS-05: even when start time and executable were the same; the kernel remembers who connected."""
    process, connection = start(listener)
    connected = ConnectedProcess(connection)
    if connected._pidfd is None:
        connected.close()
        pytest.skip("the kernel has no SO_PEERPIDFD")
    other, other_connection = start(listener)
    twin = ConnectedProcess(other_connection)
    connected.pid, connected._process = twin.pid, twin._process
    connected.attest()
    stop(process)
    assert "ended" in denied(connected)
    stop(other, twin, connected, connection, other_connection)


class FakePeer:
    """What a socket says across pid namespaces, which a test cannot make without privileges."""

    def __init__(self, pid: int, *, fails: bool = False) -> None:
        self.pid, self.fails = pid, fails

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        assert (level, bool(buflen)) == (socket.SOL_SOCKET, True)
        if self.fails or optname != socket.SO_PEERCRED:
            raise OSError
        return struct.pack("iII", self.pid, 0, 0)


@pytest.mark.parametrize("pid", [0, -1])
def test_caller_of_another_pid_namespace_is_denied(pid: int) -> None:
    """IS-08: the kernel shows it as pid 0."""
    assert "pid namespace" in denied(ConnectedProcess(FakePeer(pid)))


def test_caller_that_the_kernel_does_not_name_is_denied() -> None:
    assert "does not say" in denied(ConnectedProcess(FakePeer(1, fails=True)))


def test_closed_connection_is_denied(listener: socket.socket) -> None:
    process, connection = start(listener)
    connected = ConnectedProcess(connection)
    connected.close()
    connected.close()
    assert "closed" in denied(connected)
    stop(process, connection)


def test_kernel_without_peer_pidfd_is_enough() -> None:
    connected = ConnectedProcess(FakePeer(os.getpid()))
    assert connected.attest().pid == os.getpid()
