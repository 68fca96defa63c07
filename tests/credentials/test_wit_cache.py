"""Verified WITs are kept by their text, with the bundle that verified them, in a bound; times are checked each time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.refusals import refused
from wimse.authentication import Authenticator, any_trusted
from wimse.credentials import (
    TokenSettings,
    TrustBundle,
    TrustDomain,
    UnverifiedWIT,
    VerifiedWIT,
    VerifiedWITCache,
    verify_wit,
)
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig import Fields, Request, with_fields
from wimse.profiles.http_signature import REVISION_07, SignatureSettings, sign_request
from wimse.stores.memory import MemoryReplayStore
from wimse.testing import InMemoryTrustDomain

NOW, AUDIENCE = 1_788_298_930, "https://orders.example/"
DOMAIN = InMemoryTrustDomain("spiffe://example.com")
BUNDLE = DOMAIN.bundle
SETTINGS = TokenSettings()
CALLERS = [DOMAIN.credential(f"/caller-{number}", now=NOW) for number in range(6)]
WITS = [verify_wit(UnverifiedWIT.parse(each.wit), BUNDLE, now=NOW) for each in CALLERS]


class Trusting:
    """Looks up a bundle that can be exchanged, and counts how often it is asked."""

    def __init__(self, bundle: TrustBundle | None) -> None:
        self.bundle, self.asked = bundle, 0

    def __call__(self, _: TrustDomain) -> TrustBundle | None:
        self.asked += 1
        return self.bundle


def entrance(trusting: Trusting, settings: TokenSettings | None = None) -> Authenticator:
    return Authenticator(
        bundles=trusting, audience=AUDIENCE, replay=MemoryReplayStore(), policy=any_trusted, token_settings=settings
    )


def signed(nonce: str, now: int = NOW) -> Request:
    head = Request(method="GET", target="/", authority="orders.example")
    return sign_request(
        head, b"", CALLERS[0], revision=REVISION_07, settings=SignatureSettings(), now=now, nonce=nonce
    ).request


def test_the_second_message_of_a_workload_has_the_same_verified_token() -> None:
    trusting = Trusting(BUNDLE)
    judge = entrance(trusting)
    first = judge.authenticate(signed("nonce-001"), b"", now=NOW)
    second = judge.authenticate(signed("nonce-002"), b"", now=NOW)
    assert second.wit is first.wit
    assert trusting.asked == 2  # whom to trust is asked each time


def test_without_a_cache_each_message_is_verified_whole() -> None:
    judge = entrance(Trusting(BUNDLE), TokenSettings(max_cached_tokens=0))
    first = judge.authenticate(signed("nonce-001"), b"", now=NOW)
    assert judge.authenticate(signed("nonce-002"), b"", now=NOW).wit is not first.wit


def test_a_bundle_that_lost_the_key_refuses_a_token_that_is_known() -> None:
    """The swap of a bundle takes effect with the next message."""
    trusting = Trusting(BUNDLE)
    judge = entrance(trusting)
    judge.authenticate(signed("nonce-001"), b"", now=NOW)
    trusting.bundle = TrustBundle(trust_domain=BUNDLE.trust_domain)
    with refused(Reason.KEY_UNKNOWN):
        judge.authenticate(signed("nonce-002"), b"", now=NOW)
    trusting.bundle = None
    with refused(Reason.TRUST_DOMAIN_UNKNOWN):
        judge.authenticate(signed("nonce-003"), b"", now=NOW)
    trusting.bundle = BUNDLE
    judge.authenticate(signed("nonce-004"), b"", now=NOW)


def test_an_equal_bundle_is_another_one_and_verifies_anew() -> None:
    trusting = Trusting(BUNDLE)
    judge = entrance(trusting)
    first = judge.authenticate(signed("nonce-001"), b"", now=NOW)
    trusting.bundle = TrustBundle.parse(BUNDLE.trust_domain, BUNDLE.to_json())
    assert judge.authenticate(signed("nonce-002"), b"", now=NOW).wit is not first.wit


def test_a_token_that_was_refused_is_not_kept() -> None:
    judge = entrance(Trusting(BUNDLE))
    request = signed("nonce-001")
    wit = CALLERS[0].wit
    forged = wit[:-10] + ("A" if wit[-10] != "A" else "B") + wit[-9:]
    lines = [(name, forged if value == wit else value) for name, value in request.fields]
    for _ in range(2):
        with refused(Reason.TOKEN_SIGNATURE_INVALID):
            judge.authenticate(with_fields(request, Fields(lines)), b"", now=NOW)


@given(
    st.integers(min_value=-4_000, max_value=8_000),
    st.integers(min_value=-4_000, max_value=8_000),
    st.integers(min_value=0, max_value=120),
    st.integers(min_value=1, max_value=8_000),
)
@example(-30, 3_600 + 29, 30, 3_600)
@example(-30, 3_600 + 30, 30, 3_600)
def test_a_known_token_is_judged_as_an_unknown_one_at_any_time(
    first: int, offset: int, leeway: int, longest: int
) -> None:
    settings = TokenSettings(leeway=timedelta(seconds=leeway), max_lifetime=timedelta(seconds=longest))
    cache = VerifiedWITCache(4)

    def anew(now: int) -> object:
        try:
            return verify_wit(UnverifiedWIT.parse(WITS[0].text), BUNDLE, now=now, settings=settings)
        except Refused as refusal:
            return refusal.reason

    verified = anew(NOW + first)
    assume(isinstance(verified, VerifiedWIT))
    assert isinstance(verified, VerifiedWIT)
    cache.remember(verified, BUNDLE, NOW + first, settings)
    known = cache.find(WITS[0].text)
    assert known is not None
    try:
        verdict: object = known.verified_by(BUNDLE, NOW + offset, settings)
    except Refused as refusal:
        verdict = refusal.reason
    assert verdict == anew(NOW + offset)


@pytest.mark.parametrize("most", [0, 1, 2, 3, 4])
def test_what_is_kept_is_bounded(most: int) -> None:
    cache = VerifiedWITCache(most)
    for wit in (*WITS, *WITS):
        cache.remember(wit, BUNDLE, NOW, SETTINGS)
        assert len(cache) <= most
        assert (cache.find(wit.text) is not None) is (most > 0)
        assert len(cache) <= most


def test_what_is_used_outlives_what_is_not() -> None:
    cache = VerifiedWITCache(4)
    for wit in (WITS[0], WITS[1], WITS[0], WITS[2], WITS[0], WITS[3], WITS[0], WITS[4]):
        if cache.find(wit.text) is None:
            cache.remember(wit, BUNDLE, NOW, SETTINGS)
    assert cache.find(WITS[0].text) is not None
    assert cache.find(WITS[1].text) is None


def test_a_text_that_is_no_token_is_not_found() -> None:
    cache = VerifiedWITCache(4)
    cache.remember(WITS[0], BUNDLE, NOW, SETTINGS)
    for text in ("", "\udcff", WITS[0].text + " ", WITS[0].text[:-1]):
        assert cache.find(text) is None


def test_several_threads_find_only_what_they_ask_for() -> None:
    cache = VerifiedWITCache(4)

    def hammer(start: int) -> None:
        for step in range(3_000):
            wit = WITS[(start + step) % len(WITS)]
            known = cache.find(wit.text)
            if known is None:
                cache.remember(wit, BUNDLE, NOW, SETTINGS)
            else:
                assert known.wit is wit

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(hammer, start) for start in range(4)]:
            done.result()
    assert len(cache) <= 4 + 2 * 4  # each thread may have been about to add one to either generation


def test_a_negative_number_is_no_setting() -> None:
    with pytest.raises(ConfigurationError):
        TokenSettings(max_cached_tokens=-1)
