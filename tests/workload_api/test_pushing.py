"""What open streams are told of a change; with the recheck a minute away, so that only a push explains it."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.workload_api.support import authority, entries, grpcio
from tests.workload_api.test_service import API, CALLS, status_of
from wimse.credentials import TrustBundle, TrustBundles, TrustDomain, UnverifiedWIT, verify_wit
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.issuer import Authority, Entry, Registrations, Selector
from wimse.workload_api import IdentityServer, ServerSettings, WorkloadAPIClient
from wimse.workload_api.proto import workload_pb2 as pb
from wimse.workload_api.state import Broadcast

SLOW = ServerSettings(recheck_interval=timedelta(seconds=60))
ME = f"unix:uid:{os.getuid()}"
OTHER = TrustDomain("spiffe", "other.org")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def other_bundle(*, name: str = "other.org") -> TrustBundle:
    issuer = Authority.create(name, now=int(time.time()))
    return issuer.bundles()[issuer.spiffe_trust_domain]


async def soon(stream: Any) -> Any:
    return await asyncio.wait_for(anext(stream), 3)


def watches(client: WorkloadAPIClient) -> dict[str, Any]:
    return {
        "wit": aiter(client.watch_wit_svids()),
        "wit bundles": aiter(client.watch_wit_bundles()),
        "x509": aiter(client.watch_x509_svids()),
        "jwt bundles": aiter(client.watch_jwt_bundles()),
        "x509 bundles": aiter(client.watch_x509_bundles()),
    }


async def test_entry_that_goes_ends_every_stream_at_once(path: Path) -> None:
    """IS-14."""
    server = IdentityServer(authority(), entries("/a", selector=ME), SLOW)
    async with server.listening(path), WorkloadAPIClient(f"unix://{path}") as client:
        streams = watches(client)
        for stream in streams.values():
            await soon(stream)
        server.state.replace_registrations(Registrations(default_identities=False))
        for stream in streams.values():
            with pytest.raises(Refused) as refusal:
                await soon(stream)
            assert refusal.value.reason is Reason.NO_IDENTITY


async def test_entry_that_changes_is_a_new_message_to_those_whom_it_concerns(path: Path) -> None:
    """IS-14, IS-16, SV-28: all that is left, and nothing for who has the same as before."""
    server = IdentityServer(authority(), entries("/a", "/b", selector=ME), SLOW)
    async with server.listening(path), WorkloadAPIClient(f"unix://{path}") as client:
        streams = watches(client)
        for stream in streams.values():
            await soon(stream)
        only_b = aiter(client.watch_wit_svids("spiffe://example.com/b"))
        await soon(only_b)
        server.state.replace_registrations(entries("/b", selector=ME))
        assert [svid.spiffe_id for svid in (await soon(streams["wit"])).svids] == ["spiffe://example.com/b"]
        assert [svid.spiffe_id for svid in (await soon(streams["x509"])).svids] == ["spiffe://example.com/b"]
        for unchanged in (only_b, streams["wit bundles"], streams["jwt bundles"]):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(unchanged), 0.2)


async def test_identity_that_was_asked_for_and_goes_is_refused(path: Path) -> None:
    """IS-12, IS-14."""
    server = IdentityServer(authority(), entries("/a", "/b", selector=ME), SLOW)
    async with server.listening(path), WorkloadAPIClient(f"unix://{path}") as client:
        stream = aiter(client.watch_wit_svids("spiffe://example.com/a"))
        await soon(stream)
        server.state.replace_registrations(entries("/b", selector=ME))
        with pytest.raises(Refused) as refusal:
            await soon(stream)
        assert refusal.value.reason is Reason.IDENTITY_NOT_ALLOWED


async def test_new_keys_are_pushed_and_what_a_withdrawn_key_signed_is_made_again(path: Path) -> None:
    server = IdentityServer(authority(), entries("/a", selector=ME), SLOW)
    async with server.listening(path), WorkloadAPIClient(f"unix://{path}") as client:
        streams = watches(client)
        before = {name: await soon(stream) for name, stream in streams.items()}
        server.state.authority = authority()  # as a revocation of all of them does
        server.state.keys_changed()
        after = {name: await soon(stream) for name, stream in streams.items()}
    domain = TrustDomain("spiffe", "example.com")
    published = TrustBundle.parse(domain, after["wit bundles"].bundles[str(domain)].encode())
    assert before["wit bundles"] != after["wit bundles"]
    verify_wit(UnverifiedWIT.parse(after["wit"].svids[0].wit_svid), published, now=int(time.time()))
    assert after["x509"].svids[0].bundle == after["x509 bundles"].bundles["spiffe://example.com"]
    assert before["jwt bundles"] != after["jwt bundles"]


async def test_key_that_is_only_published_does_not_renew_wits_unless_it_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = authority()
    (prepared,) = authority().keys.wit_keys
    server = IdentityServer(issuer, entries("/a", selector=ME), SLOW)
    own = issuer.bundles()[issuer.spiffe_trust_domain]
    published = TrustBundles(dataclasses.replace(own, wit_keys=(*own.wit_keys, prepared)))
    async with server.listening(path), WorkloadAPIClient(f"unix://{path}") as client:
        wits, bundles = aiter(client.watch_wit_svids()), aiter(client.watch_wit_bundles())
        await soon(wits)
        await soon(bundles)
        monkeypatch.setattr(Authority, "bundles", lambda _: published)
        server.state.keys_changed()
        assert prepared.kid in (await soon(bundles)).bundles["spiffe://example.com"]
        waiting = asyncio.ensure_future(anext(wits))
        assert not (await asyncio.wait({waiting}, timeout=0.2))[0]
        server.state.keys_changed(renew=True)
        await asyncio.wait_for(waiting, 3)


async def test_federated_bundles_are_in_every_answer_and_pushed(path: Path) -> None:
    """SV-28, SV-33: each under its own trust domain, and gone when they go."""
    server = IdentityServer(authority(), entries("/a", selector=ME), SLOW, federated=TrustBundles(other_bundle()))
    both = {"spiffe://example.com", "spiffe://other.org"}
    async with server.listening(path), WorkloadAPIClient(f"unix://{path}") as client:
        streams = watches(client)
        first = {name: await soon(stream) for name, stream in streams.items()}
        for name in ("wit bundles", "jwt bundles", "x509 bundles"):
            assert set(first[name].bundles) == both
        assert set(first["x509"].federated_bundles) == {"spiffe://other.org"}
        assert first["x509"].svids[0].bundle != first["x509"].federated_bundles["spiffe://other.org"]
        server.state.replace_federated(TrustBundles())
        for name in ("wit bundles", "jwt bundles", "x509 bundles"):
            assert set((await soon(streams[name])).bundles) == {"spiffe://example.com"}
        assert not (await soon(streams["x509"])).federated_bundles


async def test_entry_says_whose_bundles_its_workload_gets(path: Path) -> None:
    federated = TrustBundles(other_bundle(), other_bundle(name="third.org"))
    entry = Entry("/a", (Selector.parse(ME),), federates_with=("third.org",))
    server = IdentityServer(authority(), Registrations([entry]), SLOW, federated=federated)
    async with server.listening(path), WorkloadAPIClient(f"unix://{path}") as client:
        got = await soon(aiter(client.watch_wit_bundles()))
    assert set(got.bundles) == {"spiffe://example.com", "spiffe://third.org"}


async def test_jwt_svid_of_another_domain_is_validated_by_the_bundle_that_its_recipient_gets(path: Path) -> None:
    """SV-33: §6.2.3, §6.3: the bundle of its subject's trust domain, or none."""
    now = int(time.time())
    others = {name: Authority.create(name, now=now) for name in ("other.org", "third.org")}
    federated = TrustBundles(*(each.bundles()[each.spiffe_trust_domain] for each in others.values()))
    entry = Entry("/a", (Selector.parse(ME),), federates_with=("third.org",))
    server = IdentityServer(authority(), Registrations([entry]), SLOW, federated=federated)

    def token(issuer: Authority, name: str) -> str:
        return issuer.issue_jwt_svid(TrustDomain("spiffe", name).workload("/b"), ["us"], now=now).text

    async with server.listening(path), WorkloadAPIClient(f"unix://{path}") as client:
        third = token(others["third.org"], "third.org")
        assert (await client.validate_jwt_svid(third, "us")).spiffe_id == "spiffe://third.org/b"
        impostor = Authority.create("third.org", now=now)
        for bad, reason in (
            (token(others["other.org"], "other.org"), "trust_domain_unknown"),  # not of this caller's entry
            (token(impostor, "third.org"), "key_unknown"),
        ):
            request = pb.ValidateJWTSVIDRequest(audience="us", svid=bad)
            call = grpcio(f"unix://{path}", API + "ValidateJWTSVID", request, pb.ValidateJWTSVIDResponse)
            assert await status_of(call) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
        server.state.replace_registrations(Registrations(default_identities=False))
        request = pb.ValidateJWTSVIDRequest(audience="us", svid=third)
        call = grpcio(f"unix://{path}", API + "ValidateJWTSVID", request, pb.ValidateJWTSVIDResponse)
        assert (await status_of(call))[0] is grpc.StatusCode.PERMISSION_DENIED


async def test_bundle_without_keys_for_a_use_is_left_out(path: Path) -> None:
    empty = TrustBundle(
        trust_domain=OTHER, wit_keys=authority().bundles()[TrustDomain("spiffe", "example.com")].wit_keys
    )
    server = IdentityServer(authority(), entries("/a", selector=ME), SLOW, federated=TrustBundles(empty))
    async with server.listening(path), WorkloadAPIClient(f"unix://{path}") as client:
        assert "spiffe://other.org" in (await soon(aiter(client.watch_wit_bundles()))).bundles
        assert "spiffe://other.org" not in (await soon(aiter(client.watch_jwt_bundles()))).bundles
        assert "spiffe://other.org" not in (await soon(aiter(client.watch_x509_bundles()))).bundles


@pytest.mark.parametrize("scheme", ["spiffe", "wimse"])
async def test_federated_bundle_of_our_own_trust_domain_is_refused(scheme: str) -> None:
    """IS-36, SV-33."""
    own = TrustBundles(TrustBundle(trust_domain=TrustDomain(scheme, "example.com")))
    with pytest.raises(ConfigurationError, match="own trust domain"):
        IdentityServer(authority(), Registrations(), federated=own)
    server = IdentityServer(authority(), Registrations(), federated=TrustBundles(other_bundle()))
    with pytest.raises(ConfigurationError, match="own trust domain"):
        server.state.replace_federated(own)
    assert set(server.state.federated) == {OTHER}


PROFILE_OF = {
    "x509": ["FetchX509SVID", "FetchX509Bundles"],
    "jwt": ["FetchJWTSVID", "FetchJWTBundles", "ValidateJWTSVID"],
    "wit": ["FetchWITSVID", "FetchWITBundles"],
}


@pytest.mark.parametrize("off", PROFILE_OF, ids="IS-19 SV-32 without {}".format)
async def test_profile_that_is_switched_off_is_unimplemented(path: Path, off: str) -> None:
    server = IdentityServer(authority(), Registrations(), profiles=[each for each in PROFILE_OF if each != off])
    async with server.listening(path):
        for profile, names in PROFILE_OF.items():
            for name in names:
                if profile == off:
                    got = await status_of(grpcio(f"unix://{path}", API + name, *CALLS[name]))
                    assert got[0] is grpc.StatusCode.UNIMPLEMENTED
                elif name != "ValidateJWTSVID":
                    await grpcio(f"unix://{path}", API + name, *CALLS[name])


@pytest.mark.parametrize("profiles", [[], ["x509", "acme"]])
def test_profiles_that_are_none_are_refused(profiles: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="profiles"):
        IdentityServer(authority(), Registrations(), profiles=profiles)


async def test_minispire_is_off_unless_it_is_asked_for(path: Path) -> None:
    """IS-19."""
    async with IdentityServer(authority(), Registrations()).listening(path):
        mint = grpcio(f"unix://{path}", "/MiniSPIREWorkloadAPI/MintWITSVID", *CALLS["FetchWITSVID"])
        assert (await status_of(mint))[0] is grpc.StatusCode.UNIMPLEMENTED


async def test_server_that_stops_tells_every_stream(path: Path) -> None:
    """CL-03: UNAVAILABLE, which a client answers by connecting again."""
    server = IdentityServer(authority(), entries("/a", selector=ME), SLOW)
    async with WorkloadAPIClient(f"unix://{path}") as client:
        async with server.listening(path):
            streams = watches(client)
            for stream in streams.values():
                await soon(stream)
            began = time.monotonic()
        assert time.monotonic() - began < 1.5
        for stream in streams.values():
            with pytest.raises(Unavailable):
                await soon(stream)
        async with server.listening(path):  # and back again
            await soon(aiter(client.watch_wit_svids()))


async def test_broadcast_loses_nothing() -> None:
    broadcast = Broadcast()
    seen = broadcast.version
    assert not await broadcast.wait(seen, 0.01)
    waiting = asyncio.create_task(broadcast.wait(seen, 5))
    await asyncio.sleep(0)
    broadcast.notify()
    assert await waiting
    assert await broadcast.wait(seen, 5)
    assert not await broadcast.wait(broadcast.version, 0.01)
