"""Every proof of `vectors/`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests import vectors
from tests.refusals import reason_of, refused
from wimse.credentials import TrustBundle, TrustDomain, UnverifiedWIT, VerifiedWIT, verify_wit
from wimse.httpsig import Request, parse_http1
from wimse.keys import PublicKey
from wimse.profiles.proof_token import REVISIONS, ProofTokenSettings, VerifiedRequestProof, verify_request

CASES = vectors.cases("proofs")
DOMAIN = TrustDomain.parse("wimse://example.com")


def verified_wit(text: str, case: dict[str, Any]) -> VerifiedWIT:
    public = PublicKey.from_jwk({name: value for name, value in case["issuer_key"].items() if name != "d"})
    bundle = TrustBundle(trust_domain=DOMAIN, wit_keys=(public,))
    return verify_wit(UnverifiedWIT.parse(text), bundle, now=case["now"])


def judged(case: dict[str, Any]) -> VerifiedRequestProof:
    request = parse_http1(case["message"].encode("latin-1")).message
    assert isinstance(request, Request)
    (wit,) = request.fields.values("workload-identity-token")
    leeway = timedelta(seconds=case.get("leeway_seconds", 30))
    return verify_request(
        request,
        verified_wit(wit, case),
        revision=REVISIONS[case["revision"]],
        settings=ProofTokenSettings(leeway=leeway),
        now=case["now"],
    )


@pytest.mark.parametrize("name", CASES)
def test_a_proof_is_judged_as_the_vector_says(name: str) -> None:
    case = CASES[name]
    expected = case["expected"]
    if "reason" in expected:
        with refused(reason_of(expected["reason"])):
            judged(case)
        return
    found = judged(case)
    assert str(found.proof.identity) == expected["identity"]
    assert found.proof.audience == expected["audience"]
    assert found.proof.token_id == expected["token_id"]
    assert found.proof.expires_at == expected["expires_at"]
    assert dict(found.proof.claims) == expected["claims"]
    assert sorted(found.covered) == sorted(expected["covered"])
