"""A server whose keys and entries come from a store: what it takes over, what it says, when it stops to issue."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.workload_api.support import FAST, authority, eventually
from wimse.credentials import UnverifiedWIT
from wimse.credentials.jws import UnverifiedJWS
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.issuer import Authority, KeyUse, Registration, Selector, SigningKeys
from wimse.workload_api import (
    IdentityServer,
    IssuerKeeping,
    RunningServer,
    ServerConfig,
    ServerSettings,
    WorkloadAPIClient,
    check_config,
    serve,
)
from wimse.workload_api.audit import AuditLog
from wimse.workload_api.events import Observer
from wimse.workload_api.keeping import ServedEntries

ME = f"unix:uid:{os.geteuid()}"
PUSHED = ServerSettings(recheck_interval=timedelta(seconds=60))


@dataclass
class Kept:
    """A keeper whose store is here; what it gives next is what a test says."""

    keys: SigningKeys = field(default_factory=lambda: replace(authority().keys, sequence=1))
    entries: Sequence[Registration] = ()
    failure: Exception | None = None

    def start(self, *, now: int) -> SigningKeys:
        return self.refresh(now=now)

    def refresh(self, *, now: int) -> SigningKeys:
        assert now
        if self.failure is not None:
            raise self.failure
        return self.keys

    def succeed(self, distrusted: bool) -> None:
        """Have new keys sign; the old ones stay published, as after a rotation or a taint."""
        new, old = authority().keys, self.keys
        kids = frozenset(str(each.key.kid) for each in old.active.values())
        self.keys = replace(
            new,
            wit_keys=(*old.wit_keys, *new.wit_keys),
            jwt_keys=(*old.jwt_keys, *new.jwt_keys),
            x509_authorities=(*old.x509_authorities, *new.x509_authorities),
            sequence=(old.sequence or 0) + 1,
            distrusted=kids if distrusted else frozenset(),
        )


@contextlib.asynccontextmanager
async def kept(
    path: Path,
    keeper: Kept,
    *own: Registration,
    settings: ServerSettings = PUSHED,
    max_staleness: float = 0.1,
    observers: Sequence[Observer] = (),
) -> AsyncIterator[tuple[WorkloadAPIClient, IdentityServer, IssuerKeeping]]:
    entries = ServedEntries(own, default_identities=False, now=int(time.time()))
    entries.take_stored(keeper.entries, now=int(time.time()))
    issuer = Authority(authority().wit_trust_domain, keeper.keys)
    server = IdentityServer(issuer, entries.registrations(), settings, observers=observers)
    keeping = IssuerKeeping(keeper, server.state, entries, max_staleness=max_staleness)
    async with keeping.running(), server.listening(path), WorkloadAPIClient(f"unix://{path}") as client:
        yield client, server, keeping


def registered(name: str, path: str, **others: Any) -> Registration:
    return Registration(entry_id=name, path=path, selectors=(Selector.parse(ME),), **others)


async def soon(stream: Any) -> Any:
    return await asyncio.wait_for(anext(stream), 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.mark.parametrize("distrusted", [True, False], ids=["tainted", "rotated"])
async def test_what_a_tainted_key_signed_is_renewed_at_once_and_what_a_rotated_one_did_is_not(
    path: Path, distrusted: bool
) -> None:
    keeper = Kept(entries=[registered("a", "/a")])
    async with kept(path, keeper) as (client, server, _):
        wits, bundles = aiter(client.watch_wit_svids()), aiter(client.watch_wit_bundles())
        first, before = await soon(wits), await soon(bundles)
        keeper.succeed(distrusted)
        assert (await soon(bundles)) != before  # pushed: a recheck is a minute away
        renewing = asyncio.ensure_future(anext(wits))
        assert bool((await asyncio.wait({renewing}, timeout=3 if distrusted else 0.3))[0]) is distrusted
        if distrusted:
            (svid,) = renewing.result().svids
            kid = UnverifiedWIT.parse(svid.wit_svid).jws.header["kid"]
            assert kid == server.state.authority.keys.active[KeyUse.WIT].key.kid
            assert svid.wit_svid != first.svids[0].wit_svid
        renewing.cancel()


async def test_change_of_keys_is_recorded_once_and_made_where_it_cannot_be(path: Path, tmp_path: Path) -> None:
    """IS-28: kids, and nothing of the keys."""
    file, keeper = tmp_path / "audit.log", Kept()
    audit = AuditLog(file, required=True)
    async with kept(path, keeper, observers=[audit]) as (_, server, keeping):
        old = {use.value: str(each.key.kid) for use, each in keeper.keys.active.items()}
        keeper.succeed(distrusted=True)
        for _ in range(2):
            await keeping.refresh()
        (line,) = map(json.loads, file.read_text().splitlines())
        new = {use.value: str(each.key.kid) for use, each in keeper.keys.active.items()}
        tokens = {kids[use] for kids in (old, new) for use in ("wit", "jwt")}
        assert line.pop("time") > 0
        assert line == {
            "event": "keys_changed",
            "sequence": 2,
            "active": new,
            "published": sorted(tokens),
            "distrusted": sorted(old.values()),
        }
        os.dup2(os.open("/dev/full", os.O_WRONLY), audit._descriptor)
        keeper.succeed(distrusted=False)
        await keeping.refresh()
        assert server.state.authority.keys is keeper.keys
        assert audit.failures == 1
    audit.close()


async def test_store_that_is_away_too_long_stops_issuing_and_readiness(path: Path) -> None:
    """IS-34: no token, and not ready; both again when the store is back."""
    keeper = Kept(entries=[registered("a", "/a")])
    async with kept(path, keeper, settings=FAST) as (client, server, keeping):
        assert server.state.healthy
        keeper.keys = replace(keeper.keys, fresh_until=int(time.time()) + 1)
        await keeping.refresh()
        keeper.failure = Unavailable(Reason.STORE_UNAVAILABLE, "the issuer's database failed")
        with pytest.raises(Unavailable, match="database"):
            await keeping.refresh()
        await eventually(lambda: not server.state.healthy)
        with pytest.raises(Unavailable):
            await client.fetch_jwt_svids(["a"])
        keeper.failure, keeper.keys = None, replace(keeper.keys, fresh_until=None)
        await eventually(lambda: server.state.healthy)
        assert (await client.fetch_jwt_svids(["a"])).svids


async def test_fault_in_the_keeper_does_not_end_the_keeping(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keeper = Kept(failure=RuntimeError("secret"))
    async with kept(path, keeper) as (_, server, _):
        await eventually(lambda: "cannot be brought up to date: a fault (RuntimeError)" in caplog.text)
        assert "secret" not in caplog.text
        keeper.failure = None
        keeper.entries = [registered("a", "/a")]
        await eventually(lambda: bool(server.state.registrations.kinds))
    assert "up to date again" in caplog.text


async def test_entries_of_the_store_come_go_and_expire(path: Path) -> None:
    """IS-14."""
    keeper = Kept()
    async with kept(path, keeper) as (client, _, keeping):
        with pytest.raises(Refused) as refusal:
            await client.fetch_jwt_svids(["a"])
        assert refusal.value.reason is Reason.NO_IDENTITY
        keeper.entries = [registered("a", "/a", expires_at=int(time.time()) + 2), registered("b", "/b")]
        await keeping.refresh()
        stream = aiter(client.watch_wit_svids())
        assert len((await soon(stream)).svids) == 2
        assert [each.spiffe_id for each in (await soon(stream)).svids] == ["spiffe://example.com/b"]
        keeper.entries = []
        with pytest.raises(Refused):
            await soon(stream)


async def test_identity_of_the_file_is_not_given_to_others_by_the_store(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = Registration(entry_id="own", path="/a", selectors=(Selector.parse("unix:uid:4000000000"),))
    keeper = Kept(entries=[registered("a", "/a")])
    async with kept(path, keeper, own) as (client, _, _):
        with pytest.raises(Refused):
            await client.fetch_jwt_svids(["a"])
    assert "that of the file counts" in caplog.text


async def test_entry_that_does_not_fit_leaves_what_is_served(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = registered("own", "/own", hint="main")
    keeper = Kept()
    async with kept(path, keeper, own) as (client, _, keeping):
        keeper.entries = [registered("a", "/a", hint="main")]
        for _ in range(2):  # also when it is looked at again
            with pytest.raises(ConfigurationError, match="hint"):
                await keeping.refresh()
        assert len((await client.fetch_jwt_svids(["a"])).svids) == 1
        assert "cannot be brought up to date" in caplog.text
        keeper.entries = [registered("a", "/a")]
        await keeping.refresh()
        assert len((await client.fetch_jwt_svids(["a"])).svids) == 2


@pytest.mark.parametrize(("algorithm", "curve"), [("ES384", "P-384"), ("RS256", None)], ids=["ES384", "RS256"])
async def test_entry_says_lifetimes_names_and_algorithm(path: Path, algorithm: str, curve: str | None) -> None:
    from cryptography import x509

    entry = registered(
        "a",
        "/a",
        wit_lifetime=timedelta(seconds=30),
        jwt_svid_lifetime=timedelta(seconds=20),
        x509_svid_lifetime=timedelta(seconds=40),
        dns_names=("a.example.com",),
        key_algorithm=algorithm,
    )
    now = int(time.time())
    async with kept(path, Kept(entries=[entry])) as (client, _, _):
        wit = (await soon(aiter(client.watch_wit_svids()))).svids[0]
        jwt = (await client.fetch_jwt_svids(["a"])).svids[0]
        svid = (await soon(aiter(client.watch_x509_svids()))).svids[0]
    claims: Any = UnverifiedWIT.parse(wit.wit_svid).jws.claims
    assert claims["exp"] - now in range(30, 36)
    assert claims["cnf"]["jwk"]["alg"] == algorithm
    assert claims["cnf"]["jwk"].get("crv") == curve
    expires: Any = UnverifiedJWS.parse(jwt.svid).claims["exp"]
    assert expires - now in range(20, 26)
    certificate = x509.load_der_x509_certificate(svid.x509_svid)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example.com"]
    assert int(certificate.not_valid_after_utc.timestamp()) - now in range(40, 46)


async def test_services_beside_run_while_the_server_does(path: Path) -> None:
    seen: list[str] = []

    @contextlib.asynccontextmanager
    async def beside(running: RunningServer) -> AsyncIterator[None]:
        assert running.keeping is not None
        await running.keeping.refresh()
        seen.append(running.state.authority.name)
        try:
            yield
        finally:
            seen.append("ended")

    ready = asyncio.Event()
    config = ServerConfig(socket=f"unix://{path}")
    task = asyncio.create_task(serve(config, ready=ready.set, keeper=Kept(), beside=[beside]))
    await asyncio.wait_for(ready.wait(), 5)
    assert seen == ["example.com"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["example.com", "ended"]


# --------------------------------------------------------------------------------------------------- configuration

STORE = "[store]\n[encryption]\nfile = '/kek'\n"


@pytest.mark.parametrize(
    ("text", "line", "detail"),
    [
        ("[store]\n", 1, "a store needs \\[encryption\\]"),
        ("[encryption]\nfile = '/k'\n", 1, "there is no \\[store\\]"),
        ("[store]\nsqlite = 'issuer.db'\n[encryption]\nfile = '/k'\n", 1, "absolute path"),
        ("[store]\nsqlite = '/a'\npostgresql_url_file = '/b'\n[encryption]\nfile = '/k'\n", 1, "one database"),
        ("[store]\npostgresql_url = 'postgresql://u:p@h/d'\n", 2, "unknown field `postgresql_url`"),
        ("\n[store]\n[encryption]\nplaintext = true\n", 3, "it needs development = true"),
        ("[store]\n[encryption]\n", 2, "one of file, credential and command"),
        ("[store]\n[encryption]\nfile = '/a'\ncredential = 'b'\n", 2, "one of file, credential and command"),
        ("[store]\n[encryption]\ncommand = ['kms']\n", 2, "absolute path"),
        ("development = true\n[store]\n[encryption]\nplaintext = true\nfile = '/k'\n", 3, "goes with no key"),
        ("default_identities = true\n" + STORE, 1, "default_identities are for development"),
        (STORE + "[keys]\nmax_staleness_seconds = 1\n", 5, "max_staleness must be between 2 and 600"),
        (STORE + "[keys]\n\nrotation_interval_seconds = 99999999999999\n", 6, "too long"),
        (STORE + "[upstream]\nchain = '/a'\nkey = 'b'\nroots = '/c'\n", 4, "upstream.key must be an absolute path"),
        ("[upstream]\nchain = '/a'\nkey = '/b'\nroots = '/c'\n", 1, "upstream needs a \\[store\\]"),
    ],
)
def test_check_says_what_is_wrong_with_store_and_keys(tmp_path: Path, text: str, line: int, detail: str) -> None:
    config = tmp_path / "c.toml"
    config.write_text(text)
    problems = check_config(config)
    assert [each.line for each in problems] == [line]
    with pytest.raises(AssertionError, match=detail):
        raise AssertionError(problems[0].detail)


def test_store_switches_default_identities_off(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(STORE)
    assert check_config(config) == ()
    assert ServerConfig().gives_default_identities
    config.write_text("development = true\ndefault_identities = true\n" + STORE)
    assert check_config(config) == ()
