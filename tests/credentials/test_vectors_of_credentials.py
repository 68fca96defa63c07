from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tests import vectors
from tests.refusals import reason_of, refused
from wimse.credentials import TokenSettings, TrustBundle, TrustDomain, UnverifiedWIT, VerifiedWIT, verify_wit
from wimse.keys import PrivateKey, PublicKey

WITS = vectors.cases("wits")
BUNDLES = vectors.cases("bundles")


def verified(case: dict[str, Any], unverified: UnverifiedWIT) -> VerifiedWIT:
    issuer = PrivateKey.from_jwk(case["issuer_key"]).public_key
    bundle = TrustBundle(trust_domain=unverified.trust_domain, wit_keys=(issuer,))
    settings = TokenSettings(leeway=timedelta(seconds=case.get("leeway_seconds", 30)))
    return verify_wit(unverified, bundle, now=case["now"], settings=settings)


@pytest.mark.parametrize("case", WITS.values(), ids=WITS)
def test_a_wit_of_the_specifications_is_read_and_verified_where_its_key_is_known(case: dict[str, Any]) -> None:
    """WC-05, WC-07, WC-08, WC-11: the examples have what a WIT has."""
    unverified, expected = UnverifiedWIT.parse(case["token"]), case["expected"]
    if "reason" in expected:
        with refused(reason_of(expected["reason"])):
            verified(case, unverified)
        return
    assert str(unverified.claimed_identity) == expected["subject"]
    claims: Any = unverified.jws.claims
    assert claims["cnf"]["jwk"] == expected["key"]
    if "issuer_key" in case:
        result = verified(case, unverified)
        assert str(result.identity) == expected["subject"]
        assert result.key == PublicKey.from_jwk(expected["key"])
        times = (result.expires_at, result.issued_at, result.token_id, result.issuer)
        assert times == (expected["expires_at"], expected["issued_at"], expected["token_id"], None)
        assert result.text == case["token"]


@pytest.mark.parametrize("case", BUNDLES.values(), ids=BUNDLES)
def test_a_bundle_is_read_or_refused(case: dict[str, Any]) -> None:
    """WT-24, WT-25, CR-25, SV-16, SV-34: each case's comment names its own."""
    domain, data, expected = (
        TrustDomain.parse(case["trust_domain"]),
        json.dumps(case["document"]).encode(),
        case["expected"],
    )
    if "reason" in expected:
        with refused(reason_of(expected["reason"])):
            TrustBundle.parse(domain, data).wit_key(case.get("wit_kid"))
        return
    bundle = TrustBundle.parse(domain, data)
    assert [key.kid for key in bundle.wit_keys] == expected["wit_kids"]
    assert [key.kid for key in bundle.jwt_keys] == expected["jwt_kids"]
    assert len(bundle.x509_authorities) == expected["x509_authorities"]
    assert (bundle.sequence, bundle.refresh_hint) == (expected["sequence"], expected["refresh_hint"])
    assert TrustBundle.parse(domain, bundle.to_json()) == bundle


def test_the_written_authority_has_the_members_of_the_published_one() -> None:
    case = BUNDLES["spiffe/bundles:all-three-kinds"]
    published = case["document"]["keys"][0]
    bundle = TrustBundle.parse(TrustDomain.parse(case["trust_domain"]), json.dumps(case["document"]).encode())
    assert json.loads(bundle.to_json("x509-svid"))["keys"] == [published]
