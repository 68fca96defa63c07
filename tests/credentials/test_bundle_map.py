from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.credentials.certificates import authority
from tests.credentials.tokens import ISSUER, NOW, OTHER
from tests.refusals import refused
from wimse.credentials import TrustBundle, TrustBundles, TrustDomain, bundle_map_json, parse_bundle_map
from wimse.credentials.bundle_map import MAX_BUNDLE_MAP_BYTES
from wimse.errors import Reason, Refused

A, B = TrustDomain("spiffe", "a.example"), TrustDomain("spiffe", "b.example")
OF_A = TrustBundle(trust_domain=A, wit_keys=(ISSUER.public_key,), sequence=7, refresh_hint=5)
OF_B = TrustBundle(trust_domain=B, wit_keys=(OTHER.public_key,), x509_authorities=(authority(now=NOW).der,))


def keys(*kids: str) -> str:
    return json.dumps({"keys": [{**ISSUER.public_key.with_kid(kid).to_jwk(), "use": "wit-svid"} for kid in kids]})


def test_a_map_is_read_as_it_was_written() -> None:
    """Each domain has its own keys, even under one kid (SV-33), and its hint is left out (§5.1.1)."""
    document = bundle_map_json(TrustBundles(OF_A, OF_B))
    assert b"refresh_hint" not in document
    found = parse_bundle_map(document)
    assert set(found) == {A, B}
    assert found[A].wit_key("issuer").same_key(ISSUER.public_key)
    assert found[B].wit_key("issuer").same_key(OTHER.public_key)
    assert found[A].sequence == 7
    assert found[B].x509_authorities == OF_B.x509_authorities


def test_a_map_may_be_empty_and_may_say_more() -> None:
    assert len(parse_bundle_map(b'{"trust_domains": {}}')) == 0
    found = parse_bundle_map(f'{{"more": 1, "trust_domains": {{"a.example": {keys("k")}}}}}'.encode())
    assert found[A].wit_key("k").same_key(ISSUER.public_key)


def test_a_map_is_of_one_scheme() -> None:
    found = parse_bundle_map(bundle_map_json(TrustBundles(OF_A)), scheme="wimse")
    assert set(found) == {TrustDomain("wimse", "a.example")}
    with pytest.raises(ValueError, match="one scheme"):
        bundle_map_json(TrustBundles(OF_A, TrustBundle(trust_domain=TrustDomain("wimse", "a.example"))))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f'{{"trust_domains": {{"a.example": {keys("good")}, "a.example": {keys("evil")}}}}}', "twice"),
        (f'{{"trust_domains": {{"a.example": {keys("good")}, "\\u0061.example": {keys("evil")}}}}}', "twice"),
        (f'{{"trust_domains": {{}}, "trust_domains": {{"a.example": {keys("evil")}}}}}', "twice"),
        ('{"trust_domains": {"a.example": {"keys": [], "keys": []}}}', "twice"),
        ('{"trust_domains": {"A.example": {"keys": []}}}', Reason.IDENTIFIER_MALFORMED),
        ('{"trust_domains": {"": {"keys": []}}}', Reason.IDENTIFIER_MALFORMED),
        ('{"trust_domains": {"spiffe://a.example": {"keys": []}}}', Reason.IDENTIFIER_MALFORMED),
        ('{"trust_domains": {"a.example/x": {"keys": []}}}', Reason.IDENTIFIER_MALFORMED),
        ('{"trust_domains": {"a.example:1": {"keys": []}}}', Reason.IDENTIFIER_MALFORMED),
        ("{}", Reason.BUNDLE_MALFORMED),
        ('{"keys": []}', Reason.BUNDLE_MALFORMED),
        ('{"trust_domains": null}', Reason.BUNDLE_MALFORMED),
        ('{"trust_domains": []}', Reason.BUNDLE_MALFORMED),
        ('{"trust_domains": {"a.example": []}}', Reason.BUNDLE_MALFORMED),
        ('{"trust_domains": {"a.example": {}}}', Reason.BUNDLE_MALFORMED),
        (json.dumps({"trust_domains": {f"{i}.example": {"keys": []} for i in range(257)}}), Reason.BUNDLE_MALFORMED),
        (
            json.dumps({"trust_domains": {"a.example": {"keys": []}, "b.example": {"keys": [ISSUER.to_jwk()]}}}),
            Reason.KEY_PRIVATE,
        ),
        ("", Reason.JSON_MALFORMED),
        (" " * (MAX_BUNDLE_MAP_BYTES + 1), Reason.DOCUMENT_TOO_LARGE),
    ],
)
def test_what_is_no_map_is_refused_as_a_whole(text: str, reason: Reason | str) -> None:
    """IS-36: a trust domain that occurs twice, however it is spelled in JSON; §5.1.1, §6.3."""
    with refused(Reason.JSON_DUPLICATE_MEMBER if reason == "twice" else reason):  # type: ignore[arg-type]
        parse_bundle_map(text.encode())


@given(st.binary() | st.text(alphabet='{}[]":,trust_domains keys\\u').map(str.encode))
def test_any_document_is_read_or_refused(data: bytes) -> None:
    with suppress(Refused):
        assert isinstance(parse_bundle_map(data), TrustBundles)
