"""The keeper, as an `Authenticator` uses it: what is verified, what is refused, and what is unavailable."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.authentication.forge import CALLER, CONTENT, DOMAIN, FOREIGN, HEAD, NOW, entrance, forge_request, forge_wit
from tests.refusals import refused
from tests.servers.support import CLIENT as SENDER
from tests.servers.support import DOMAIN as SENDERS_DOMAIN
from tests.servers.support import assert_problem, authenticator, call, scope_of, signed
from tests.sources.bundles import PATIENCE, QUICK, Events, bundle, until
from tests.sources.publisher import Clock, key
from wimse.authentication import Authenticator, ExactAudience, any_trusted
from wimse.credentials import TokenSettings, TrustBundle, TrustDomain, UnverifiedWIT, VerifiedWITCache, verify_wit
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.sources import BundleFile, BundleSettings, BundleSource, TrustBundleKeeper
from wimse.sources.bundle_source import Newest
from wimse.stores import MemoryReplayStore

A, B = DOMAIN.trust_domain, FOREIGN.trust_domain
STRANGE = key("strange")


class Given:
    """A source that says what a test tells it to."""

    name = "given"
    needs: TrustDomain | None = None

    def __init__(self, answer: Any, domain: TrustDomain | None = A) -> None:
        self.answer = answer
        self.trust_domain = domain
        self.asked = 0

    async def fetch(self, _: Newest) -> Any:
        self.asked += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer if self.answer is None or isinstance(self.answer, dict) else {A: self.answer}

    def interval(self, settings: BundleSettings) -> float:
        return settings.default_refresh.total_seconds()


def by_hand(*sources: TrustBundle | BundleSource, **options: Any) -> TrustBundleKeeper:
    """A keeper that asks when it is told to, and not by itself."""
    hour = timedelta(hours=1)
    settings = BundleSettings(default_refresh=hour, min_refresh=hour, max_refresh=hour, first_retry=hour)
    return TrustBundleKeeper(*sources, **{"settings": settings, **options})


def judged(server: Authenticator, wit: str | None = None) -> Reason | None:
    """Why a good request, or one with another WIT, is refused; None when it is not."""
    try:
        server.authenticate(forge_request(wit=wit), CONTENT, now=NOW)
    except (Refused, Unavailable) as error:
        return error.reason
    return None


def entering(bundles: Any) -> Authenticator:
    class Forgetful:
        def claim(self, *_: object) -> bool:
            return True

    return entrance(bundles=bundles, replay=Forgetful())


def test_a_request_is_judged_by_the_newest_bundle() -> None:
    source = Given(DOMAIN.bundle)
    with by_hand(source, FOREIGN.bundle) as keeper:
        server = entering(keeper)
        assert judged(server) is None
        source.answer = bundle(A, STRANGE, sequence=1)
        keeper.refresh()
        assert judged(server) is Reason.KEY_UNKNOWN
        source.answer = bundle(A, sequence=2)
        keeper.refresh()
        assert judged(server) is Reason.KEY_UNKNOWN  # SV-34: an empty set distrusts all
        source.answer = bundle(A, DOMAIN.key, sequence=1)
        keeper.refresh()
        assert judged(server) is Reason.KEY_UNKNOWN  # IS-35: the old keys do not come back
        source.answer = bundle(A, DOMAIN.key, sequence=3)
        keeper.refresh()
        assert judged(server) is None


def test_a_verified_token_is_remembered_while_its_bundle_stays() -> None:
    """And however often the same bundle is fetched: what is remembered goes by the object."""
    source = Given(bundle(A, DOMAIN.key))
    with by_hand(source) as keeper:
        first = keeper(A)
        assert first is not None
        known = VerifiedWITCache(10)
        known.remember(verify_wit(UnverifiedWIT.parse(CALLER.wit), first, now=NOW), first, NOW, TokenSettings())
        source.answer = bundle(A, DOMAIN.key)
        keeper.refresh()
        assert source.asked == 2
        found = known.find(CALLER.wit)
        assert found is not None
        assert keeper(A) is found.bundle


def test_a_domain_that_no_source_is_for_is_not_trusted() -> None:
    with by_hand(Given(DOMAIN.bundle)) as keeper:
        assert keeper(B) is None
        assert keeper(TrustDomain("wimse", A.name)) is None
        foreign = forge_wit({"sub": f"{B}/x", "exp": NOW + 60}, signer=FOREIGN.key)
        assert judged(entering(keeper), foreign) is Reason.TRUST_DOMAIN_UNKNOWN


@pytest.mark.parametrize(
    "failure",
    [
        Unavailable(Reason.TRUST_UNAVAILABLE, "away"),
        Refused(Reason.BUNDLE_MALFORMED, "poisoned"),
        ZeroDivisionError(),
        TimeoutError(),
    ],
    ids=["away", "poisoned", "fault", "slow"],
)
def test_a_source_that_fails_takes_nothing_away_until_it_is_too_old(failure: Exception) -> None:
    """MW-12, D11: told of, then closed; and back when the source is."""
    source, events, clock = Given(DOMAIN.bundle), Events(), Clock()
    with by_hand(source, on_event=events, clock=clock) as keeper:
        server = entering(keeper)
        source.answer = failure
        clock.now += 86_400
        keeper.refresh()
        assert judged(server) is None
        ready = [keeper.ready]
        clock.now += 1
        assert judged(server) is Reason.TRUST_UNAVAILABLE
        keeper.refresh()
        keeper.refresh()
        ready.append(keeper.ready)
        assert ready == [True, False]
        assert keeper.bundles() == {}
        assert events.changes == ["updated", "failed", "failed", "too_old", "failed"]
        source.answer = DOMAIN.bundle
        keeper.refresh()
        assert judged(server) is None
        # It can grow too old again, and that is told of again.
        source.answer = failure
        clock.now += 86_401
        keeper.refresh()
        assert events.changes[-2:] == ["failed", "too_old"]


async def test_a_server_without_its_bundle_is_not_ready_and_closed(tmp_path: Path) -> None:
    """MW-11: missing or corrupt at the start: every request gets 503, and the application is not called."""
    path = tmp_path / "bundle.json"
    path.write_bytes(b"{")
    settings = BundleSettings(first_retry=timedelta(seconds=0.02), file_interval=timedelta(seconds=0.02))
    async with TrustBundleKeeper(BundleFile(SENDERS_DOMAIN.trust_domain, path), settings=settings) as keeper:
        assert not keeper.ready
        for _ in range(3):
            exchange = await call(scope_of(signed()), authenticator=authenticator(bundles=keeper))
            assert not exchange.called
            assert_problem(exchange, 503, "unavailable")
        path.write_bytes(SENDERS_DOMAIN.bundle.to_json())
        await asyncio.to_thread(until, lambda: keeper.ready)
        exchange = await call(scope_of(signed()), authenticator=authenticator(bundles=keeper))
        assert exchange.called
        assert exchange.caller.identity == SENDER.fixed.credential.identity


def test_a_reader_sees_one_bundle_or_the_other_and_never_half_of_each() -> None:
    """MW-10: four threads look up as fast as they can while the bundle is exchanged."""
    states = [bundle(A, key("a"), key("b"), sequence=number) for number in range(40)]
    whole = {id(state): tuple(id(each) for each in state.wit_keys) for state in states}
    source = Given(states[0])
    seen: list[set[int]] = []
    wrong: list[object] = []
    over = threading.Event()

    def read() -> None:
        mine: set[int] = set()
        last = -1
        while not over.is_set():
            for _ in range(500):
                found = keeper(A)
                assert found is not None
                sequence = found.sequence or 0
                if whole.get(id(found)) != tuple(map(id, found.wit_keys)) or sequence < last:
                    wrong.append((found, last))
                last = sequence
                mine.add(sequence)
        seen.append(mine)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with by_hand(source) as keeper:
            readers = [threading.Thread(target=read) for _ in range(4)]
            for each in readers:
                each.start()
            for state in states:
                source.answer = state
                keeper.refresh()
                time.sleep(0.002)
            over.set()
            for each in readers:
                each.join(PATIENCE)
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert len(seen) == 4
    assert all(len(each) > 5 and 39 in each for each in seen)


def test_a_flood_of_keys_and_domains_asks_nobody() -> None:
    """WT-26, D11: a token with an unknown kid is refused, and no more than that."""
    source = Given(DOMAIN.bundle)
    with by_hand(source) as keeper:
        server = entering(keeper)
        for number in range(200):
            assert judged(server, forge_wit(wit_of(number), kid=f"flood-{number}")) is Reason.KEY_UNKNOWN
        for number in range(200):
            stranger = forge_wit({"sub": f"spiffe://flood-{number}.example/x", "exp": NOW + 60})
            assert judged(server, stranger) is Reason.TRUST_DOMAIN_UNKNOWN
        assert judged(server) is None
        assert source.asked == 1


def wit_of(number: int) -> dict[str, object]:
    return {
        "sub": str(CALLER.identity),
        "exp": NOW + 60,
        "jti": str(number),
        "cnf": {"jwk": CALLER.key.public_key.to_jwk()},
    }


def test_a_source_of_the_workload_api_is_asked_last() -> None:
    class Snapshots:
        asked = 0
        snapshot_of = SENDER

        def snapshot(self) -> Any:
            self.asked += 1
            return SENDER.snapshot()

    snapshots = Snapshots()
    with by_hand(FOREIGN.bundle, workload=snapshots) as keeper:
        assert keeper(B) is FOREIGN.bundle
        assert snapshots.asked == 0
        assert keeper(SENDERS_DOMAIN.trust_domain) is SENDERS_DOMAIN.bundle
        assert keeper(TrustDomain("spiffe", "unknown.example")) is None
        assert keeper._newest(SENDERS_DOMAIN.trust_domain) is SENDERS_DOMAIN.bundle

    class Gone:
        def snapshot(self) -> Any:
            raise Unavailable(Reason.CREDENTIAL_UNAVAILABLE, "gone")

    gone = TrustBundleKeeper(workload=Gone())
    assert gone._newest(A) is None
    with pytest.raises(Unavailable):
        gone(A)


def test_an_observer_that_fails_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    with by_hand(Given(DOMAIN.bundle), on_event=broken) as keeper:
        assert keeper(A) is DOMAIN.bundle
        keeper.refresh()
        assert keeper.ready
    assert "the observer" in caplog.text


def test_the_log_says_what_has_become_of_a_bundle(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wimse.sources.bundles")
    source = Given(bundle(A, DOMAIN.key, sequence=2))
    with by_hand(source) as keeper:
        source.answer = bundle(A, STRANGE, sequence=1)
        keeper.refresh()
        source.answer = Refused(Reason.BUNDLE_MALFORMED, "poisoned")
        keeper.refresh()
    levels = [(each.levelname, vars(each)["change"]) for each in caplog.records]
    assert levels == [("INFO", "updated"), ("ERROR", "ignored"), ("ERROR", "failed")]
    assert str(A) in caplog.text


def test_a_slow_source_does_not_keep_the_start_waiting() -> None:
    class Slow(Given):
        async def fetch(self, _: Newest) -> Any:
            await asyncio.sleep(PATIENCE)

    settings = BundleSettings(first_wait=timedelta(seconds=0.1))
    began = time.monotonic()
    with TrustBundleKeeper(Slow(DOMAIN.bundle), settings=settings) as keeper:
        assert not keeper.ready
        with pytest.raises(Unavailable):
            keeper(A)
        assert time.monotonic() - began < PATIENCE / 2
    assert time.monotonic() - began < PATIENCE / 2


def test_a_source_is_asked_again_at_its_interval() -> None:
    source = Given(Unavailable(Reason.TRUST_UNAVAILABLE, "away"))
    with TrustBundleKeeper(source, settings=QUICK) as keeper:
        until(lambda: source.asked > 3)
        source.answer = DOMAIN.bundle
        until(lambda: keeper.ready)
        source.answer = None  # nothing new
        asked = source.asked
        until(lambda: source.asked > asked + 3)
        assert keeper(A) is DOMAIN.bundle
    ended = source.asked
    time.sleep(0.2)
    assert source.asked == ended


def test_a_source_that_does_not_know_its_interval_is_asked_all_the_same() -> None:
    class Faulty(Given):
        def interval(self, settings: BundleSettings) -> float:
            return 1 / (settings.max_redirects - settings.max_redirects)

    source = Faulty(DOMAIN.bundle)
    with TrustBundleKeeper(source, settings=QUICK):
        until(lambda: source.asked > 3)


def test_a_keeper_is_opened_once_and_asks_only_while_it_is_open() -> None:
    keeper = by_hand(Given(DOMAIN.bundle))
    with pytest.raises(ConfigurationError, match="not open"):
        keeper.refresh()
    with pytest.raises(Unavailable):
        keeper(A)
    keeper.close()
    with keeper, pytest.raises(ConfigurationError, match="once"):
        keeper.__enter__()
    assert keeper(A) is DOMAIN.bundle
    keeper.close()
    with pytest.raises(ConfigurationError, match="not open"):
        keeper.refresh()


def test_an_authenticator_takes_it() -> None:
    with by_hand(DOMAIN.bundle) as keeper:
        server = Authenticator(
            bundles=keeper,
            audience=ExactAudience("https://orders.example/orders"),
            replay=MemoryReplayStore(),
            policy=any_trusted,
        )
        assert server.authenticate(forge_request(head=HEAD), CONTENT, now=NOW).identity == CALLER.identity
        with refused(Reason.REPLAYED):
            server.authenticate(forge_request(head=HEAD), CONTENT, now=NOW)
