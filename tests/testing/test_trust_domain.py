"""The trust domain for tests is a real one."""

from __future__ import annotations

import pytest

from wimse.credentials import TrustDomain, UnverifiedWIT, WorkloadSource, verify_wit
from wimse.errors import Reason, Refused
from wimse.keys import EDDSA, PrivateKey
from wimse.testing import FixedSource, InMemoryTrustDomain

NOW = 1_800_000_000


def test_its_wits_verify_with_its_bundle() -> None:
    domain = InMemoryTrustDomain()
    credential = domain.credential("/a", now=NOW, lifetime=60, other_claims={"team": "blue"})
    wit = verify_wit(UnverifiedWIT.parse(credential.wit), domain.bundles[domain.trust_domain], now=NOW)
    assert wit.identity == domain.identity("/a") == credential.identity
    assert (wit.issued_at, wit.expires_at, wit.issuer) == (NOW, NOW + 60, "spiffe://example.org")
    assert wit.claims["team"] == "blue"
    assert wit.key.same_key(credential.key.public_key)


def test_two_of_one_name_do_not_trust_each_other() -> None:
    one, other = InMemoryTrustDomain(), InMemoryTrustDomain()
    with pytest.raises(Refused) as caught:
        verify_wit(UnverifiedWIT.parse(one.credential("/a", now=NOW).wit), other.bundle, now=NOW)
    assert caught.value.reason is Reason.TOKEN_SIGNATURE_INVALID


def test_each_credential_has_a_key_and_a_number_of_its_own() -> None:
    """WC-48: unless one is given."""
    domain = InMemoryTrustDomain()
    first, second = domain.credential("/a", now=NOW), domain.credential("/a", now=NOW)
    assert not first.key.public_key.same_key(second.key.public_key)
    ids = {UnverifiedWIT.parse(each.wit).jws.claims["jti"] for each in (first, second)}
    assert len(ids) == 2
    key = PrivateKey.generate()
    assert domain.credential("/a", now=NOW, key=key).key is key


def test_it_can_be_of_another_scheme_and_algorithm() -> None:
    domain = InMemoryTrustDomain("wimse://example.org", algorithm=EDDSA)
    credential = domain.credential("/a", now=NOW, key=PrivateKey.generate(EDDSA))
    assert domain.trust_domain == TrustDomain("wimse", "example.org")
    wit = verify_wit(UnverifiedWIT.parse(credential.wit), domain.bundle, now=NOW)
    assert str(wit.identity) == "wimse://example.org/a"


def test_a_fixed_source_always_gives_the_same_snapshot() -> None:
    domain = InMemoryTrustDomain()
    source: WorkloadSource = domain.source("/a", now=NOW)
    assert isinstance(source, FixedSource)
    assert source.snapshot() is source.snapshot()
    assert source.snapshot().credential.expires_at == NOW + 300
    assert dict(source.snapshot().bundles) == {domain.trust_domain: domain.bundle}


def test_a_malformed_name_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        InMemoryTrustDomain("spiffe://EXAMPLE.org")
    assert caught.value.reason is Reason.IDENTIFIER_MALFORMED
