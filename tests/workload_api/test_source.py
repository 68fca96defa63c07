from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

from tests.workload_api.support import MutableRegistrations, authority, entries, eventually, serving
from wimse.credentials import TrustDomain, UnverifiedWIT, WorkloadSource, verify_wit
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.issuer import Registrations
from wimse.keys import PrivateKey
from wimse.workload_api import BlockingWorkloadAPISource, SourceSettings, WorkloadAPISource
from wimse.workload_api.proto import workload_pb2 as pb

QUICK = SourceSettings(
    first_snapshot_timeout=timedelta(seconds=3),
    initial_backoff=timedelta(seconds=0.02),
    max_backoff=timedelta(seconds=0.1),
)
HASTY = SourceSettings(first_snapshot_timeout=timedelta(seconds=0.3), initial_backoff=timedelta(seconds=0.02))
SPIFFE = TrustDomain("spiffe", "example.com")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sock"


def reason_of(source: WorkloadSource) -> Reason | None:
    try:
        source.snapshot()
    except Unavailable as unavailable:
        return unavailable.reason
    return None


class ScriptedServer:
    """A real gRPC server that says what a test tells it, right or wrong."""

    def __init__(self) -> None:
        self.svids: asyncio.Queue[pb.WITSVIDResponse | Status] = asyncio.Queue()
        self.bundles: asyncio.Queue[pb.WITBundlesResponse | Status] = asyncio.Queue()
        self.calls: list[str] = []
        self.issuer = authority()

    def good_svid(self, path: str = "/a", *, lifetime: int = 300) -> pb.WITSVID:
        key, subject = PrivateKey.generate(), SPIFFE.workload(path)
        now = int(time.time()) + lifetime - 300
        token = self.issuer.issue_wit(subject, key.public_key, now=now, token_id="1")
        return pb.WITSVID(spiffe_id=str(subject), wit_svid=token.text, wit_svid_key=json.dumps(key.to_jwk()))

    def good_bundles(self) -> pb.WITBundlesResponse:
        return pb.WITBundlesResponse(bundles={str(SPIFFE): self.issuer.bundles()[SPIFFE].to_json("wit-svid").decode()})

    def __mapping__(self) -> dict[str, Handler]:
        return {
            "/SpiffeWorkloadAPI/FetchWITSVID": Handler(
                self._script("svids"), Cardinality.UNARY_STREAM, pb.WITSVIDRequest, pb.WITSVIDResponse
            ),
            "/SpiffeWorkloadAPI/FetchWITBundles": Handler(
                self._script("bundles"), Cardinality.UNARY_STREAM, pb.WITBundlesRequest, pb.WITBundlesResponse
            ),
        }

    def _script(self, name: str) -> Callable[[Stream[Any, Any]], Any]:
        async def handler(stream: Stream[Any, Any]) -> None:
            self.calls.append(name)
            assert stream.metadata is not None
            assert stream.metadata.getall("workload.spiffe.io") == ["true"]
            await stream.recv_message()
            while True:
                step = await getattr(self, name).get()
                if isinstance(step, Status):
                    raise GRPCError(step)
                await stream.send_message(step)

        return handler

    @contextlib.asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator[str]:
        server = Server([self])
        await server.start(path=str(path))
        try:
            yield f"unix://{path}"
        finally:
            server.close()


async def test_first_snapshot_is_complete_and_verifies(path: Path) -> None:
    async with serving(path) as address, WorkloadAPISource(address, settings=QUICK) as source:
        snapshot = source.snapshot()
        assert f"/pid/{os.getpid()}/" in str(snapshot.credential.identity)
        verified = verify_wit(
            UnverifiedWIT.parse(snapshot.credential.wit), snapshot.bundles[SPIFFE], now=int(time.time())
        )
        assert verified.key.same_key(snapshot.credential.key.public_key)
    assert reason_of(source) is Reason.CREDENTIAL_UNAVAILABLE


async def test_environment_says_where_the_endpoint_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SV-25."""
    monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", f"unix://{path}")
    async with serving(path), WorkloadAPISource(settings=QUICK) as source:
        source.snapshot()


async def test_wimse_subjects_come_with_their_bundle(path: Path) -> None:
    async with serving(path, authority("wimse")) as address, WorkloadAPISource(address, settings=QUICK) as source:
        snapshot = source.snapshot()
        bundle = snapshot.bundles[TrustDomain("wimse", "example.com")]
        verify_wit(UnverifiedWIT.parse(snapshot.credential.wit), bundle, now=int(time.time()))


async def test_identity_that_is_asked_for_is_the_one_that_is_given(path: Path) -> None:
    granted = entries("/a", "/b", selector=f"unix:uid:{os.getuid()}")
    async with serving(path, registrations=granted) as address:
        async with WorkloadAPISource(address, "spiffe://example.com/b", settings=QUICK) as source:
            assert source.snapshot().credential.identity == SPIFFE.workload("/b")
        async with WorkloadAPISource(address, settings=QUICK) as source:
            assert source.snapshot().credential.identity == SPIFFE.workload("/a")  # the first is the default


@pytest.mark.parametrize(
    ("socket", "spiffe_id"), [("unix://host/p", None), ("tcp://name:1", None), ("unix:///p", "spiffe://example.com")]
)
async def test_malformed_identity_or_address_is_refused_at_once(socket: str, spiffe_id: str | None) -> None:
    """CL-07."""
    with pytest.raises(ConfigurationError):
        WorkloadAPISource(socket, spiffe_id)
    with pytest.raises(ConfigurationError):
        BlockingWorkloadAPISource(socket, spiffe_id)


async def test_snapshot_is_renewed_and_always_fits_its_key(path: Path) -> None:
    """CL-06: (WIT, key) are replaced together, before the old one expires."""
    async with (
        serving(path, authority(wit_lifetime=timedelta(seconds=2))) as address,
        WorkloadAPISource(address, settings=QUICK) as source,
    ):
        seen = set()
        end = time.monotonic() + 3
        while time.monotonic() < end:
            credential = source.snapshot().credential
            jwk: Any = UnverifiedWIT.parse(credential.wit).jws.claims["cnf"]
            assert jwk["jwk"]["x"] == credential.key.public_key.to_jwk()["x"]
            seen.add(credential.wit)
            await asyncio.sleep(0.01)
        assert len(seen) >= 3


async def test_source_recovers_after_the_server_was_restarted(path: Path) -> None:
    """CL-03: it connects again by itself, and takes the new keys."""
    async with serving(path) as address:
        source = await WorkloadAPISource(address, settings=QUICK).__aenter__()
        before = source.snapshot()
    assert source.snapshot() is before  # the old one is good while it lives
    async with serving(path):
        await eventually(lambda: source.snapshot().bundles[SPIFFE].wit_keys != before.bundles[SPIFFE].wit_keys)
        await eventually(lambda: source.snapshot().credential.wit != before.credential.wit)
        snapshot = source.snapshot()
        verify_wit(UnverifiedWIT.parse(snapshot.credential.wit), snapshot.bundles[SPIFFE], now=int(time.time()))
    await source.close()


async def test_source_without_server_refuses_once_the_wit_has_expired(path: Path) -> None:
    """CL-05, WC-47."""
    async with serving(path, authority(wit_lifetime=timedelta(seconds=2))) as address:
        source = await WorkloadAPISource(address, settings=QUICK).__aenter__()
    expires_at = source.snapshot().credential.expires_at
    await eventually(lambda: reason_of(source) is Reason.CREDENTIAL_EXPIRED)
    assert time.time() >= expires_at
    await source.close()
    assert reason_of(source) is Reason.CREDENTIAL_UNAVAILABLE


async def test_withdrawn_identity_is_gone_and_may_come_back(path: Path) -> None:
    """SV-28, IS-14: PermissionDenied on an open stream is a redaction, and worth trying again."""
    registrations = MutableRegistrations()
    async with (
        serving(path, registrations=registrations) as address,
        WorkloadAPISource(address, settings=QUICK) as source,
    ):
        registrations.current = Registrations(default_identities=False)
        await eventually(lambda: reason_of(source) is Reason.CREDENTIAL_UNAVAILABLE)
        registrations.current = Registrations()
        await eventually(lambda: reason_of(source) is None)


async def test_absent_server_is_named_when_the_wait_is_over(path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"no identity within 0.3 s from unix://.*cannot be reached") as unavailable:
        async with WorkloadAPISource(f"unix://{path}", settings=HASTY):
            pass
    assert unavailable.value.reason is Reason.ISSUER_UNAVAILABLE
    assert time.monotonic() - started < 2


async def test_server_without_identity_for_us_is_named_when_the_wait_is_over(path: Path) -> None:
    async with serving(path, registrations=Registrations(default_identities=False)) as address:
        with pytest.raises(Unavailable, match="no such identity") as unavailable:
            async with WorkloadAPISource(address, settings=HASTY):
                pass
    assert unavailable.value.reason is Reason.CREDENTIAL_UNAVAILABLE


async def test_server_that_comes_later_is_found(path: Path) -> None:
    """CL-03."""
    source = WorkloadAPISource(f"unix://{path}", settings=QUICK)
    entering = asyncio.create_task(source.__aenter__())
    await asyncio.sleep(0.2)
    async with serving(path):
        await entering
        source.snapshot()
        await source.close()


async def test_waits_grow_and_are_bounded(path: Path) -> None:
    """CL-03: at once, then with backoff."""
    scripted = ScriptedServer()
    for _ in range(50):
        scripted.svids.put_nowait(Status.UNAVAILABLE)
    settings = SourceSettings(
        first_snapshot_timeout=timedelta(seconds=1),
        initial_backoff=timedelta(seconds=0.1),
        max_backoff=timedelta(seconds=0.4),
    )
    async with scripted.listening(path) as address:
        with pytest.raises(Unavailable):
            async with WorkloadAPISource(address, settings=settings):
                pass
    assert 4 <= scripted.calls.count("svids") <= 8


@pytest.mark.parametrize("status", [Status.INVALID_ARGUMENT, Status.UNIMPLEMENTED])
@pytest.mark.parametrize("stream", ["svids", "bundles"])
async def test_error_of_ours_is_not_tried_again(path: Path, status: Status, stream: str) -> None:
    """CL-02, SV-26."""
    scripted = ScriptedServer()
    getattr(scripted, stream).put_nowait(status)
    async with scripted.listening(path) as address:
        started = time.monotonic()
        with pytest.raises(Refused if status is Status.INVALID_ARGUMENT else ConfigurationError):
            async with WorkloadAPISource(address, settings=QUICK):
                pass
        assert time.monotonic() - started < 2
        await asyncio.sleep(0.2)
    assert scripted.calls.count(stream) == 1


def _foreign_key(server: ScriptedServer) -> pb.WITSVID:
    svid = server.good_svid()
    svid.wit_svid_key = server.good_svid().wit_svid_key
    return svid


def _without(field: str) -> Callable[[ScriptedServer], pb.WITSVID]:
    def make(server: ScriptedServer) -> pb.WITSVID:
        svid = server.good_svid()
        svid.ClearField(field)
        return svid

    return make


def _with(**values: str) -> Callable[[ScriptedServer], pb.WITSVID]:
    def make(server: ScriptedServer) -> pb.WITSVID:
        svid = server.good_svid()
        for name, value in values.items():
            setattr(svid, name, value)
        return svid

    return make


@pytest.mark.parametrize(
    "bad",
    [
        lambda _: None,
        _foreign_key,
        _without("spiffe_id"),
        _without("wit_svid"),
        _without("wit_svid_key"),
        _with(spiffe_id="spiffe://example.com/other"),
        _with(wit_svid="garbage"),
        _with(wit_svid_key="garbage"),
        _with(wit_svid_key='{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB"}'),
        lambda server: server.good_svid(lifetime=-5),
    ],
)
async def test_unusable_wit_is_discarded_and_the_old_one_stays(
    path: Path, bad: Callable[[ScriptedServer], pb.WITSVID | None], caplog: pytest.LogCaptureFixture
) -> None:
    """CL-01, SV-29: and it is reported, without what was in it."""
    scripted = ScriptedServer()
    scripted.bundles.put_nowait(scripted.good_bundles())
    old = scripted.good_svid()
    scripted.svids.put_nowait(pb.WITSVIDResponse(svids=[old]))
    async with scripted.listening(path) as address, WorkloadAPISource(address, settings=QUICK) as source:
        keys = scripted.issuer.keys  # so that it can make an expired one
        early = {use: replace(each, not_before=0) for use, each in keys.active.items()}
        scripted.issuer._newest_issue, scripted.issuer._keys = 0, replace(keys, active=early)
        svid = bad(scripted)
        scripted.svids.put_nowait(pb.WITSVIDResponse(svids=[] if svid is None else [svid]))
        await eventually(lambda: "is discarded" in caplog.text)
        assert source.snapshot().credential.wit == old.wit_svid
        new = scripted.good_svid("/a")
        scripted.svids.put_nowait(pb.WITSVIDResponse(svids=[new]))
        await eventually(lambda: source.snapshot().credential.wit == new.wit_svid)
    assert scripted.calls.count("svids") == 1  # the stream is kept


async def test_wit_of_another_identity_than_asked_for_is_discarded(path: Path) -> None:
    """CL-01."""
    scripted = ScriptedServer()
    scripted.bundles.put_nowait(scripted.good_bundles())
    scripted.svids.put_nowait(pb.WITSVIDResponse(svids=[scripted.good_svid("/other")]))
    async with scripted.listening(path) as address:
        with pytest.raises(Unavailable, match="not the identity that was asked for"):
            async with WorkloadAPISource(address, "spiffe://example.com/a", settings=HASTY):
                pass


async def test_bundle_that_is_left_out_is_unloaded(path: Path) -> None:
    """CL-04, SV-28."""
    scripted = ScriptedServer()
    both = scripted.good_bundles()
    both.bundles["spiffe://other.org"] = '{"keys":[]}'
    scripted.bundles.put_nowait(both)
    scripted.svids.put_nowait(pb.WITSVIDResponse(svids=[scripted.good_svid()]))
    async with scripted.listening(path) as address, WorkloadAPISource(address, settings=QUICK) as source:
        assert len(source.snapshot().bundles) == 2
        scripted.bundles.put_nowait(scripted.good_bundles())
        await eventually(lambda: len(source.snapshot().bundles) == 1)
        credential = source.snapshot().credential
        for bad in ({}, {"spiffe://example.com": "{}"}, {"example.com": '{"keys":[]}'}):
            scripted.bundles.put_nowait(pb.WITBundlesResponse(bundles=bad))
        await asyncio.sleep(0.1)
        assert set(source.snapshot().bundles) == {SPIFFE}
        assert source.snapshot().credential is credential


async def test_secrets_are_neither_shown_nor_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """IS-28, WC-45."""
    caplog.set_level(logging.DEBUG, logger="wimse")
    async with serving(path) as address, WorkloadAPISource(address, settings=QUICK) as source:
        credential = source.snapshot().credential
        shown = repr(source) + repr(source.snapshot()) + caplog.text
    assert isinstance(credential.key, PrivateKey)
    assert credential.key.to_jwk()["d"] not in shown
    assert credential.wit not in shown


# -------------------------------------------------------------------------------------------------------- blocking


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "wimse-workload-api"]


async def test_blocking_source_serves_other_threads_and_stops(path: Path) -> None:
    def use(address: str) -> tuple[str, str, list[str]]:
        source = BlockingWorkloadAPISource(address, settings=QUICK)
        with pytest.raises(Unavailable):
            source.snapshot()
        with source:
            first = source.snapshot().credential.wit
            deadline = time.monotonic() + 4
            while source.snapshot().credential.wit == first:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            names = _threads()
        with pytest.raises(Unavailable):
            source.snapshot()
        with source:  # and once more
            return first, source.snapshot().credential.wit, names

    async with serving(path, authority(wit_lifetime=timedelta(seconds=2))) as address:
        first, last, names = await asyncio.to_thread(use, address)
    assert first != last
    assert names == ["wimse-workload-api"]
    assert _threads() == []


def test_blocking_source_says_what_failed(path: Path) -> None:
    with (
        pytest.raises(Unavailable, match="cannot be reached"),
        BlockingWorkloadAPISource(f"unix://{path}", settings=HASTY),
    ):
        pass
    assert _threads() == []


def test_blocking_source_is_opened_once(path: Path) -> None:
    source = BlockingWorkloadAPISource(f"unix://{path}", settings=HASTY)
    source._thread, source._pid = object(), os.getpid()  # type: ignore[assignment]
    with pytest.raises(RuntimeError), source:
        pass
