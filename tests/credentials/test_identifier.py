from __future__ import annotations

from typing import Any

import pytest

from tests import vectors
from tests.refusals import reason_of, refused
from wimse import credentials
from wimse.credentials import TrustDomain, WorkloadIdentifier
from wimse.errors import Reason

CASES = vectors.cases("identifiers")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_identifier_is_read_in_its_one_spelling_or_refused(case: dict[str, Any]) -> None:
    """ID-01 to ID-08, ID-16, SV-18, SV-19, SV-20, SV-21, SV-35, WC-08: each case's comment names its own."""
    if "reason" in case["expected"]:
        with refused(reason_of(case["expected"]["reason"])):
            WorkloadIdentifier.parse(case["uri"])
        return
    identifier = WorkloadIdentifier.parse(case["uri"])
    assert str(identifier.trust_domain) == case["expected"]["trust_domain"]
    assert identifier.path == case["expected"]["path"]
    assert str(identifier) == case["uri"]


@pytest.mark.parametrize(
    "char", [chr(number) for number in range(256) if not chr(number).isascii() or not chr(number).isalnum()]
)
def test_a_path_of_spiffe_has_letters_digits_dots_hyphens_and_underscores_only(char: str) -> None:
    """SV-20"""
    uri = f"spiffe://example.org/a{char}b"
    if char in "-._/":
        assert str(WorkloadIdentifier.parse(uri)) == uri
    else:
        with refused(Reason.IDENTIFIER_MALFORMED):
            WorkloadIdentifier.parse(uri)


@pytest.mark.parametrize("char", "-._~0aZ9A")
def test_no_unreserved_character_is_percent_encoded(char: str) -> None:
    """ID-01"""
    for encoded in (f"%{ord(char):02X}", f"%{ord(char):02x}"):
        with refused(Reason.IDENTIFIER_MALFORMED):
            WorkloadIdentifier.parse(f"wimse://example.org/a{encoded}")


def test_identifiers_are_compared_whole() -> None:
    """ID-03, ID-09, ID-10, SV-35: there is no prefix, no case, and no path without its domain."""
    identifier = WorkloadIdentifier.parse("spiffe://example.org/service/pay")
    assert identifier == WorkloadIdentifier.parse("spiffe://example.org/service/pay")
    for other in (
        "spiffe://example.org/service/payroll",
        "spiffe://example.org/service",
        "spiffe://example.org/service/Pay",
        "spiffe://example.com/service/pay",
        "wimse://example.org/service/pay",
    ):
        assert identifier != WorkloadIdentifier.parse(other)


def test_a_workload_is_member_of_its_own_trust_domain_only() -> None:
    """WT-28, ID-10: scheme included."""
    identifier = WorkloadIdentifier.parse("spiffe://example.org/a")
    assert identifier.member_of(TrustDomain("spiffe", "example.org"))
    for scheme, name in (("wimse", "example.org"), ("spiffe", "example.com"), ("spiffe", "a.example.org")):
        assert not identifier.member_of(TrustDomain(scheme, name))


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "spiffe",
        "spiffe://",
        "spiffe:example.org",
        "spiffe://example.org/",
        "spiffe://example.org/a",
        "https://example.org",
        "spiffe://Example.org",
        "spiffe://example.org:1",
        "spiffe://u@example.org",
        "spiffe://" + "a" * 256,
        "://a",
        "spiffe://a b",
    ],
)
def test_a_trust_domain_is_scheme_and_name(uri: str) -> None:
    """SV-19"""
    with refused(Reason.IDENTIFIER_MALFORMED):
        TrustDomain.parse(uri)


def test_a_trust_domain_names_its_workloads() -> None:
    domain = TrustDomain.parse("spiffe://example.org")
    assert str(domain) == "spiffe://example.org"
    assert str(domain.workload("/a/b")) == "spiffe://example.org/a/b"
    for path in ("", "/", "a", "a/b", "//a", "/a/", "/a/../b"):
        with refused(Reason.IDENTIFIER_MALFORMED):
            domain.workload(path)


def test_identifiers_have_an_order() -> None:
    assert min(TrustDomain("wimse", "a"), TrustDomain("spiffe", "b")).scheme == "spiffe"
    first, second = (WorkloadIdentifier.parse(f"spiffe://a/{name}") for name in "ab")
    assert first < second


def test_the_exported_names_exist() -> None:
    assert all(hasattr(credentials, name) for name in credentials.__all__)
