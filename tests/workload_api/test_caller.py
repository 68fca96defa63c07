# ruff: noqa: ASYNC240 - a test may wait for the disk
from __future__ import annotations

import errno
import grp
import hashlib
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workload_api.namespaces import as_root
from wimse.errors import Reason, Refused
from wimse.issuer import Selector
from wimse.workload_api import caller as caller_module
from wimse.workload_api import properties
from wimse.workload_api.caller import ConnectedProcess
from wimse.workload_api.cgroups import control_group_selectors
from wimse.workload_api.properties import ExecutableHashes

# Connects, says so, and then does what its input says: `exec FILE` or nothing.
CALLER = """
import os, socket, sys, time
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
        sock.settimeout(20)  # so that a caller that fails is a failure, and no hang
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


def denied(process: ConnectedProcess, *kinds: str) -> str:
    with pytest.raises(Refused) as refusal:
        process.attest(frozenset(kinds))
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


def test_recycled_pid_is_denied(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """IS-05: what was opened of the first process is not that of another one, even if no pidfd told."""
    process, connection = start(listener)
    connected = ConnectedProcess(connection)
    connected.attest()
    monkeypatch.setattr(ConnectedProcess, "_has_ended", lambda _: False)
    stop(process)
    other, other_connection = start(listener)
    connected.pid = other.pid  # as if the kernel had given it again
    assert "has ended or cannot be looked at" in denied(connected)
    stop(other, connected, connection, other_connection)


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


def test_caller_of_another_mount_namespace_has_no_path(listener: socket.socket, tmp_path: Path) -> None:
    """IS-09: the path that the kernel shows names another file here."""
    named, real = tmp_path / "payments", Path("/proc/self/exe").readlink()
    named.write_text("the file that a selector means")
    script = 'mount --bind "$1" "$2" && exec "$2" -c "$3" "$4"'
    process = subprocess.Popen(
        [*unshare("--mount"), "sh", "-c", script, "sh", real, named, CALLER, listener.getsockname()],
        stdin=subprocess.PIPE,
    )
    connection, _ = listener.accept()
    connected = ConnectedProcess(connection)
    assert str(Path(f"/proc/{process.pid}/exe").readlink()) == str(named)
    caller = connected.attest(frozenset({"sha256"}))
    assert caller.executable == ""
    assert not Selector.parse(f"unix:path:{named}").matches(caller)
    stop(process, connected, connection)


def test_same_file_in_another_mount_namespace_has_its_path(listener: socket.socket) -> None:
    """IS-09: as when the server is a service with a file system of its own."""
    process = subprocess.Popen(
        [*unshare("--mount"), sys.executable, "-c", CALLER, listener.getsockname()], stdin=subprocess.PIPE
    )
    connection, _ = listener.accept()
    connected = ConnectedProcess(connection)
    assert connected.attest().executable == str(Path("/proc/self/exe").readlink())
    stop(process, connected, connection)


def test_executable_replaced_in_its_own_mount_namespace_is_denied(listener: socket.socket, tmp_path: Path) -> None:
    """IS-09: there, too, its path must still name it."""
    named, real = tmp_path / "payments", Path("/proc/self/exe").readlink()
    shutil.copy(str(real), named)
    named = tmp_path / "own" / "payments"
    named.parent.mkdir()
    script = (
        'mount -t tmpfs own "${1%/*}" && cp "$4" "$1"; "$1" -c "$2" "$3" & '
        'read x; mount --bind /bin/true "$1"; echo; wait'
    )
    program = CALLER + "time.sleep(30)"
    process = subprocess.Popen(
        [*unshare("--mount"), "sh", "-c", script, "sh", named, program, listener.getsockname(), real],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    connection, _ = listener.accept()
    connected = ConnectedProcess(connection)
    assert connected.attest().executable == ""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    process.stdout.readline()
    assert "not the file of that path" in denied(connected)
    os.kill(connected.pid, signal.SIGKILL)
    stop(process, connected, connection)


def test_ended_process_is_denied_whatever_stands_under_its_pid(listener: socket.socket) -> None:
    """IS-05: even when all of /proc were that of another process; the kernel remembers who connected."""
    process, connection = start(listener)
    connected = ConnectedProcess(connection)
    other, other_connection = start(listener)
    twin = ConnectedProcess(other_connection)
    os.dup2(twin._proc or -1, connected._proc or -1)
    connected.attest()
    stop(process)
    assert "ended" in denied(connected)
    stop(other, twin, connected, connection, other_connection)


class FakePeer:
    """What an older kernel's socket says, and one that another thing than a kernel made up."""

    def __init__(self, pid: int, *, fails: bool = False) -> None:
        self.pid, self.fails = pid, fails

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        assert (level, bool(buflen)) == (socket.SOL_SOCKET, True)
        if self.fails or optname != socket.SO_PEERCRED:
            raise OSError(errno.ENOPROTOOPT, "as a kernel before 6.5")
        return struct.pack("iII", self.pid, os.geteuid(), os.getegid())


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
    connected.close()


def test_kernel_without_peer_pidfd_remembers_the_process(listener: socket.socket) -> None:
    """IS-05: a pidfd that was opened at once."""
    process, connection = start(listener)
    connected = ConnectedProcess(FakePeer(process.pid))
    connected.attest()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert connected._has_ended()
    stop(process, connected, connection)
    late = ConnectedProcess(FakePeer(process.pid))
    assert "has ended" in denied(late)


def test_directory_of_a_process_that_ended_meanwhile_is_none(listener: socket.socket) -> None:
    """IS-05: between the two questions to the pidfd, where what has ended seems to be root's."""
    process, connection = start(listener)
    connected = ConnectedProcess(connection)
    answers = iter([False, True])
    connected._has_ended = lambda: next(answers)  # type: ignore[method-assign]
    assert denied(connected) == "the caller has ended"
    stop(process, connected, connection)


def test_kernel_without_any_pidfd_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """IS-05: without one a recycled pid could not be told for certain."""

    def none(_: int) -> int:
        raise OSError(errno.ENOSYS, "as a kernel before 5.3")

    monkeypatch.setattr(os, "pidfd_open", none)
    assert "no pidfd" in denied(ConnectedProcess(FakePeer(os.getpid())))


# --------------------------------------------------------------------------- other users, groups and namespaces


def unshare(*what: str) -> list[str]:
    """A command in namespaces of its own; where root is missing, as the root of a user namespace."""
    return ["unshare", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), *what]


@pytest.fixture
def open_listener() -> Iterator[socket.socket]:
    """A listener that other users reach."""
    with tempfile.TemporaryDirectory(prefix="w") as folder, socket.socket(socket.AF_UNIX) as sock:
        Path(folder).chmod(0o755)
        sock.bind(f"{folder}/s")
        Path(f"{folder}/s").chmod(0o666)
        sock.listen()
        sock.settimeout(20)  # so that a caller that fails is a failure, and no hang
        yield sock


# Becomes another user, connects, and then does what its input says.
CHANGED = """
import os, socket, sys, time
os.setgroups([int(n) for n in sys.argv[4].split(",") if n]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[2]))
"""
GIVES_UP = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
sys.stdin.readline()
getattr(os, sys.argv[2])(int(sys.argv[3]))
print(flush=True)
sys.stdin.readline()
"""


def other_user(
    listener: socket.socket, uid: int, gid: int, *groups: int
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    numbers = [str(uid), str(gid), ",".join(map(str, groups))]
    process = subprocess.Popen(
        [sys.executable, "-c", CHANGED + CALLER, listener.getsockname(), *numbers], stdin=subprocess.PIPE
    )
    connection, _ = listener.accept()
    return process, connection


@as_root
def test_process_of_another_user_and_other_groups(open_listener: socket.socket) -> None:
    """IS-10: what it has, and nothing of what it has not."""
    process, connection = other_user(open_listener, 1234, 2345, 27, 3456)
    connected = ConnectedProcess(connection)
    caller = connected.attest(frozenset({"supplementary_gid"}))
    assert (caller.uid, caller.gid) == (1234, 2345)
    for text in ("unix:uid:1234", "unix:gid:2345", "unix:supplementary_gid:27", "unix:supplementary_gid:3456"):
        assert Selector.parse(text).matches(caller)
    for text in ("unix:uid:0", "unix:gid:0", "unix:gid:27", "unix:supplementary_gid:0", "unix:supplementary_gid:2345"):
        assert not Selector.parse(text).matches(caller)
    stop(process, connected, connection)


@as_root
def test_names_are_those_of_the_machine(open_listener: socket.socket) -> None:
    """IS-10: and a number without a name has none."""
    daemon = pwd.getpwnam("daemon")
    process, connection = other_user(open_listener, daemon.pw_uid, daemon.pw_gid)
    connected = ConnectedProcess(connection)
    caller = connected.attest(frozenset({"user", "group"}))
    assert caller.properties == {"unix:user:daemon", f"unix:group:{grp.getgrgid(daemon.pw_gid).gr_name}"}
    stop(process, connected, connection)
    process, connection = other_user(open_listener, 54321, 54321)
    connected = ConnectedProcess(connection)
    assert connected.attest(frozenset({"user", "group"})).properties == frozenset()
    stop(process, connected, connection)


@as_root
def test_a_file_capability_of_groups_is_not_a_uid(open_listener: socket.socket) -> None:
    """IS-10: a group of the same number as a user is not that user."""
    process, connection = other_user(open_listener, 1234, 0, 0)
    connected = ConnectedProcess(connection)
    caller = connected.attest(frozenset({"supplementary_gid", "user"}))
    assert not Selector.parse("unix:uid:0").matches(caller)
    assert "unix:user:root" not in caller.properties
    stop(process, connected, connection)


@as_root
def test_who_gives_up_a_user_gives_up_its_identity(open_listener: socket.socket) -> None:
    """IS-06: the credentials of the connection are still root's, the process is not."""
    for call in ("setuid", "setgid"):
        process = subprocess.Popen(
            [sys.executable, "-c", GIVES_UP, open_listener.getsockname(), call, "1234"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        connection, _ = open_listener.accept()
        connected = ConnectedProcess(connection)
        assert connected.attest().uid == 0
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        assert "another user or group" in denied(connected)
        stop(process, connected, connection)


# A server in a pid namespace of its own: it accepts one caller and says what it thinks of it.
FOREIGN = """
import socket, sys
from wimse.errors import Refused
from wimse.workload_api.caller import ConnectedProcess
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()
print("listening", flush=True)
connection, _ = s.accept()
try:
    print(ConnectedProcess(connection).attest())
except Refused as refused:
    print(refused)
"""


def test_caller_of_another_pid_namespace_is_pid_0(tmp_path: Path) -> None:
    """IS-08: really so."""
    command = [*unshare("--pid", "--fork", "--mount-proc"), sys.executable, "-c", FOREIGN, str(tmp_path / "f")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "listening\n"
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(tmp_path / "f"))
            assert server.stdout.readline() == "no_identity: the caller is in another pid namespace\n"


def test_caller_of_a_pid_namespace_below_ours_is_seen(listener: socket.socket) -> None:
    """IS-08: a container: the kernel gives our number for it."""
    program = CALLER + "print(os.getpid(), flush=True)\n"
    process = subprocess.Popen(
        [*unshare("--pid", "--fork", "--kill-child"), sys.executable, "-c", program, listener.getsockname()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    connection, _ = listener.accept()
    connected = ConnectedProcess(connection)
    assert connected.attest().pid not in {0, 1}
    process.communicate(b"\n")
    assert "ended" in denied(connected)
    stop(process, connected, connection)


# ------------------------------------------------------------------------------------- what executables and groups say


async def test_hash_of_the_executable(listener: socket.socket, tmp_path: Path) -> None:
    """IS-09: of the file that is executed, computed once."""
    copy = tmp_path / "program"
    shutil.copy(str(Path("/proc/self/exe").readlink()), copy)
    with copy.open("ab") as file:
        file.write(b"mine")
    process, connection = start(listener, str(copy))
    connected, hashes = ConnectedProcess(connection), ExecutableHashes(500_000_000)
    wanted = frozenset({"sha256"})
    assert connected.attest(wanted, hashes).properties == frozenset()  # not known yet
    await hashes.prepare(process.pid)
    digest = hashlib.sha256(copy.read_bytes()).hexdigest()
    assert connected.attest(wanted, hashes).properties == {f"unix:sha256:{digest}"}
    hashes._digest = None  # type: ignore[method-assign, assignment]
    await hashes.prepare(process.pid)
    stop(process, connected, connection)


async def test_large_executable_has_no_hash(listener: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    process, connection = start(listener)
    connected, hashes = ConnectedProcess(connection), ExecutableHashes(1000)
    await hashes.prepare(process.pid)
    assert connected.attest(frozenset({"sha256"}), hashes).properties == frozenset()
    assert "too large for unix:sha256" in caplog.text
    stop(process, connected, connection)
    await hashes.prepare(process.pid)  # which has ended


async def test_memory_of_hashes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(properties, "_MAX_CACHED", 1)
    hashes = ExecutableHashes(500_000_000)
    hashes._known[0, 0, 0, 0, 0] = None
    await hashes.prepare(os.getpid())
    assert len(hashes._known) == 1
    assert hashes.known(os.getpid())


def test_control_group_is_read_from_the_kernel(listener: socket.socket) -> None:
    """Where this process may make a group it looks like a container's; else the group is the one that is there."""
    process, connection = start(listener)
    connected = ConnectedProcess(connection)
    kinds = frozenset({"docker:container_id", "systemd:id"})
    group = Path(f"/sys/fs/cgroup/pids/docker/{'0a' * 32}")
    expected = control_group_selectors(Path(f"/proc/{process.pid}/cgroup").read_text())
    if os.access("/sys/fs/cgroup/pids", os.W_OK):
        group.mkdir(parents=True)
        (group / "cgroup.procs").write_text(str(process.pid))
        expected = frozenset({f"docker:container_id:{'0a' * 32}"})
    assert connected.attest(kinds).properties == expected
    stop(process, connected, connection)
    if group.exists():
        group.rmdir()
        group.parent.rmdir()


def test_what_cannot_be_looked_up_is_denied(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    process, connection = start(listener)
    connected = ConnectedProcess(connection)
    for error in (OSError, ValueError):

        def fails(*_: object, error: type[Exception] = error) -> frozenset[str]:
            raise error

        monkeypatch.setattr(caller_module, "properties", fails)
        assert "cannot be looked at" in denied(connected, "user")
    stop(process, connected, connection)


def test_exec_while_properties_are_read_is_denied(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """IS-05, IS-06: /proc is read between two looks at the process."""
    process, connection = start(listener)
    connected = ConnectedProcess(connection)

    def meanwhile(*_: object) -> frozenset[str]:
        assert process.stdin is not None
        process.stdin.write(f"exec {shutil.which('sleep')}\n".encode())
        process.stdin.flush()
        while "python" in str(Path(f"/proc/{process.pid}/exe").readlink()):
            pass
        return frozenset({"unix:user:root"})

    monkeypatch.setattr(caller_module, "properties", meanwhile)
    assert "executes another file" in denied(connected, "user")
    stop(process, connected, connection)


def test_status_that_lacks_a_line_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (b"Name:\tUid: 0\n", b"Uid:\t0\nGid:\t0\nGroups:\t\n", b"Uid:\tx x\nGid:\t0 0\nGroups:\n"):
        monkeypatch.setattr(properties, "read_proc", lambda _, text=text: text)
        with pytest.raises(ValueError, match=r"lacks a line|invalid literal"):
            properties.read_status(1)


@as_root
def test_all_of_many_groups_are_seen(open_listener: socket.socket) -> None:
    """IS-10: more than one reading of /proc gives."""
    process, connection = other_user(open_listener, 1234, 2345, *range(10_000, 12_000))
    connected = ConnectedProcess(connection)
    assert len(connected.attest(frozenset({"supplementary_gid"})).properties) == 2000
    stop(process, connected, connection)
