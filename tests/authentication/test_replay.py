"""A request is accepted once, and a refused one costs its sender nothing."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.authentication.forge import (
    CALLER,
    CONTENT,
    DOMAIN,
    LEEWAY,
    NONCE,
    NOW,
    Authenticate,
    Awaited,
    RecordingStore,
    adding,
    entrance,
    forge_request,
    forge_wit,
    new_key,
    reason_of,
    replacing,
    request_parameters,
    wit_claims,
)
from wimse.authentication import Authenticator
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.stores import MemoryReplayStore

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_the_same_request_twice_is_refused_the_second_time(authenticate: Authenticate) -> None:
    """RP-01, HS-24, HS-34, WC-38: and the third time, and whatever is added to it."""
    server, request = entrance(), forge_request()
    assert authenticate(server, request, CONTENT, NOW).identity == CALLER.identity
    for again in (request, request, adding(request, ("Via", "proxy"))):
        assert reason_of(authenticate, server, again, CONTENT, NOW + 1) is Reason.REPLAYED


def test_the_same_nonce_in_a_new_signature_is_refused(authenticate: Authenticate) -> None:
    """HS-24, HS-34, RP-15: a nonce identifies one message."""
    server = entrance()
    authenticate(server, forge_request(), CONTENT, NOW)
    again = forge_request(content=b"other", parameters=request_parameters(created=NOW + 1))
    assert reason_of(authenticate, server, again, b"other", NOW + 1) is Reason.REPLAYED


def test_another_senders_nonce_is_refused(authenticate: Authenticate) -> None:
    """RP-08, HS-24: 07 asks for it without regard to the sender; whoever sees a nonce first can spend it."""
    server = entrance()
    attacker = DOMAIN.credential("/attacker", now=NOW)
    assert authenticate(server, forge_request(attacker), CONTENT, NOW).identity == attacker.identity
    assert reason_of(authenticate, server, forge_request(), CONTENT, NOW) is Reason.REPLAYED


def test_another_spelling_of_the_signature_is_the_same_message(authenticate: Authenticate) -> None:
    """CR-14: the twin of an ECDSA signature, r and n-s, verifies and is a replay."""
    server, request = entrance(), forge_request()
    authenticate(server, request, CONTENT, NOW)
    twin = replacing(request, "Signature", twin_of(request.fields.values("signature")[0]))
    assert authenticate(entrance(), twin, CONTENT, NOW).identity == CALLER.identity
    assert reason_of(authenticate, server, twin, CONTENT, NOW) is Reason.REPLAYED


def twin_of(member: str) -> str:
    import base64

    value = base64.b64decode(member.removeprefix("wimse=:").removesuffix(":"))
    s = (P256_ORDER - int.from_bytes(value[32:], "big")).to_bytes(32, "big")
    return f"wimse=:{base64.b64encode(value[:32] + s).decode('ascii')}:"


def test_servers_that_share_a_store_share_what_they_have_seen(authenticate: Authenticate) -> None:
    """RP-03: without sharing a replay to the other one succeeds, which the store's docstring says."""
    shared = MemoryReplayStore(since=0)
    request = forge_request()
    assert authenticate(entrance(replay=shared), request, CONTENT, NOW).identity == CALLER.identity
    assert reason_of(authenticate, entrance(replay=shared), request, CONTENT, NOW) is Reason.REPLAYED
    assert authenticate(entrance(), request, CONTENT, NOW).identity == CALLER.identity


def test_the_number_of_a_wit_is_not_against_replay(authenticate: Authenticate) -> None:
    """RP-16: one WIT, one jti, many requests."""
    server, seen = entrance(), []
    for number in range(3):
        request = forge_request(parameters=request_parameters(nonce=f"number-{number}"))
        seen.append(authenticate(server, request, CONTENT, NOW).wit.token_id)
    assert len(seen) == 3
    assert len(set(seen)) == 1


def test_a_failed_verification_does_not_burn_the_nonce(authenticate: Authenticate) -> None:
    """RP-07, RP-09, HS-20: not for a bad WIT, signature, digest or audience."""
    store = MemoryReplayStore(since=0)
    server = entrance(replay=store)
    good = forge_request()
    expired = forge_wit(wit_claims(exp=NOW - 100, iat=NOW - 200))
    bad = [
        (forge_request(wit=expired), CONTENT, Reason.TOKEN_EXPIRED),
        (forge_request(wit=forge_wit(signer=new_key())), CONTENT, Reason.TOKEN_SIGNATURE_INVALID),
        (forge_request(key=new_key()), CONTENT, Reason.SIGNATURE_INVALID),
        (good, b"other", Reason.DIGEST_MISMATCH),
        (forge_request(digest=None), CONTENT, Reason.DIGEST_MISSING),
        (forge_request(parameters=request_parameters(wimse_aud="other")), CONTENT, Reason.AUDIENCE_MISMATCH),
    ]
    for request, content, reason in bad:
        assert reason_of(authenticate, server, request, content, NOW) is reason
        assert len(store) == 0
    assert authenticate(server, good, CONTENT, NOW).identity == CALLER.identity


def test_a_denied_request_has_spent_its_nonce(authenticate: Authenticate) -> None:
    """The policy comes last, with an identity that is true: by then the message is spent, which is documented."""
    allowed: list[bool] = [False, True]
    server = entrance(policy=lambda _: allowed.pop(0))
    assert reason_of(authenticate, server, forge_request(), CONTENT, NOW) is Reason.IDENTITY_NOT_ALLOWED
    assert reason_of(authenticate, server, forge_request(), CONTENT, NOW) is Reason.REPLAYED
    assert allowed == [True]


def test_what_is_claimed_is_a_hash_of_the_nonce_for_as_long_as_it_is_valid(authenticate: Authenticate) -> None:
    """RP-11, RP-13: 32 bytes, whatever the nonce has in it, until expires + leeway."""
    store = RecordingStore()
    nonces = [NONCE, NONCE.upper(), 'a b:c*{d}\\"e', "../../etc/passwd", "n" * 256]
    for nonce in nonces:
        request = forge_request(parameters=request_parameters(nonce=nonce))
        authenticate(entrance(replay=store), request, CONTENT, NOW + 5)
    expected = [(hashlib.sha256(nonce.encode()).digest(), NOW + 60 + LEEWAY, NOW + 5) for nonce in nonces]
    assert store.claims == expected
    assert len({key for key, _, _ in store.claims}) == len(nonces)


def test_a_replay_is_refused_until_the_message_is_too_old(authenticate: Authenticate) -> None:
    """RP-11, TM-04: at every second there is a reason, and no second without one."""
    wit = DOMAIN.credential("/caller", now=NOW, lifetime=1_000)
    server, request = entrance(), forge_request(wit)
    authenticate(server, request, CONTENT, NOW - LEEWAY)
    end = NOW + 60 + LEEWAY
    for number, now in enumerate(range(NOW - LEEWAY + 1, end + 3)):
        expected = Reason.REPLAYED if now < end else Reason.SIGNATURE_EXPIRED
        assert reason_of(authenticate, server, request, CONTENT, now) is expected
        if now < end - 1:  # others keep the store moving
            other = forge_request(wit, parameters=request_parameters(nonce=f"moving-{number:03}"))
            authenticate(server, other, CONTENT, now)


def test_a_full_store_accepts_nothing_new(authenticate: Authenticate) -> None:
    """RP-10, RP-12: closed, 503; what was seen is still known, and it opens again when they have expired."""
    server = entrance(replay=MemoryReplayStore(max_entries=2, since=0))
    requests = [forge_request(parameters=request_parameters(nonce=f"number-{number}")) for number in range(3)]
    for request in requests[:2]:
        authenticate(server, request, CONTENT, NOW)
    assert reason_of(authenticate, server, requests[2], CONTENT, NOW) is Reason.REPLAY_STORE_UNAVAILABLE
    for request in requests[:2]:
        assert reason_of(authenticate, server, request, CONTENT, NOW) is Reason.REPLAYED
    later = NOW + 60 + LEEWAY
    fresh = [
        forge_request(parameters=request_parameters(nonce=f"later-{n}00", created=later, expires=later + 60))
        for n in range(2)
    ]
    for request in fresh:
        assert authenticate(server, request, CONTENT, later).identity == CALLER.identity


def test_a_clock_that_jumps_ahead_and_back_opens_no_window(authenticate: Authenticate) -> None:
    """TM-13, RP-10: what was forgotten while it was ahead is not accepted again when it is back."""
    store = MemoryReplayStore(since=0)
    server, request = entrance(replay=store), forge_request()
    authenticate(server, request, CONTENT, NOW)
    ahead = NOW + 200
    for number in range(3):
        other = forge_request(
            parameters=request_parameters(nonce=f"from-ahead-{number}", created=ahead, expires=ahead + 60)
        )
        authenticate(server, other, CONTENT, ahead + number * 30)
    assert reason_of(authenticate, server, request, CONTENT, NOW + 1) is Reason.REPLAY_STORE_UNAVAILABLE


# -------------------------------------------------------------------------------------------- many at once


@pytest.fixture
def eager_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_threads")
def test_of_a_hundred_threads_with_one_request_one_is_accepted() -> None:
    """RP-02, HS-24: the claim is atomic."""
    server, request, start = entrance(), forge_request(), Barrier(100)

    def attempt(_: int) -> object:
        start.wait()
        try:
            return server.authenticate(request, CONTENT, now=NOW).identity
        except Refused as refused:
            return refused.reason

    with ThreadPoolExecutor(100) as pool:
        results = list(pool.map(attempt, range(100)))
    assert results.count(CALLER.identity) == 1
    assert results.count(Reason.REPLAYED) == 99


class AwaitedStore:
    """A store behind a network: others run before and after the claim."""

    def __init__(self) -> None:
        self._store = MemoryReplayStore(since=0)

    async def claim(self, key: bytes, until: int, now: int) -> bool:
        await asyncio.sleep(0)
        claimed = self._store.claim(key, until, now)
        await asyncio.sleep(0)
        return claimed


async def attempt_async(server: Authenticator) -> object:
    try:
        return (await server.authenticate_async(forge_request(), CONTENT, now=NOW)).identity
    except Refused as refused:
        return refused.reason


async def test_of_a_hundred_tasks_with_one_request_one_is_accepted() -> None:
    """RP-02, HS-24."""
    server = entrance(replay=AwaitedStore())
    results = await asyncio.gather(*(attempt_async(server) for _ in range(100)))
    assert results.count(CALLER.identity) == 1
    assert results.count(Reason.REPLAYED) == 99


# ------------------------------------------------------------------------------------------ answers of stores


@pytest.mark.parametrize("answer", [False, None, 1, "OK", b"OK", [True], 0, object()])
def test_only_true_means_claimed(authenticate: Authenticate, answer: object) -> None:
    """RP-12: a store of another opinion does not let anybody in."""
    server = entrance(replay=RecordingStore(answer))
    assert reason_of(authenticate, server, forge_request(), CONTENT, NOW) is Reason.REPLAYED


def test_an_asynchronous_store_with_the_synchronous_method_is_named_as_the_mistake() -> None:
    server = entrance(replay=RecordingStore(Awaited(True)))
    with pytest.raises(ConfigurationError, match="asynchronous method"):
        server.authenticate(forge_request(), CONTENT, now=NOW)


async def test_an_awaited_answer_counts() -> None:
    server = entrance(replay=RecordingStore(Awaited(True)))
    assert (await server.authenticate_async(forge_request(), CONTENT, now=NOW)).identity == CALLER.identity
    server = entrance(replay=RecordingStore(Awaited(False)))
    with pytest.raises(Refused) as caught:
        await server.authenticate_async(forge_request(), CONTENT, now=NOW)
    assert caught.value.reason is Reason.REPLAYED
