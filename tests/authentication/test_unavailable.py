"""What cannot be had now lets nobody in, and what was never configured does not start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.authentication.forge import (
    AUDIENCE,
    CALLER,
    CONTENT,
    DOMAIN,
    FOREIGN,
    NONCE,
    NOW,
    TAG,
    Authenticate,
    Awaited,
    RecordingStore,
    entrance,
    forge_request,
    reason_of,
    write_literally,
)
from wimse.authentication import Authenticator, ClientAuthenticator, any_trusted, expect
from wimse.credentials import TokenSettings, TrustBundle, TrustBundles, TrustDomain, WorkloadSnapshot
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.profiles.http_signature import REVISION_07
from wimse.stores import MemoryReplayStore
from wimse.testing import FixedSource

FAILURES = [
    OSError("down"),
    TimeoutError(),
    KeyError("x"),
    RuntimeError("?"),
    StopIteration(1),
    ValueError("wrong type"),
]


class BrokenStore:
    """A store that raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def claim(self, key: bytes, until: int, now: int) -> bool:  # noqa: ARG002 - it does not get that far
        raise self._error


class BrokenSource:
    """A source that raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def snapshot(self) -> WorkloadSnapshot:
        raise self._error


def failing(error: Exception) -> Callable[[TrustDomain], TrustBundle]:
    def lookup(_: TrustDomain) -> TrustBundle:
        raise error

    return lookup


def unavailable(call: Callable[..., object], *arguments: Any) -> Reason:
    with pytest.raises(Unavailable) as caught:
        call(*arguments)
    assert caught.value.http_status == 503
    return caught.value.reason


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_a_bundle_source_that_fails_is_unavailable(authenticate: Authenticate, error: Exception) -> None:
    """MW-03: neither yes nor no, 503."""
    for bundles in (failing(error), BrokenSource(error)):
        server = entrance(bundles=bundles)
        assert unavailable(authenticate, server, forge_request(), CONTENT, NOW) is Reason.TRUST_UNAVAILABLE


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_a_replay_store_that_fails_is_unavailable(authenticate: Authenticate, error: Exception) -> None:
    """RP-12: strict, 503."""
    server = entrance(replay=BrokenStore(error))
    assert unavailable(authenticate, server, forge_request(), CONTENT, NOW) is Reason.REPLAY_STORE_UNAVAILABLE


@pytest.mark.parametrize("error", [*FAILURES[:4], TimeoutError()], ids=repr)
async def test_what_fails_while_it_is_awaited_is_unavailable(error: Exception) -> None:
    """RP-12."""
    with pytest.raises(Unavailable) as caught:
        await entrance(bundles=lambda _: Awaited(error)).authenticate_async(forge_request(), CONTENT, now=NOW)
    assert (caught.value.reason, caught.value.http_status) == (Reason.TRUST_UNAVAILABLE, 503)
    server = entrance(replay=RecordingStore(Awaited(error)))
    with pytest.raises(Unavailable) as caught:
        await server.authenticate_async(forge_request(), CONTENT, now=NOW)
    assert (caught.value.reason, caught.value.http_status) == (Reason.REPLAY_STORE_UNAVAILABLE, 503)


def test_an_error_with_a_reason_of_its_own_keeps_it(authenticate: Authenticate) -> None:
    own = Unavailable(Reason.CREDENTIAL_UNAVAILABLE, "not yet")
    assert (
        unavailable(authenticate, entrance(bundles=BrokenSource(own)), forge_request(), CONTENT, NOW)
        is Reason.CREDENTIAL_UNAVAILABLE
    )
    refused = Refused(Reason.BUNDLE_MALFORMED, "no")
    assert (
        reason_of(authenticate, entrance(bundles=failing(refused)), forge_request(), CONTENT, NOW)
        is Reason.BUNDLE_MALFORMED
    )
    assert (
        unavailable(authenticate, entrance(replay=BrokenStore(own)), forge_request(), CONTENT, NOW)
        is Reason.CREDENTIAL_UNAVAILABLE
    )


async def test_an_awaited_error_with_a_reason_of_its_own_keeps_it() -> None:
    own = Unavailable(Reason.ISSUER_UNAVAILABLE, "not yet")
    with pytest.raises(Unavailable) as caught:
        await entrance(bundles=lambda _: Awaited(own)).authenticate_async(forge_request(), CONTENT, now=NOW)
    assert caught.value.reason is Reason.ISSUER_UNAVAILABLE


async def test_an_awaited_bundle_is_used() -> None:
    server = entrance(bundles=lambda _: Awaited(DOMAIN.bundle))
    assert (await server.authenticate_async(forge_request(), CONTENT, now=NOW)).identity == CALLER.identity


def test_an_asynchronous_source_with_the_synchronous_method_is_named_as_the_mistake() -> None:
    async def lookup(_: TrustDomain) -> TrustBundle:
        return DOMAIN.bundle

    for bundles in (lookup, lambda _: Awaited(DOMAIN.bundle)):
        with pytest.raises(ConfigurationError, match="asynchronous method"):
            entrance(bundles=bundles).authenticate(forge_request(), CONTENT, now=NOW)


async def test_a_request_that_is_cancelled_while_it_waits_claims_nothing() -> None:
    store = RecordingStore()
    asked = asyncio.Event()
    never: asyncio.Future[TrustBundle] = asyncio.get_running_loop().create_future()

    def lookup(_: TrustDomain) -> asyncio.Future[TrustBundle]:
        asked.set()
        return never

    server = entrance(bundles=lookup, replay=store)
    task = asyncio.create_task(server.authenticate_async(forge_request(), CONTENT, now=NOW))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.claims == []


def test_the_bundles_of_a_source_are_its_newest(authenticate: Authenticate) -> None:
    class Renewed:
        bundles = FOREIGN.bundles

        def snapshot(self) -> WorkloadSnapshot:
            return WorkloadSnapshot(CALLER, self.bundles)

    source = Renewed()
    server = entrance(bundles=source)
    assert reason_of(authenticate, server, forge_request(), CONTENT, NOW) is Reason.TRUST_DOMAIN_UNKNOWN
    source.bundles = DOMAIN.bundles
    assert authenticate(server, forge_request(), CONTENT, NOW).identity == CALLER.identity


def test_an_empty_bundle_distrusts_everybody(authenticate: Authenticate) -> None:
    """WC-01: it is a bundle, not the absence of a rule."""
    server = entrance(bundles=TrustBundles(TrustBundle(trust_domain=DOMAIN.trust_domain)))
    assert reason_of(authenticate, server, forge_request(), CONTENT, NOW) is Reason.KEY_UNKNOWN


GOOD: dict[str, Any] = {
    "bundles": DOMAIN.bundles,
    "audience": AUDIENCE,
    "replay": MemoryReplayStore(since=0),
    "policy": any_trusted,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bundles", None),
        ("bundles", {}),
        ("bundles", TrustBundles()),
        ("audience", None),
        ("audience", ""),
        ("audience", []),
        ("audience", [""]),
        ("audience", [AUDIENCE, ""]),
        ("audience", [None]),
        ("replay", None),
        ("policy", None),
    ],
)
def test_a_server_without_what_decides_does_not_start(name: str, value: object) -> None:
    """AU-06, HS-26, WC-01: an error when it is built, not a server that lets everybody in."""
    Authenticator(**GOOD)
    with pytest.raises(ConfigurationError):
        Authenticator(**{**GOOD, name: value})


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ConfigurationError, match="an Authenticator needs bundles, audience, replay, policy"):
        Authenticator(bundles=None, audience=None, replay=None, policy=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["source", "server"])
def test_a_client_without_what_decides_does_not_start(name: str) -> None:
    """ID-15: no answer of anybody by default."""
    source = FixedSource(WorkloadSnapshot(CALLER, DOMAIN.bundles))
    good: dict[str, Any] = {"source": source, "server": expect(any_trusted)}
    ClientAuthenticator(**good)
    with pytest.raises(ConfigurationError, match=name):
        ClientAuthenticator(**{**good, name: None})


def test_a_client_with_an_empty_mapping_of_bundles_does_not_fall_back_to_the_sources() -> None:
    """AU-06, WC-01."""
    source = FixedSource(WorkloadSnapshot(CALLER, DOMAIN.bundles))
    with pytest.raises(ConfigurationError):
        ClientAuthenticator(source, server=expect(any_trusted), bundles={})  # type: ignore[arg-type]


@pytest.mark.parametrize("leeway", [timedelta(seconds=-1), timedelta(seconds=121), timedelta(hours=1)])
def test_too_much_leeway_for_wits_is_refused(leeway: timedelta) -> None:
    """TM-12."""
    with pytest.raises(ConfigurationError):
        TokenSettings(leeway=leeway)


def test_a_revision_that_makes_expires_something_else_refuses_its_messages() -> None:
    """SB-27: the life of a nonce is a number, whatever a revision says."""
    revision = replace(REVISION_07, parameter_types={**REVISION_07.parameter_types, "expires": str})
    server = Authenticator(**GOOD, revision=revision)
    signed = f';created={NOW};expires="never";nonce="{NONCE}";tag="{TAG}";wimse-aud="{AUDIENCE}"'
    assert reason_of(server.authenticate, write_literally(signed=signed), CONTENT, now=NOW) is Reason.PARAMETER_TYPE
