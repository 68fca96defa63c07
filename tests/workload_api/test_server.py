# ruff: noqa: ASYNC240 - a test may wait for the disk
from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import stat
from pathlib import Path

import pytest

from tests.workload_api.support import authority, serving
from wimse.errors import ConfigurationError
from wimse.issuer import Registrations
from wimse.workload_api import (
    EntryConfig,
    IdentityServer,
    ServerConfig,
    ServerSettings,
    WorkloadAPIClient,
    load_config,
    serve,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sock"


async def refuses(path: Path | str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        async with IdentityServer(authority(), Registrations()).listening(path):
            pass


async def test_socket_is_made_with_its_mode_and_removed_at_the_end(path: Path) -> None:
    for mode in (0o666, 0o600):
        async with serving(path, settings=ServerSettings(socket_mode=mode)):
            assert stat.S_IMODE(path.lstat().st_mode) == mode
            assert stat.S_ISSOCK(path.lstat().st_mode)
        assert not path.exists()


async def test_socket_is_removed_when_the_program_fails(path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with serving(path):
            raise ZeroDivisionError
    assert not path.exists()


async def test_end_does_not_wait_for_open_streams(path: Path) -> None:
    client = WorkloadAPIClient(f"unix://{path}")
    async with asyncio.timeout(3):
        async with serving(path):
            await anext(aiter(client.watch_wit_bundles()))
    client.close()


async def test_stale_socket_is_replaced(path: Path) -> None:
    """IS-11."""
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    async with serving(path) as address, WorkloadAPIClient(address) as client:
        await client.fetch_jwt_svids(["a"])


async def test_socket_that_is_in_use_is_left_alone(path: Path) -> None:
    """IS-11."""
    async with serving(path) as address:
        await refuses(path, "is listening on .* already")
        async with WorkloadAPIClient(address) as client:
            await client.fetch_jwt_svids(["a"])


async def test_socket_of_a_successor_is_not_removed(path: Path) -> None:
    async with serving(path):
        path.unlink()
        path.write_text("not ours")
    assert path.read_text() == "not ours"


async def test_path_that_is_no_socket_is_refused(path: Path, tmp_path: Path) -> None:
    """IS-11: and stays as it is."""
    path.write_text("precious")
    await refuses(path, "is not a socket")
    assert path.read_text() == "precious"
    await refuses(tmp_path, "is not a socket")


async def test_symbolic_link_is_refused(path: Path, tmp_path: Path) -> None:
    """IS-11: to a socket, to anything, to nothing."""
    for target in (tmp_path / "real.sock", tmp_path / "missing"):
        if target.name == "real.sock":
            with socket.socket(socket.AF_UNIX) as real:
                real.bind(str(target))
        path.symlink_to(target)
        await refuses(path, "is not a socket")
        path.unlink()


@pytest.mark.parametrize("path", ["s.sock", "./s.sock", "", "/tmp/", "/tmp/a\0b", "/" + "a" * 107])
async def test_path_that_cannot_be_a_socket_is_refused(path: str) -> None:
    await refuses(path, "the path of a Unix socket")


async def test_directory_that_is_missing_or_none_is_refused(tmp_path: Path) -> None:
    await refuses(tmp_path / "missing" / "s.sock", "the directory .* of the socket")
    (tmp_path / "file").touch()
    await refuses(tmp_path / "file" / "s.sock", "is not a directory")


async def test_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    """IS-11: unless it is sticky, as /tmp is."""
    directory = tmp_path / "open"
    directory.mkdir()
    directory.chmod(0o777)
    await refuses(directory / "s.sock", "others may write")
    directory.chmod(0o1777)
    async with serving(directory / "s.sock"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
async def test_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    """IS-11: its owner could put another socket there."""
    directory = tmp_path / "foreign"
    directory.mkdir()
    os.chown(directory, 12345, 12345)
    await refuses(directory / "s.sock", "belongs to another user")


# ----------------------------------------------------------------------------------------------- serve and its config


@contextlib.asynccontextmanager
async def running(config: ServerConfig):  # type: ignore[no-untyped-def]
    ready = asyncio.Event()
    task = asyncio.create_task(serve(config, ready=ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()
    yield
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_serve_runs_until_it_is_cancelled(path: Path) -> None:
    """IS-28: and writes no core dump."""
    entry = EntryConfig(path="/payments", selectors=(f"unix:uid:{os.getuid()}", f"unix:pid:{os.getpid()}"), hint="h")
    config = ServerConfig(trust_domain="example.org", scheme="wimse", socket=str(path), entries=(entry,))
    async with running(config), WorkloadAPIClient(f"unix://{path}") as client:
        message = await anext(aiter(client.watch_wit_svids()))
        assert [(svid.spiffe_id, svid.hint) for svid in message.svids] == [("wimse://example.org/payments", "h")]
        assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0
    assert not path.exists()


async def test_serve_says_what_is_wrong(path: Path) -> None:
    path.touch()
    with pytest.raises(ConfigurationError, match="is not a socket"):
        async with running(ServerConfig(socket=f"unix://{path}")):
            pass


def test_defaults() -> None:
    config = ServerConfig()
    config.check()
    assert (config.trust_domain, config.scheme, config.socket_path()) == ("example.com", "spiffe", "/tmp/spire.sock")
    assert config.issuer_settings().wit_lifetime.total_seconds() == 300


def test_complete_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text(
        """
        trust_domain = "example.org"
        scheme = "wimse"
        socket = "unix:///run/wimse/api.sock"
        socket_mode = 0o660
        wit_lifetime_seconds = 60
        jwt_svid_lifetime_seconds = 61
        x509_svid_lifetime_seconds = 62
        default_identities = false
        [[entries]]
        path = "/payments"
        selectors = ["unix:uid:1000", "unix:path:/usr/bin/payments"]
        hint = "internal"
        """
    )
    config = load_config(file)
    assert config == ServerConfig(
        trust_domain="example.org",
        scheme="wimse",
        socket="unix:///run/wimse/api.sock",
        socket_mode=0o660,
        wit_lifetime_seconds=60,
        jwt_svid_lifetime_seconds=61,
        x509_svid_lifetime_seconds=62,
        default_identities=False,
        entries=(
            EntryConfig(path="/payments", selectors=("unix:uid:1000", "unix:path:/usr/bin/payments"), hint="internal"),
        ),
    )
    assert config.socket_path() == "/run/wimse/api.sock"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trust_domian = 'a'", "trust_domian"),
        ("trust_domain = 1", "trust_domain"),
        ("trust_domain = 'Example.org'", "trust_domain"),
        ("scheme = 'https'", "scheme"),
        ("socket = 'tcp://0.0.0.0:80'", "Unix socket only"),
        ("socket = 'tcp://127.0.0.1:80'", "Unix socket only"),
        ("socket = 'unix://host/p'", "no authority"),
        ("socket = 'relative'", "absolute path"),
        ("socket_mode = 0o4666", "socket_mode"),
        ("wit_lifetime_seconds = 0", "wit_lifetime"),
        ("wit_lifetime_seconds = 1.5", "wit_lifetime_seconds"),
        ("wit_lifetime_seconds = true", "wit_lifetime_seconds"),
        ("wit_lifetime_seconds = 9223372036854775807", "too long"),
        ("default_identities = 'no'", "default_identities"),
        ("entries = [{path = '/a'}]", "selectors"),
        ("entries = [{path = '/a', selectors = []}]", "no selectors"),
        ("entries = [{path = '/a', selectors = ['unix:uid:0*']}]", "unix:uid"),
        ("entries = [{path = 'spiffe://other/a', selectors = ['unix:uid:0']}]", "another trust domain"),
        ("entries = [{path = '/a', selectors = ['unix:uid:0'], user = 'x'}]", "user"),
        ("not toml", "server.toml"),
        ("a = '\udcff'", "server.toml"),
    ],
)
def test_wrong_file_is_refused_with_the_name_of_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    """IS-04, IS-30, IS-31, SV-22: among it, that the server listens on no network address."""
    file = tmp_path / "server.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigurationError, match=message):
        load_config(file)


def test_file_that_is_missing_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_config(tmp_path / "missing.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * 5_000_000)
    with pytest.raises(ConfigurationError, match="larger than"):
        load_config(tmp_path / "large.toml")
