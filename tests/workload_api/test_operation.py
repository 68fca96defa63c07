# ruff: noqa: ASYNC240 - a test may wait for the disk
"""Running a server: what is written, counted, said to systemd, refused at the start."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from tests.workload_api.support import FAST, authority, eventually, grpcio, serving
from tests.workload_api.test_server import running
from tests.workload_api.test_service import API, CALLS, status_of
from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.issuer import Caller, Registrations
from wimse.workload_api import (
    AuditLog,
    CallRefused,
    EntryConfig,
    IdentityServer,
    Issued,
    Metrics,
    ServerConfig,
    WorkloadAPIClient,
    check_config,
    load_config,
    serve,
)
from wimse.workload_api.monitoring import monitoring, parse_listen_address
from wimse.workload_api.running import check_clock
from wimse.workload_api.systemd import notify, watchdog_seconds

ISSUED = Issued(
    credential="wit",
    subject="spiffe://example.com/a",
    issued_at=1,
    expires_at=2,
    token_id="ab",
    caller=Caller(pid=1, uid=2, gid=3, executable='/bin/a\n{"event":"issued"}\u2028\x1b[31m'),
)


GOOD = "[[entries]]\npath = '/a'\nselectors = ['unix:uid:0']\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().split(b"\n") if line]


# ----------------------------------------------------------------------------------------------------------- audit


async def test_every_issue_and_refusal_is_a_line_without_secrets(path: Path, tmp_path: Path) -> None:
    """IS-28."""
    file = tmp_path / "audit.log"
    audit = AuditLog(file)
    async with serving(path, observers=[audit]) as address:
        wit = (await grpcio(address, API + "FetchWITSVID", *CALLS["FetchWITSVID"])).svids[0]
        svid = (await grpcio(address, API + "FetchJWTSVID", *CALLS["FetchJWTSVID"])).svids[0]
        await grpcio(address, API + "FetchX509SVID", *CALLS["FetchX509SVID"])
        await status_of(grpcio(address, API + "FetchWITSVID", *CALLS["FetchWITSVID"], metadata=()))
        await status_of(grpcio(address, API + "ValidateJWTSVID", *CALLS["ValidateJWTSVID"]))
    audit.close()
    text = file.read_text()
    written = lines(file)
    assert [line.get("credential") for line in written if line["event"] == "issued"] == ["wit", "jwt-svid", "x509-svid"]
    assert all(line["pid"] == os.getpid() and line["uid"] == os.getuid() for line in written)
    assert {(line["method"], line["status"]) for line in written if line["event"] == "refused"} == {
        (API + "FetchWITSVID", "INVALID_ARGUMENT"),
        (API + "ValidateJWTSVID", "INVALID_ARGUMENT"),
    }
    for secret in (wit.wit_svid, json.loads(wit.wit_svid_key)["d"], svid.svid, "eyJ"):
        assert secret not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_line_is_one_line_whatever_a_file_is_called(tmp_path: Path) -> None:
    """IS-28: no line can be made up by naming an executable."""
    audit = AuditLog(tmp_path / "a")
    audit(ISSUED)
    audit.close()
    data = (tmp_path / "a").read_bytes()
    assert data.count(b"\n") == 1
    assert data.isascii()
    assert b"\x1b" not in data
    assert lines(tmp_path / "a")[0]["executable"] == ISSUED.caller.executable


def test_log_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A full disk, as /dev/full has it."""
    audit = AuditLog(tmp_path / "a", required=True)
    os.dup2(os.open("/dev/full", os.O_WRONLY), audit._descriptor)
    with pytest.raises(Unavailable) as error:
        audit(ISSUED)
    assert error.value.reason is Reason.ISSUER_UNAVAILABLE
    refusal = CallRefused(method="/a/b", status="INTERNAL", reason=None, detail="", pid=0, uid=None)
    audit(refusal)  # a refusal stays one
    audit._required = False
    audit(ISSUED)
    assert audit.failures == 3
    assert "cannot be written" in caplog.text
    audit.reopen()
    audit(ISSUED)
    assert len(lines(tmp_path / "a")) == 1
    audit.close()


def test_line_that_was_cut_off_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = AuditLog(tmp_path / "a")
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:20]))
    audit(ISSUED)
    monkeypatch.undo()
    audit(ISSUED)
    audit.close()
    assert json.loads((tmp_path / "a").read_bytes().split(b"\n")[1])["event"] == "issued"


async def test_nothing_is_issued_that_cannot_be_recorded(path: Path, tmp_path: Path) -> None:
    audit = AuditLog(tmp_path / "a", required=True)
    os.dup2(os.open("/dev/full", os.O_WRONLY), audit._descriptor)
    async with serving(path, observers=[audit]) as address, WorkloadAPIClient(address) as client:
        with pytest.raises(Unavailable):
            await client.fetch_jwt_svids(["a"])
    audit.close()


def test_unsafe_audit_log_is_refused(tmp_path: Path) -> None:
    """IS-29: a link, a device, a file that others may write to."""
    (tmp_path / "open").touch()
    (tmp_path / "open").chmod(0o666)
    (tmp_path / "link").symlink_to(tmp_path / "open")
    os.mkfifo(tmp_path / "fifo")
    for name in ("open", "link", "fifo", "missing/a"):
        with pytest.raises(ConfigurationError, match="audit log"):
            AuditLog(tmp_path / name)


# ------------------------------------------------------------------------------------------- metrics and monitoring


async def ask(port: int, line: str, rest: str = "\r\n\r\n") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{line}{rest}".encode())
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


def free() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def test_monitoring_answers_what_it_knows_and_nothing_else(path: Path) -> None:
    """IS-32: on an address of its own, and it knows neither keys nor tokens."""
    metrics, port, ready = Metrics(), free(), True
    server = IdentityServer(authority(), Registrations(), FAST, observers=[metrics])
    metrics.watch(server.state, None)
    async with (
        server.listening(path),
        monitoring(("127.0.0.1", port), ready=lambda: ready, metrics=metrics.text),
        WorkloadAPIClient(f"unix://{path}") as client,
    ):
        await client.fetch_jwt_svids(["a"])
        stream = aiter(client.watch_wit_bundles())
        await anext(stream)
        text = (await ask(port, "GET /metrics HTTP/1.1")).decode()
        assert 'wimse_issued_total{credential="jwt-svid"} 1.0' in text
        assert "wimse_open_streams 1.0" in text
        assert "wimse_healthy 1.0" in text
        assert "eyJ" not in text
        assert "spiffe://" not in text
        assert (await ask(port, "GET /live HTTP/1.1")).endswith(b"\r\n\r\nlive\n")
        assert (await ask(port, "GET /ready HTTP/1.1")).startswith(b"HTTP/1.1 200")
        assert (await ask(port, "HEAD /ready HTTP/1.1")).endswith(b"\r\n\r\n")
        ready = False
        assert (await ask(port, "GET /ready HTTP/1.1")).startswith(b"HTTP/1.1 503")
        assert (await ask(port, "GET /SpiffeWorkloadAPI/FetchWITSVID HTTP/1.1")).startswith(b"HTTP/1.1 404")
        assert (await ask(port, "POST /ready HTTP/1.1")).startswith(b"HTTP/1.1 405")
        assert await ask(port, "GET /" + "a" * 20_000) == b""
        with pytest.raises(ConfigurationError, match="cannot listen at"):
            async with monitoring(("127.0.0.1", port), ready=lambda: True, metrics=None):
                pass


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "localhost:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", ":80"],
)
def test_address_that_is_not_loopback_is_refused(text: str) -> None:
    """IS-04."""
    with pytest.raises(ConfigurationError, match="to monitor at"):
        parse_listen_address(text)


def test_loopback_is_accepted() -> None:
    assert parse_listen_address("127.0.0.1:9464") == ("127.0.0.1", 9464)
    assert parse_listen_address("[::1]:1") == ("::1", 1)


# ----------------------------------------------------------------------------------------------------------- systemd


def test_systemd_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "n"))
        environ = {"NOTIFY_SOCKET": str(tmp_path / "n")}
        assert notify("READY=1", "STATUS=a", environ=environ)
        assert systemd.recv(100) == b"READY=1\nSTATUS=a"
        assert notify("RELOADING=1", environ=environ)
        assert systemd.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        abstract = f"wimse-{os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind("\0" + abstract)
            assert notify("STOPPING=1", environ={"NOTIFY_SOCKET": "@" + abstract})
            assert other.recv(100) == b"STOPPING=1"
    assert not notify("READY=1", environ={})
    assert not notify("READY=1", environ=environ)
    assert "cannot be told" in caplog.text


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "x"}, None),
        ({}, None),
    ],
)
def test_watchdog(environ: dict[str, str], expected: float | None) -> None:
    assert watchdog_seconds(environ) == expected


async def test_running_server_reloads_entries_and_tells_systemd(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """IS-14: SIGHUP reaches open streams."""
    caplog.set_level("INFO", logger="wimse")
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(str(tmp_path / "n"))
    systemd.setblocking(False)
    told: list[str] = []
    asyncio.get_running_loop().add_reader(systemd, lambda: told.append(systemd.recv(200).decode().split("\n")[0]))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
    monkeypatch.setenv("WATCHDOG_USEC", "20000")

    def with_entry(name: str, **more: Any) -> ServerConfig:
        entry = EntryConfig(path=name, selectors=(f"unix:uid:{os.getuid()}",))
        return ServerConfig(
            socket=str(path),
            entries=(entry,),
            audit_log=str(tmp_path / "audit"),
            monitoring=f"127.0.0.1:{port}",
            **more,
        )

    port = free()
    answers: list[ServerConfig | Exception] = [
        with_entry("/b"),
        ConfigurationError("that is not TOML"),
        with_entry("/c", scheme="wimse"),
    ]

    def reload() -> ServerConfig:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    ready = asyncio.Event()
    task = asyncio.create_task(serve(with_entry("/a"), ready=ready.set, reload=reload))
    await asyncio.wait_for(ready.wait(), 5)
    async with WorkloadAPIClient(f"unix://{path}") as client:
        stream: Any = aiter(client.watch_wit_svids())
        assert [s.spiffe_id for s in (await anext(stream)).svids] == ["spiffe://example.com/a"]
        assert (await ask(port, "GET /ready HTTP/1.1")).startswith(b"HTTP/1.1 200")
        (tmp_path / "audit").rename(tmp_path / "audit.1")
        os.kill(os.getpid(), signal.SIGHUP)
        message = await asyncio.wait_for(anext(stream), 3)
        assert [s.spiffe_id for s in message.svids] == ["spiffe://example.com/b"]
        assert len(lines(tmp_path / "audit")) == 1
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: "nothing is changed: that is not TOML" in caplog.text)
        os.kill(os.getpid(), signal.SIGHUP)
        message = await asyncio.wait_for(anext(stream), 3)
        assert [s.spiffe_id for s in message.svids] == ["spiffe://example.com/c"]
        assert "needs a restart" in caplog.text
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: "STOPPING=1" in told)
    asyncio.get_running_loop().remove_reader(systemd)
    systemd.close()
    assert "READY=1" in told
    assert "WATCHDOG=1" in told
    assert told.count("RELOADING=1") == 3


# --------------------------------------------------------------------------------------------------------- the start


def test_clock_that_has_gone_back_is_refused(tmp_path: Path) -> None:
    """IS-34: at the start, each with what to do."""
    now = time.time()
    check_clock(now)
    check_clock(now, str(tmp_path / "missing"))
    with pytest.raises(ConfigurationError, match=r"years behind; set it"):
        check_clock(0.0)
    (tmp_path / "a").touch()
    check_clock(now, str(tmp_path / "a"))
    with pytest.raises(ConfigurationError, match=r"the clock has gone back; set it"):
        check_clock(now - 3600, str(tmp_path / "a"))


async def test_server_whose_clock_has_gone_back_does_not_start(path: Path, tmp_path: Path) -> None:
    """IS-34."""
    (tmp_path / "a").touch(0o600)
    os.utime(tmp_path / "a", (time.time() + 3600,) * 2)
    with pytest.raises(ConfigurationError, match="gone back"):
        async with running(ServerConfig(socket=str(path), audit_log=str(tmp_path / "a"))):
            pass
    assert not path.exists()


async def test_directory_above_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    """IS-11: who can rename the directory can put another socket there; and each says what to do."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a").chmod(0o777)
    for folder, advice in ((tmp_path / "a" / "b", "chmod o-w"), (tmp_path / "none", "install -d")):
        with pytest.raises(ConfigurationError, match=advice):
            async with serving(folder / "s"):
                pass


# ---------------------------------------------------------------------------------------------------------- the file


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\n\n\nb =\n", 4),
        ("# c\ntrust_domain = 'a.org'\n\ntrust_domian = 'b.org'\n", 4),
        ("trust_domain = 'a.org'\nwit_lifetime_seconds = 'x'\n", 2),
        ("\nwit_lifetime_seconds = 1\n", 2),
        ("profiles = [\n 'x509',\n]\n\nsocket = 'relative'\n", 5),
        ("profiles = []\n", 1),
        ("monitoring = '0.0.0.0:80'\n", 1),
        ("audit_log = 'relative'\n", 1),
        ("trust_domain = 'a.org'\naudit_required = true\n", 0),
        (
            f"{GOOD}\n# b\n[[entries]]\npath = '/b'\nselectors = ['unix:uid:0*']\n\n{GOOD}",
            6,
        ),
        ("[[entries]]\npath = '/a'\nselectors = ['unix:uid:0']\nuser = 'x'\n", 4),
        ("[[entries]]\npath = '/a'\n[[entries]]\npath = 7\nselectors = []\n", 4),
        ("note = '''\n[[entries]]\npath = 1\n'''\n", 1),
        ("[[entries]]\npath = '/a'\nselectors = ['unix:uid:0']\nfederates_with = ['A']\n", 1),
    ],
)
def test_what_is_wrong_has_its_line(tmp_path: Path, text: str, line: int) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    problems = check_config(file)
    assert problems[0].line == line
    with pytest.raises(ConfigurationError):
        load_config(file)


def test_everything_that_is_wrong_is_said(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("socket = 'x'\nwit_lifetime_seconds = 0\njwt_svid_lifetime_seconds = 1_000_000\n")
    assert [problem.line for problem in check_config(tmp_path / "c.toml")] == [1, 2, 3]
    (tmp_path / "c.toml").write_bytes(b"a = 1\nb = '\xff'\n")
    assert [problem.line for problem in check_config(tmp_path / "c.toml")] == [2]
    (tmp_path / "c.toml").write_text("trust_domain = 'a.org'\n")
    assert check_config(tmp_path / "c.toml") == ()


def test_entries_are_not_judged_by_a_trust_domain_that_is_none(tmp_path: Path) -> None:
    """One thing is wrong, and is said once."""
    (tmp_path / "c.toml").write_text(f"trust_domain = 'A'\n{GOOD}[bundle_endpoint]\n")
    (problem,) = check_config(tmp_path / "c.toml")
    assert (problem.line, problem.detail.startswith("trust_domain: ")) == (1, True)


def test_configuration_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    """It says who gets which identity."""
    (tmp_path / "c.toml").write_text("trust_domain = 'a.org'\n")
    (tmp_path / "c.toml").chmod(0o666)
    (problem,) = check_config(tmp_path / "c.toml")
    assert (problem.line, "chmod o-w" in problem.detail) == (0, True)
    with pytest.raises(ConfigurationError, match="chmod o-w"):
        load_config(tmp_path / "c.toml")
    (tmp_path / "c.toml").chmod(0o664)
    assert check_config(tmp_path / "c.toml") == ()


@pytest.mark.parametrize("key", ["client_ca", "tls_certificate", "require_token"], ids="IS-03 SV-24 {}".format)
def test_direct_authentication_of_callers_cannot_be_configured(tmp_path: Path, key: str) -> None:
    (tmp_path / "c.toml").write_text(f"{key} = '/x'\n")
    with pytest.raises(ConfigurationError, match=f"line 1: .*{key}"):
        load_config(tmp_path / "c.toml")


async def test_directory_that_a_group_may_write_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """IS-11."""
    folder = tmp_path / "g"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, 0, 12345)
    else:
        monkeypatch.setattr(os, "getegid", lambda: 12345)
    folder.chmod(0o775)
    with pytest.raises(ConfigurationError, match="chmod g-w"):
        async with serving(folder / "s"):
            pass
