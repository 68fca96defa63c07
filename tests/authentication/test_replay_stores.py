"""What a store remembers and since when, what is claimed, and what happens when nobody can say."""

from __future__ import annotations

import base64
import hashlib
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.authentication.forge import (
    CALLER,
    CONTENT,
    DOMAIN,
    NOW,
    Authenticate,
    Awaited,
    RecordingStore,
    entrance,
    forge_request,
    reason_of,
    request_parameters,
)
from tests.clients.support import WAYS, Way, raw_server
from tests.valkey import Valkey, valkey
from wimse.authentication import Authenticator, LaxReplayStore, any_trusted, nonce_alone, nonce_of_key
from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.stores import (
    AsyncRedisReplayStore,
    MemoryReplayStore,
    RedisReplaySettings,
    RedisReplayStore,
    SQLiteReplayStore,
)

AUDIENCE = "https://orders.example/orders"
BEFORE, JUST_THEN = request_parameters(created=NOW - 1), request_parameters(created=NOW)


class Awaiting:
    """A store whose answers have to be awaited, and that says since when it remembers."""

    def __init__(self, since: int) -> None:
        self.since = since

    def claim(self, key: bytes, until: int, now: int) -> Any:  # noqa: ARG002 - it is always the first
        return Awaited(True)


def keyed(replay_key: Any, replay: Any = None) -> Authenticator:
    return Authenticator(
        bundles=DOMAIN.bundles,
        audience=AUDIENCE,
        replay=replay or MemoryReplayStore(since=0),
        policy=any_trusted,
        replay_key=replay_key,
    )


# -------------------------------------------------------------------------------------------------------- since when


def test_what_was_signed_before_the_store_began_is_not_accepted(authenticate: Authenticate) -> None:
    """RP-04, HS-24: it may have been accepted by whoever stood here before; that is neither yes nor no."""
    server = entrance(replay=MemoryReplayStore(since=NOW))
    before, then = forge_request(parameters=BEFORE), forge_request(parameters=JUST_THEN | {"nonce": "another-nonce"})
    assert reason_of(authenticate, server, before, CONTENT, NOW) is Reason.REPLAY_STORE_UNAVAILABLE
    assert reason_of(authenticate, server, before, CONTENT, NOW) is Reason.REPLAYED
    assert authenticate(server, then, CONTENT, NOW).identity == CALLER.identity


def test_a_memory_store_remembers_from_its_making_on() -> None:
    """RP-04: by default."""
    began = int(time.time())
    assert began <= MemoryReplayStore().since <= time.time()
    assert MemoryReplayStore(since=7).since == 7


def test_a_restart_of_a_verifier_is_no_second_chance(authenticate: Authenticate, tmp_path: Path) -> None:
    """RP-04: in memory what was signed before is refused; a file knows it."""
    request = forge_request(parameters=BEFORE)
    first, again = (entrance(replay=MemoryReplayStore(since=since)) for since in (NOW - 100, NOW))
    assert authenticate(first, request, CONTENT, NOW).identity == CALLER.identity
    assert reason_of(authenticate, again, request, CONTENT, NOW) is Reason.REPLAY_STORE_UNAVAILABLE
    with SQLiteReplayStore(tmp_path / "claims.db") as store:
        assert authenticate(entrance(replay=store), request, CONTENT, NOW).identity == CALLER.identity
    with SQLiteReplayStore(tmp_path / "claims.db") as store:
        assert reason_of(authenticate, entrance(replay=store), request, CONTENT, NOW) is Reason.REPLAYED


async def test_since_when_is_asked_after_an_awaited_claim() -> None:
    """RP-04: a store may learn it by the claim."""
    request = forge_request(parameters=BEFORE)
    server = entrance(replay=Awaiting(NOW - 1))
    assert (await server.authenticate_async(request, CONTENT, now=NOW)).identity == CALLER.identity
    with pytest.raises(Unavailable, match="began to remember"):
        await entrance(replay=Awaiting(NOW)).authenticate_async(request, CONTENT, now=NOW)


def test_two_hosts_that_share_a_server_share_what_they_have_seen(authenticate: Authenticate) -> None:
    """RP-03, RP-08, HS-24, HS-34, WC-38: across processes nothing else is shared."""
    with valkey() as server, RedisReplayStore(server.url) as here, RedisReplayStore(server.url) as there:
        here.check()
        request = forge_request()
        assert authenticate(entrance(replay=here), request, CONTENT, NOW).identity == CALLER.identity
        for store in (there, here):
            assert reason_of(authenticate, entrance(replay=store), request, CONTENT, NOW) is Reason.REPLAYED


# ------------------------------------------------------------------------------------------------- what is claimed


def test_with_the_key_nobody_can_spend_anothers_nonce(authenticate: Authenticate) -> None:
    """RP-08: the attacker has an own WIT, and sees the nonce first; the victim is served all the same."""
    attacker = DOMAIN.credential("/attacker", now=NOW)
    server = keyed(nonce_of_key)
    assert authenticate(server, forge_request(attacker), CONTENT, NOW).identity == attacker.identity
    assert authenticate(server, forge_request(), CONTENT, NOW).identity == CALLER.identity
    for credential in (attacker, CALLER):
        assert reason_of(authenticate, server, forge_request(credential), CONTENT, NOW) is Reason.REPLAYED


def test_what_is_claimed_with_the_key_is_one_hash_too() -> None:
    """RP-13: 32 bytes, and none of another pair."""
    store = RecordingStore()
    keyed(nonce_of_key, store).authenticate(forge_request(), CONTENT, now=NOW)
    text = f"{CALLER.key.public_key.thumbprint()}.{'n' * 22}"
    assert [key for key, _, _ in store.claims] == [hashlib.sha256(text.encode()).digest()]
    keyed(nonce_alone, store).authenticate(forge_request(), CONTENT, now=NOW)
    assert store.claims[1][0] == hashlib.sha256(b"n" * 22).digest()


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_the_nonces_of_our_clients_are_random(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """RP-14, HS-22: 128 bits, also when the clock stands still."""
    then = int(time.time())
    monkeypatch.setattr("time.time", lambda: then)
    with raw_server() as server:
        way.send(*[("GET", f"{server.origin}/same", {})] * 40)
    inputs = [each.values("signature-input")[0] for each in server.recorded]
    nonces = [text.partition('nonce="')[2].partition('"')[0] for text in inputs]
    drawn = [base64.urlsafe_b64decode(nonce + "==") for nonce in nonces]
    assert {len(each) for each in drawn} == {16}
    assert len(set(drawn)) == 40
    always, ever = (1 << 128) - 1, 0
    for each in drawn:
        always &= int.from_bytes(each, "big")
        ever |= int.from_bytes(each, "big")
    assert (always, ever) == (0, (1 << 128) - 1)  # no bit stands still; by chance once in 4 thousand million runs


# -------------------------------------------------------------------------------------------- when nobody can say


class Broken:
    """A store that fails."""

    def __init__(self, error: Exception, *, awaited: bool = False) -> None:
        self._error = error
        self._awaited = awaited

    def claim(self, key: bytes, until: int, now: int) -> Any:  # noqa: ARG002 - it does not get that far
        if self._awaited:
            return Awaited(self._error)
        raise self._error


FULL = Unavailable(Reason.REPLAY_STORE_UNAVAILABLE, "full")


@pytest.mark.parametrize("error", [FULL, OSError("down"), TimeoutError(), ValueError("wrong type")], ids=repr)
def test_a_lax_store_lets_in_and_counts(authenticate: Authenticate, error: Exception) -> None:
    """RP-12, RP-10: only where it was chosen."""
    told: list[Unavailable] = []
    store = LaxReplayStore(Broken(error), opened=told.append)
    for number in range(1, 4):
        assert authenticate(entrance(replay=store), forge_request(), CONTENT, NOW).identity == CALLER.identity
        assert store.unchecked == len(told) == number
    assert {each.reason for each in told} == {Reason.REPLAY_STORE_UNAVAILABLE}


async def test_a_lax_store_lets_in_what_fails_while_it_is_awaited() -> None:
    """RP-12."""
    store = LaxReplayStore(Broken(OSError("down"), awaited=True))
    server = entrance(replay=store)
    assert (await server.authenticate_async(forge_request(), CONTENT, now=NOW)).identity == CALLER.identity
    assert store.unchecked == 1


def test_a_lax_store_refuses_the_replays_that_it_knows(authenticate: Authenticate) -> None:
    """RP-12: and lets in, and counts, what was signed before it began."""
    store = LaxReplayStore(MemoryReplayStore(since=NOW))
    server, request = entrance(replay=store), forge_request(parameters=JUST_THEN)
    assert authenticate(server, request, CONTENT, NOW).identity == CALLER.identity
    assert reason_of(authenticate, server, request, CONTENT, NOW) is Reason.REPLAYED
    assert store.unchecked == 0
    early = forge_request(parameters=BEFORE | {"nonce": "an-early-nonce"})
    assert authenticate(server, early, CONTENT, NOW).identity == CALLER.identity
    assert store.unchecked == 1


def test_a_lax_store_is_lax_about_nothing_else(authenticate: Authenticate) -> None:
    """RP-12: a refused bundle, a mistake in the configuration, a counter that fails."""
    mistaken = ConfigurationError("mistaken")
    assert (
        reason_of(authenticate, entrance(replay=LaxReplayStore(Broken(mistaken))), forge_request(), CONTENT, NOW)
        is Reason.CONFIGURATION
    )
    lookup = Broken(OSError()).claim
    closed = entrance(replay=LaxReplayStore(MemoryReplayStore(since=0)), bundles=lambda _: lookup(b"", 0, 0))
    assert reason_of(authenticate, closed, forge_request(), CONTENT, NOW) is Reason.TRUST_UNAVAILABLE

    def counter(_: Unavailable) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        authenticate(entrance(replay=LaxReplayStore(Broken(FULL), opened=counter)), forge_request(), CONTENT, NOW)
    with pytest.raises(ConfigurationError):
        LaxReplayStore(None)  # type: ignore[arg-type]


@pytest.fixture(scope="module", name="away")
def a_server_that_is_away() -> Valkey:
    with valkey() as server:
        pass
    return server


async def test_a_decision_without_the_store_comes_within_250_ms(away: Valkey) -> None:
    """RP-12, MW-03: a whole authentication, closed."""
    async with AsyncRedisReplayStore(away.url) as store:
        began = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await entrance(replay=store).authenticate_async(forge_request(), CONTENT, now=NOW)
        assert time.monotonic() - began < 0.25
        assert (caught.value.reason, caught.value.http_status) == (Reason.REPLAY_STORE_UNAVAILABLE, 503)


def test_a_lax_store_without_its_server_serves(away: Valkey) -> None:
    """RP-12."""
    with RedisReplayStore(away.url, settings=RedisReplaySettings(timeout=timedelta(milliseconds=100))) as inner:
        store = LaxReplayStore(inner)
        server = entrance(replay=store)
        for _ in range(2):
            assert server.authenticate(forge_request(), CONTENT, now=NOW).identity == CALLER.identity
        assert store.unchecked == 2
