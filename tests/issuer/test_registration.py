from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from wimse.credentials import TrustDomain
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.issuer import IssuerSettings, Registration, Selector, registered_path
from wimse.issuer.registration import check_registration, check_successor
from wimse.keys import ES512

DOMAIN = TrustDomain("spiffe", "example.org")
UID = Selector.parse("unix:uid:1000")
ENTRY = Registration(entry_id="e1", path="/payments", selectors=(UID,))


@pytest.mark.parametrize("identity", ["/payments", "spiffe://example.org/payments"])
def test_an_identity_is_a_path_or_a_uri_of_the_trust_domain(identity: str) -> None:
    assert registered_path(identity, DOMAIN) == "/payments"


@pytest.mark.parametrize(
    "identity",
    [
        "spiffe://other-td/payments",
        "wimse://example.org/payments",
        "spiffe://example.org.evil/payments",
        "spiffe://example.org",
        "spiffe://example.org/",
        "spiffe://example.org/a/../b",
        "/a/../b",
        "/./a",
        "//a",
        "/a/",
        "/",
        "",
        "payments",
        "/a%2fb",
        "/a b",
        "/" + "a" * 2048,
    ],
)
def test_a_foreign_root_or_malformed_identity_is_refused(identity: str) -> None:
    """IS-31."""
    with pytest.raises(ConfigurationError, match="the identity of an entry"):
        registered_path(identity, DOMAIN)


@pytest.mark.parametrize("path", ["/../a", "/", "", "a", "/a//b", "spiffe://example.org/a"])
def test_a_path_that_is_none_is_not_registered(path: str) -> None:
    """IS-31."""
    with pytest.raises(ConfigurationError, match="path"):
        replace(ENTRY, path=path)


@pytest.mark.parametrize(
    "text", ["unix:uid:0*", "unix:uid:01", "unix:uid:' OR 1=1", "unix:path:/bin/*", "unix:uid:", ""]
)
def test_a_selector_that_looks_like_a_pattern_or_a_statement_is_refused(text: str) -> None:
    """IS-30."""
    with pytest.raises(ConfigurationError):
        replace(ENTRY, selectors=(Selector.parse(text),))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("entry_id", "", "entry_id"),
        ("entry_id", "a" * 65, "entry_id"),
        ("entry_id", "../x", "entry_id"),
        ("entry_id", "ä", "entry_id"),
        ("selectors", (), "no selectors"),
        ("selectors", (UID, Selector.parse("unix:uid:1")), "two selectors"),
        ("hint", "x" * 1025, "hint"),
        ("hint", "a\0b", "hint"),
        ("hint", "\ud800", "hint"),
        ("wit_lifetime", timedelta(seconds=1), "wit_lifetime"),
        ("jwt_svid_lifetime", timedelta(seconds=-5), "jwt_svid_lifetime"),
        ("x509_svid_lifetime", timedelta(seconds=2.5), "x509_svid_lifetime"),
        ("dns_names", ("a..b",), "DNS name"),
        ("dns_names", ("a.example", "a.example"), "dns_names"),
        ("dns_names", tuple(f"n{n}" for n in range(33)), "dns_names"),
        ("federates_with", ("Other.org",), "federates_with"),
        ("federates_with", ("a", "a"), "federates_with"),
        ("expires_at", 0, "expires_at"),
        ("key_algorithm", "EdDSA", "key_algorithm"),
        ("key_algorithm", "HS256", "key_algorithm"),
        ("key_algorithm", "none", "key_algorithm"),
        ("key_algorithm", "ecdsa-p256-sha256", "key_algorithm"),
    ],
)
def test_a_value_out_of_its_bounds_is_refused_by_its_name(name: str, value: object, words: str) -> None:
    """IS-23, IS-15: an algorithm that WIT-SVID §3.2 does not list; a hint that is too long."""
    with pytest.raises(ConfigurationError, match=words):
        replace(ENTRY, **{name: value})  # type: ignore[arg-type]


def test_the_algorithm_of_an_entry_is_that_of_its_keys() -> None:
    assert replace(ENTRY, key_algorithm="ES512").algorithm is ES512


def test_an_entry_ends() -> None:
    assert not ENTRY.expired(10**10)
    assert not replace(ENTRY, expires_at=10).expired(9)
    assert replace(ENTRY, expires_at=10).expired(10)


def test_an_identity_too_long_in_its_trust_domain_is_refused() -> None:
    long = replace(ENTRY, path="/" + "a" * 1900)
    check_registration(long, (), IssuerSettings(), "a")
    with pytest.raises(ConfigurationError, match="longer"):
        check_registration(long, (), IssuerSettings(), "a" * 200)


def test_whoever_matches_after_a_change_has_matched_before() -> None:
    """ID-13."""
    check_successor(replace(ENTRY, selectors=(UID, Selector.parse("unix:gid:1"))), (UID,))
    for others in ((Selector.parse("unix:uid:1001"),), (Selector.parse("unix:gid:1"),)):
        with pytest.raises(Refused) as refusal:
            check_successor(replace(ENTRY, selectors=others), (UID,))
        assert refusal.value.reason is Reason.ENTRY_CONFLICT
