from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refused
from tests.sources.publisher import document, key, need
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.sources import JWKSSettings
from wimse.sources.jwks_cache import JWKSCache, Published

OLD, NEW, STRANGE = key("old"), key("new"), key("strange")
OF_OLD, OF_NEW, OF_STRANGE = need(OLD), need(NEW), need(STRANGE)
MAX_AGE = 86_400


def cache() -> JWKSCache:
    made = JWKSCache(JWKSSettings())
    made.succeeded(Published(document(OLD)), 0)
    return made


def unavailable(made: JWKSCache, now: float) -> str:
    with pytest.raises(Unavailable) as caught:
        made.lookup(OF_OLD, now)
    assert caught.value.reason is Reason.TRUST_UNAVAILABLE
    return caught.value.detail


def test_nothing_is_known_before_the_first_fetch() -> None:
    made = JWKSCache(JWKSSettings())
    assert made.lookup(OF_OLD, 0) is None
    with pytest.raises(Unavailable):
        made.find(OF_OLD, 0)


def test_a_key_is_used_until_the_set_is_stale() -> None:
    made = cache()
    assert made.lookup(OF_OLD, 299) == OLD.public_key
    assert made.lookup(OF_OLD, 300) is None
    assert made.find(OF_OLD, 300) == OLD.public_key


@pytest.mark.parametrize(
    ("cache_control", "age", "stale_at"),
    [
        (None, None, 300),
        ("", None, 300),
        ("public", "100", 300),
        ("public, max-age=600", None, 600),
        ("Max-Age=600", None, 600),
        ('max-age="600"', None, 600),
        ("max-age=600", "100", 500),
        ("max-age=600", "-100", 600),
        ("max-age=600", "700", 60),
        ("max-age=0", None, 60),
        ("max-age=59", None, 60),
        ("max-age=3601", None, 3600),
        ("max-age=999999999", None, 3600),
        ("max-age=9999999999", None, 60),
        ("max-age=-1", None, 60),
        ("max-age=x", None, 60),
        ("max-age=", None, 60),
        ("max-age=600, max-age=90", None, 90),
        ("no-store", None, 60),
        ("max-age=600, no-cache", None, 60),
        ("s-maxage=600", None, 300),
        ("max-age=\u0661\u0662", None, 60),
    ],
)
def test_the_publisher_is_heard_within_bounds(cache_control: str | None, age: str | None, stale_at: int) -> None:
    made = JWKSCache(JWKSSettings())
    made.succeeded(Published(document(OLD), cache_control, age), 0)
    assert made.lookup(OF_OLD, stale_at - 1) == OLD.public_key
    assert made.lookup(OF_OLD, stale_at) is None


def test_unknown_keys_are_a_reason_to_fetch_once_in_a_while() -> None:
    """D11: whatever the keyids are, there is one fetch in 30 s."""
    made = cache()
    for number in range(100):
        with refused(Reason.KEY_UNKNOWN):
            made.lookup(need(key(f"flood-{number}")) if number < 3 else OF_STRANGE, 29.9)
    assert made.lookup(OF_STRANGE, 30) is None
    made.succeeded(Published(document(OLD)), 30)
    with refused(Reason.KEY_UNKNOWN):
        made.lookup(OF_STRANGE, 59)
    assert made.lookup(OF_STRANGE, 60) is None
    made.failed("away", 60)
    with refused(Reason.KEY_UNKNOWN):
        made.lookup(OF_STRANGE, 89)
    assert made.lookup(OF_STRANGE, 90) is None


def test_a_signature_that_names_no_key_is_no_reason_to_fetch() -> None:
    made = JWKSCache(JWKSSettings())
    made.succeeded(Published(document(OLD, NEW)), 0)
    nameless = need(OLD)
    del nameless.signature.input.parameters["keyid"]  # type: ignore[attr-defined]  # a dict, for this test
    with refused(Reason.KEY_ID_MISSING):
        made.lookup(nameless, 100)


def test_a_rotated_key_is_found_after_a_fetch_and_the_old_one_is_gone() -> None:
    made = cache()
    made.succeeded(Published(document(NEW)), 40)
    assert made.lookup(OF_NEW, 41) == NEW.public_key
    with refused(Reason.KEY_UNKNOWN):
        made.lookup(OF_OLD, 41)


def test_the_last_good_set_stays_until_it_is_too_old() -> None:
    """D11: a publisher that is away takes no key away, for a day."""
    made = cache()
    made.failed("away", 400)
    assert made.lookup(OF_OLD, 401) == OLD.public_key
    assert made.lookup(OF_OLD, 405) is None
    made.failed("away", MAX_AGE)
    assert made.lookup(OF_OLD, MAX_AGE) == OLD.public_key
    assert "away" in unavailable(made, MAX_AGE + 1)
    assert made.lookup(OF_OLD, MAX_AGE + 5) is None
    made.succeeded(Published(document(OLD)), MAX_AGE + 6)
    assert made.lookup(OF_OLD, MAX_AGE + 7) == OLD.public_key


def test_a_first_fetch_that_failed_is_not_repeated_at_once() -> None:
    made = JWKSCache(JWKSSettings())
    made.failed("away", 0)
    assert "away" in unavailable(made, 4.9)
    assert made.lookup(OF_OLD, 5) is None


PRIVATE = json.dumps({"keys": [OLD.to_jwk(), NEW.public_key.to_jwk()]}).encode()
SECRET = json.dumps({"keys": [{"kty": "oct", "k": "AAAA"}, NEW.public_key.to_jwk()]}).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.JSON_MALFORMED),
        (b"<html>", Reason.JSON_MALFORMED),
        (b"{}", Reason.KEY_MALFORMED),
        (b'{"keys": {}}', Reason.KEY_MALFORMED),
        (b'{"keys": [1]}', Reason.KEY_MALFORMED),
        (b'{"keys": [], "keys": []}', Reason.JSON_DUPLICATE_MEMBER),
        (b'{"keys": ' + b"[" * 100_000, Reason.JSON_TOO_DEEP),
        (document(NEW)[:-1], Reason.JSON_MALFORMED),
        (b'{"keys": [' + b",".join([b"{}"] * 257) + b"]}", Reason.KEY_MALFORMED),
        (b" " * 1_048_577, Reason.DOCUMENT_TOO_LARGE),
        (PRIVATE, Reason.KEY_PRIVATE),
        (SECRET, Reason.KEY_PRIVATE),
    ],
)
def test_what_is_no_set_of_public_keys_changes_nothing(content: bytes, reason: Reason) -> None:
    """CVE-2026-48524, D11: the keys that are there stay, and none of the others comes in."""
    made = cache()
    with refused(reason):
        made.succeeded(Published(content), 40)
    assert made.lookup(OF_OLD, 299) == OLD.public_key
    assert made.lookup(OF_OLD, 300) is None


@pytest.mark.parametrize("content", [b'{"keys": []}', b'{"keys": [{"kty": "XYZ"}]}'])
def test_a_set_without_a_usable_key_refuses_every_signature(content: bytes) -> None:
    """D11: an owner that has withdrawn all keys has no key."""
    made = cache()
    made.succeeded(Published(content), 40)
    with refused(Reason.KEY_UNKNOWN):
        made.lookup(OF_OLD, 41)


@given(st.binary() | st.text(alphabet='{}[]"keys:, \\u0').map(str.encode), st.text(), st.text())
def test_any_answer_is_taken_or_refused_and_never_another_error(content: bytes, control: str, age: str) -> None:
    made = cache()
    try:
        made.succeeded(Published(content, control, age), 1)
    except Refused:
        assert made.lookup(OF_OLD, 2) == OLD.public_key


@given(st.lists(st.sampled_from(["good", "failed", "hour", "day", "second"])))
def test_the_old_key_is_never_lost_before_its_time(steps: list[str]) -> None:
    made, now, good_at = cache(), 0.0, 0.0
    for step in steps:
        now += {"hour": 3600.0, "day": 86_400.0, "second": 1.0}.get(step, 0.0)
        if step == "good":
            made.succeeded(Published(document(OLD)), now)
            good_at = now
        elif step == "failed":
            made.failed("away", now)
        if now - good_at > MAX_AGE:
            for asked in (OF_STRANGE, OF_OLD):
                with pytest.raises(Unavailable):
                    made.find(asked, now)
        else:
            assert made.find(OF_OLD, now) == OLD.public_key
            with refused(Reason.KEY_UNKNOWN):
                made.find(OF_STRANGE, now)


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": timedelta(0)},
        {"max_document_bytes": 0},
        {"max_keys": -1},
        {"unknown_key_cooldown": timedelta(0)},
        {"failure_cooldown": timedelta(seconds=-1)},
        {"min_lifetime": timedelta(minutes=6)},
        {"max_lifetime": timedelta(minutes=4)},
        {"max_age": timedelta(minutes=59)},
    ],
)
def test_settings_that_bound_nothing_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        JWKSSettings(**settings)  # type: ignore[arg-type]
