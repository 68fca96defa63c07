# ruff: noqa: ASYNC240 - a test may wait for the disk
from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from tests.cli.test_identity_server import served
from tests.workload_api import support
from tests.workload_api.admin_support import DOMAIN, administered, open_store, spec
from tests.workload_api.namespaces import as_root
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.workload_api.admin import (
    TEMPLATE_PATH,
    AdminClient,
    AdminServer,
    AdminSettings,
    BlockingAdminClient,
    EntrySpec,
)
from wimse.workload_api.admin.wire import SERVICE, JSONCodec
from wimse.workload_api.events import CallRefused, EntryChanged
from wimse.workload_api.proto import workload_pb2 as pb


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="w") as name:  # a socket's path is short
        yield Path(name)


async def raw(path: str, name: str, request: bytes) -> Any:
    """A call whose request is sent as it is."""

    class Raw(JSONCodec):
        def encode(self, message: Any, message_type: Any) -> bytes:  # noqa: ARG002
            return bytes(message)

        def decode(self, data: bytes, message_type: Any) -> Any:  # noqa: ARG002
            return msgspec.json.decode(data)

    channel = Channel(path=path, codec=Raw())
    try:
        method: Any = UnaryUnaryMethod(channel, f"/{SERVICE}/{name}", bytes, bytes)
        return await method(request, timeout=10)
    finally:
        channel.close()


async def test_entries_are_created_shown_listed_changed_and_deleted(folder: Path) -> None:
    changed: list[None] = []
    async with contextlib.AsyncExitStack() as stack:
        serving = administered(folder, on_change=lambda: changed.append(None))
        path, told, store = await stack.enter_async_context(serving)
        async with AdminClient(f"unix://{path}") as admin:
            made = await admin.create(
                spec(
                    hint="internal",
                    wit_lifetime_seconds=120,
                    dns_names=("payments.example.com",),
                    federates_with=("example.org",),
                    expires_at=2**33,
                    key_algorithm="ES384",
                )
            )
            assert (made.revision, made.hint, made.wit_lifetime_seconds) == (1, "internal", 120)
            assert await admin.show("payments") == made
            narrower = msgspec.structs.replace(made.spec, selectors=("unix:uid:1000", "unix:gid:7"))
            updated = await admin.update(narrower, revision=1)
            assert (updated.revision, updated.selectors) == (2, ("unix:uid:1000", "unix:gid:7"))
            other = await admin.create(spec("orders"))
            listing = await admin.list()
            assert (listing.trust_domain, listing.entries) == (DOMAIN, (updated, other))
            assert listing.revision == store.revision()
            await admin.delete("payments", revision=2)
            assert (await admin.list()).entries == (other,)
            assert [each.entry_id for each in store.load().entries] == ["orders"]
    assert len(changed) == 4
    # every change is told, with who made it
    assert [(each.action, each.entry_id, each.revision) for each in told if isinstance(each, EntryChanged)] == [
        ("created", "payments", 1),
        ("updated", "payments", 2),
        ("created", "orders", 1),
        ("deleted", "payments", 2),
    ]
    assert {(each.pid, each.uid, each.source) for each in told if isinstance(each, EntryChanged)} == {
        (os.getpid(), os.geteuid(), "admin")
    }


async def test_a_creation_can_be_repeated_and_is_told_once(folder: Path) -> None:
    wanted = spec("payments", None, "unix:uid:1000", "unix:gid:7")
    spelled = spec("payments", "spiffe://example.com/payments", "unix:gid:7", "unix:uid:1000")
    async with administered(folder) as (path, told, _), AdminClient(path) as admin:
        assert await admin.create(wanted) == await admin.create(spelled)
        with pytest.raises(Refused) as refused:
            await admin.create(spec("payments", "/other"))
    assert refused.value.reason is Reason.ENTRY_CONFLICT
    assert refused.value.detail == "the entry_id is taken"
    assert len([each for each in told if isinstance(each, EntryChanged)]) == 1


@pytest.mark.parametrize(
    ("entry", "detail"),
    [
        pytest.param({"selectors": ["unix:uid:0*"]}, "decimal number without leading zeros", id="IS-30-pattern"),
        pytest.param({"selectors": ["unix:path:/usr/bin/*"]}, "patterns are not supported", id="IS-30-path-pattern"),
        pytest.param({"selectors": ["unix:user:x'; DROP TABLE entries;--"]}, "unix:user takes", id="IS-30-sql"),
        pytest.param({"entry_id": "x'; DROP TABLE entries;--"}, "letters, digits", id="IS-30-sql-in-the-name"),
        pytest.param({"selectors": []}, "has no selectors", id="IS-30-no-selector"),
        pytest.param({"path": "spiffe://example.org/payments"}, "another trust domain", id="IS-31-other-domain"),
        pytest.param({"path": "wimse://example.com/payments"}, "another trust domain", id="IS-31-other-scheme"),
        pytest.param({"path": "spiffe://example.com"}, "the identity of an entry", id="IS-31-root"),
        pytest.param({"path": "/"}, "the identity of an entry", id="IS-31-slash"),
        pytest.param({"path": "/a/../b"}, "the identity of an entry", id="IS-31-dot-segment"),
        pytest.param({"path": "/bin/{exe}/gid/{gid}/pid/{pid}/uid/{uid}"}, "the identity of", id="IS-31-template"),
        pytest.param({"hint": "x" * 1025}, "longer than 1024 bytes", id="IS-15-long-hint"),
        pytest.param({"hint": "x\0"}, "hint is not text", id="hint-with-NUL"),
        pytest.param({"wit_lifetime_seconds": 10**9}, "longer than that of the server", id="lifetime-above"),
        pytest.param({"wit_lifetime_seconds": 10**15}, "wit_lifetime is too long", id="lifetime-overflow"),
        pytest.param({"wit_lifetime_seconds": 0}, "at least 2 seconds", id="lifetime-zero"),
        pytest.param({"federates_with": ["example.com"]}, "the trust domain itself", id="federates-with-itself"),
        pytest.param({"dns_names": ["a b"]}, "", id="dns-name"),
        pytest.param({"key_algorithm": "none"}, "one that WIT-SVID permits", id="algorithm"),
    ],
)
async def test_what_cannot_be_registered_comes_back_with_its_text(
    folder: Path, entry: dict[str, Any], detail: str
) -> None:
    document = {**msgspec.to_builtins(spec()), **entry}
    async with administered(folder) as (path, told, store):
        with pytest.raises(GRPCError) as refused:  # the server decides, whatever a client lets pass
            await raw(path, "Create", msgspec.json.encode({"entry": document}))
        async with AdminClient(path) as admin:
            with pytest.raises(ConfigurationError) as known:
                await admin.create(msgspec.convert(document, EntrySpec))
        assert store.load().entries == ()
    assert refused.value.status is Status.INVALID_ARGUMENT
    assert detail in known.value.detail
    assert refused.value.message == f"configuration: {known.value.detail}"
    assert [type(each) for each in told] == [CallRefused, CallRefused]


@pytest.mark.parametrize(
    ("second", "detail"),
    [
        pytest.param(spec("other", "/payments"), "the identity is registered already", id="ID-14"),
        pytest.param(spec("other", hint="h"), "the hint is that of another entry", id="IS-15"),
    ],
)
async def test_what_conflicts_comes_back_with_its_reason(folder: Path, second: EntrySpec, detail: str) -> None:
    async with administered(folder) as (path, told, _), AdminClient(path) as admin:
        await admin.create(spec(hint="h"))
        with pytest.raises(Refused) as refused:
            await admin.create(second)
    assert refused.value.reason is Reason.ENTRY_CONFLICT
    assert detail in refused.value.detail
    assert isinstance(told[-1], CallRefused)
    assert told[-1].reason is Reason.ENTRY_CONFLICT


async def test_an_identity_is_not_given_to_others_while_its_credentials_live(folder: Path) -> None:  # ID-13
    async with administered(folder) as (path, _, _), AdminClient(path) as admin:
        await admin.create(spec())
        with pytest.raises(Refused) as widened:
            await admin.update(spec("payments", None, "unix:uid:1001"), revision=1)
        await admin.delete("payments")
        with pytest.raises(Refused) as reassigned:
            await admin.create(spec("again", "/payments", "unix:uid:1001"))
        await admin.create(spec("again", "/payments"))  # the same callers may have it back
    for refused in (widened, reassigned):
        assert refused.value.reason is Reason.ENTRY_CONFLICT
        assert "may still be in the hands of callers with other selectors" in refused.value.detail


async def test_what_is_not_there_is_unknown(folder: Path) -> None:
    async with administered(folder) as (path, _, _), AdminClient(path) as admin:
        for call in (admin.show("x"), admin.delete("x"), admin.update(spec("x"), revision=1)):
            with pytest.raises(Refused) as refused:
                await call
            assert refused.value.reason is Reason.ENTRY_UNKNOWN


@pytest.mark.parametrize(
    ("name", "request_body", "status", "message"),
    [
        ("Create", b"{", Status.INVALID_ARGUMENT, "json_malformed: "),
        ("Create", b"\xff", Status.INVALID_ARGUMENT, "json_malformed: "),
        ("Create", b"[" * 100_000, Status.INVALID_ARGUMENT, "json_malformed: "),
        ("Create", b'{"entry": {"entry_id": "a", "path": "/a"}, "x": 1}', Status.INVALID_ARGUMENT, "unknown field `x`"),
        ("Create", b'{"entry": {"entry_id": 1, "path": "/a"}}', Status.INVALID_ARGUMENT, "Expected `str`, got `int`"),
        ("Create", b'{"entry": {"path": "/a"}}', Status.INVALID_ARGUMENT, "missing required field `entry_id`"),
        ("Update", b'{"entry": {"entry_id": "a", "path": "/a"}}', Status.INVALID_ARGUMENT, "field `revision`"),
        ("Delete", b'{"entry_id": "a", "revision": "1"}', Status.INVALID_ARGUMENT, "Expected `int | null`"),
        ("List", b'{"offset": -1}', Status.INVALID_ARGUMENT, "offset must not be negative"),
        ("List", b'{"revision": 99}', Status.ABORTED, "store_conflict: "),
        ("Create", b" " * 131_073, Status.RESOURCE_EXHAUSTED, "document_too_large"),
        ("Purge", b"{}", Status.UNKNOWN, ""),  # UNIMPLEMENTED, as grpclib's own client sees it
    ],
)
async def test_requests_are_read_strictly(
    folder: Path, name: str, request_body: bytes, status: Status, message: str
) -> None:
    async with administered(folder) as (path, _, _):
        with pytest.raises(GRPCError) as refused:
            await raw(path, name, request_body)
    assert refused.value.status is status
    assert message in (refused.value.message or "")
    assert (refused.value.message or "").isprintable()


async def test_pages_are_of_one_moment(folder: Path) -> None:
    settings = AdminSettings(max_page_entries=2)
    async with administered(folder, settings) as (path, _, _), AdminClient(path) as admin:
        for number in range(5):
            await admin.create(spec(f"e{number}", None, f"unix:uid:{number}"))
        assert [each.entry_id for each in (await admin.list()).entries] == [f"e{number}" for number in range(5)]
        first = await raw(path, "List", b"{}")
        assert (len(first["entries"]), first["following"]) == (2, 2)
        await admin.delete("e0")
        with pytest.raises(GRPCError) as refused:
            await raw(path, "List", msgspec.json.encode({"offset": 2, "revision": first["revision"]}))
        assert refused.value.status is Status.ABORTED
        last = await raw(path, "List", b'{"offset": 4}')
        assert (last["entries"], last["following"]) == ([], None)


async def test_a_page_ends_by_its_bytes_too(folder: Path) -> None:
    async with administered(folder, AdminSettings(max_page_bytes=1)) as (path, _, _), AdminClient(path) as admin:
        for number in range(3):
            await admin.create(spec(f"e{number}", None, f"unix:uid:{number}"))
        assert len((await raw(path, "List", b"{}"))["entries"]) == 1
        assert len((await admin.list()).entries) == 3


async def test_of_changes_at_one_time_one_is_made(folder: Path) -> None:
    async with administered(folder) as (path, _, _), AdminClient(path) as one, AdminClient(path) as two:
        await one.create(spec())
        narrower = [spec("payments", None, "unix:uid:1000", f"unix:gid:{number}") for number in range(8)]
        calls = [(one, two)[place % 2].update(each, revision=1) for place, each in enumerate(narrower)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        stored = await one.show("payments")
    refused = [each for each in results if isinstance(each, Refused)]
    assert {each.reason for each in refused} == {Reason.ENTRY_CONFLICT}
    assert "changed since it was read" in refused[0].detail
    assert (len(refused), stored.revision) == (7, 2)


async def test_of_creations_at_one_time_one_has_the_identity(folder: Path) -> None:  # ID-14
    async with administered(folder) as (path, _, store), AdminClient(path) as one, AdminClient(path) as two:
        calls = [(one, two)[number % 2].create(spec(f"e{number}", "/payments")) for number in range(8)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert len(store.load().entries) == 1
    assert sum(isinstance(each, Refused) for each in results) == 7


async def test_a_client_that_goes_away_leaves_no_change_without_its_record(folder: Path) -> None:
    async with administered(folder) as (path, told, store):
        with store._engine.begin() as blocking:  # the change waits for this transaction
            async with AdminClient(path) as admin:
                call = asyncio.create_task(admin.create(spec()))
                await asyncio.sleep(0.3)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
            del blocking
        await support.eventually(lambda: store.load().entries and told)
    assert [each.action for each in told if isinstance(each, EntryChanged)] == ["created"]


async def test_more_calls_than_allowed_are_refused(folder: Path) -> None:
    async with administered(folder, AdminSettings(max_calls=1)) as (path, _, store), AdminClient(path) as admin:
        with store._engine.begin():
            calls = [asyncio.create_task(admin.create(spec(f"e{number}"))) for number in range(3)]
            done, _ = await asyncio.wait(calls, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert done
    refused = [each for each in results if isinstance(each, Unavailable)]
    assert len(refused) == 2
    assert "RESOURCE_EXHAUSTED" in refused[0].detail


async def test_more_connections_than_allowed_are_closed(folder: Path) -> None:
    async with administered(folder, AdminSettings(max_connections=1)) as (path, _, _), AdminClient(path) as admin:
        await admin.list()
        async with AdminClient(path) as other:
            with pytest.raises(Unavailable):
                await other.list()
        assert (await admin.list()).entries == ()


@as_root
def test_only_root_and_the_servers_user_are_answered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Everything that a mode could do is undone, to see that it is the kernel's word that counts. The directories above
    # belong to nobody in a user namespace, which a server refuses; that is not what this is about.
    monkeypatch.setattr("wimse.workload_api.sockets._check_directory", lambda _: None)
    folder.chmod(0o755)
    asyncio.run(_others_are_refused(folder))


async def _others_are_refused(folder: Path) -> None:
    async with administered(folder) as (path, told, _):
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
        closed = await asyncio.to_thread(as_user, 12345, path)
        assert closed == (1, "Unavailable: no server answers on " + path)
        Path(path).chmod(0o666)
        refused = await asyncio.to_thread(as_user, 12345, path)
        assert await asyncio.to_thread(as_user, 0, path) == (0, "created")
    assert refused == (1, "Refused: only root and the server's own user may manage entries")
    assert isinstance(told[0], CallRefused)
    assert (told[0].reason, told[0].uid, told[0].status) == (Reason.IDENTITY_NOT_ALLOWED, 12345, "PERMISSION_DENIED")


def as_user(uid: int, path: str) -> tuple[int, str]:
    """Create an entry as another user, in another process."""
    program = (
        "import os, sys\n"
        "from wimse.errors import WimseError\n"
        "from wimse.workload_api.admin import BlockingAdminClient, EntrySpec\n"
        "client = BlockingAdminClient(sys.argv[2])\n"
        "os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))\n"
        "try:\n"
        "    client.create(EntrySpec(entry_id='a', path='/a', selectors=('unix:uid:1',)))\n"
        "except WimseError as error:\n"
        "    sys.exit(print(f'{type(error).__name__}: {error.detail}') or 1)\n"
        "print('created')\n"
    )
    command = [sys.executable, "-c", program, str(uid), path]
    # Not measured: what it ran another user may not write down where the tests do.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert made.stderr == ""
    return made.returncode, made.stdout.strip()


async def test_nothing_of_it_is_on_the_workload_socket(folder: Path) -> None:  # IS-32
    async with administered(folder) as (path, _, store), support.serving(folder / "s", minispire=True) as address:
        async with AdminClient(address) as admin:
            with pytest.raises(ConfigurationError, match="there is no admin service on this socket"):
                await admin.create(spec())
        names = [f"/{SERVICE}/{each}" for each in ("Create", "Update", "Delete", "Show", "List")]
        for name in names:  # and as protobuf, which that socket speaks
            assert await asyncio.to_thread(grpc_status, address, name) == grpc.StatusCode.UNIMPLEMENTED
        assert store.load().entries == ()
        # nor the other way round
        status = await asyncio.to_thread(grpc_status, f"unix://{path}", "/SpiffeWorkloadAPI/FetchWITSVID")
        assert status != grpc.StatusCode.OK
        with pytest.raises(GRPCError) as refused:
            await other_service(path, "/SpiffeWorkloadAPI/FetchJWTBundles")
        assert refused.value.status is Status.UNKNOWN  # as above
        assert stat.S_IMODE((folder / "s").stat().st_mode) == 0o666
        assert stat.S_IMODE((folder / "a").stat().st_mode) == 0o600


async def other_service(path: str, name: str) -> None:
    channel = Channel(path=path, codec=JSONCodec())
    try:
        method: Any = UnaryUnaryMethod(channel, name, dict, dict)
        await method({}, timeout=10, metadata=support.HEADER)
    finally:
        channel.close()


def grpc_status(address: str, name: str) -> grpc.StatusCode:
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(name, request_serializer=bytes, response_deserializer=bytes)
        try:
            call(b"{}", metadata=support.HEADER, timeout=10)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


async def test_the_socket_is_refused_where_the_workload_apis_is(folder: Path) -> None:  # IS-11
    store = open_store(folder)
    open_to_all = folder / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    (folder / "link").symlink_to(folder / "elsewhere")
    (folder / "file").write_text("")
    for path in (open_to_all / "a", folder / "missing" / "a", folder / "link", folder / "file"):
        with pytest.raises(ConfigurationError):
            async with AdminServer(store, path, DOMAIN):
                pass
    with pytest.raises(ConfigurationError):
        AdminServer(store, "relative", DOMAIN)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(folder / "a"))
    async with AdminServer(store, folder / "a", DOMAIN):
        with pytest.raises(ConfigurationError, match="a server is listening"):
            async with AdminServer(store, folder / "a", DOMAIN):
                pass
    assert not (folder / "a").exists()
    async with support.serving(folder / "s"):  # one socket is never both
        with pytest.raises(ConfigurationError, match="a server is listening"):
            async with AdminServer(store, folder / "s", DOMAIN):
                pass
    store.close()


async def test_a_store_that_fails_is_unavailable(folder: Path) -> None:
    async with administered(folder) as (path, _, store), AdminClient(path) as admin:
        store.close()
        (folder / "issuer.db").unlink()
        (folder / "issuer.db").mkdir()
        with pytest.raises(Unavailable) as unavailable:
            await admin.create(spec())
    assert unavailable.value.reason is Reason.STORE_UNAVAILABLE


async def test_no_server_is_one_sentence(folder: Path) -> None:
    async with AdminClient(f"{folder}/none") as admin:
        with pytest.raises(Unavailable, match="no server answers on"):
            await admin.list()
    with pytest.raises(ConfigurationError):
        BlockingAdminClient("relative")


def test_entries_outlive_the_server_and_reach_workloads_at_once(folder: Path) -> None:
    with process(folder):
        admin = BlockingAdminClient(f"{folder}/admin.sock")
        made = admin.create(spec("me", None, f"unix:uid:{os.geteuid()}"))
        assert wait_for(folder, ["spiffe://example.com/me"])
    with process(folder):
        assert admin.show("me") == made
        assert [each.entry_id for each in admin.list().entries] == ["me"]
        assert wait_for(folder, ["spiffe://example.com/me"])
        admin.update(msgspec.structs.replace(made.spec, hint="h"), revision=1)
        admin.delete("me", revision=2)
        with pytest.raises(Refused):
            admin.show("me")
    lines = [msgspec.json.decode(line) for line in (folder / "audit.log").read_bytes().splitlines()]
    changes = [each for each in lines if each["event"].startswith("entry_")]
    assert [each["event"] for each in changes] == ["entry_created", "entry_updated", "entry_deleted"]
    assert {(each["uid"], each["pid"], each["source"]) for each in changes} == {(os.geteuid(), os.getpid(), "admin")}


def fetch(folder: Path) -> list[str]:
    address = f"unix://{folder}/api.sock"
    answers = support._call(
        address, "/SpiffeWorkloadAPI/FetchX509SVID", pb.X509SVIDRequest(), pb.X509SVIDResponse, support.HEADER
    )
    return [each.spiffe_id for each in answers[0].svids]


@contextlib.contextmanager
def process(folder: Path, config: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """`wimse identity-server run` with a store, as a process."""
    file = folder / "server.toml"
    file.write_text(
        f'socket = "{folder}/api.sock"\nadmin_socket = "{folder}/admin.sock"\naudit_log = "{folder}/audit.log"\n'
        f'development = true\n{config}[store]\nsqlite = "{folder}/issuer.db"\n[encryption]\nplaintext = true\n'
    )
    with served("--config", str(file)) as (running, line):
        assert line.startswith("ready: ")
        yield running
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=20)
    assert running.returncode == 0


def test_a_served_template_is_an_identity_for_everybody(folder: Path) -> None:
    file = folder / "entries.toml"
    file.write_text(f'[[entries]]\nentry_id = "any"\npath = "{TEMPLATE_PATH}"\n')
    name = Path(f"/proc/{os.getpid()}/exe").resolve().name
    with process(folder, f'entries_file = "{file}"\n'):
        identity = f"spiffe://example.com/bin/{name}/gid/{os.getegid()}/pid/{os.getpid()}/uid/{os.geteuid()}"
        assert wait_for(folder, [identity])
        BlockingAdminClient(f"{folder}/admin.sock").create(spec("me", None, f"unix:uid:{os.geteuid()}"))
        assert wait_for(folder, ["spiffe://example.com/me"])


def wait_for(folder: Path, identities: list[str]) -> bool:
    """Whether these are what this process gets, before long."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(grpc.RpcError):
            if fetch(folder) == identities:
                return True
        time.sleep(0.02)
    return False
