"""Which algorithms tokens and bundles take: RS, PS and ES for SPIFFE, EdDSA beside them elsewhere, secrets nowhere."""

from __future__ import annotations

import json

import pytest

from tests.keys.pool import PRIVATE, SECRET
from tests.refusals import refused
from wimse.credentials import TrustBundle, TrustDomain, WorkloadIdentifier
from wimse.credentials.jws import sign_compact
from wimse.credentials.jwt_svid import issue_jwt_svid, verify_jwt_svid
from wimse.credentials.wit import UnverifiedWIT, issue_wit, verify_wit
from wimse.errors import Reason
from wimse.keys import RS256, PrivateKey, PublicKey, b64url_encode

SPIFFE, WIMSE = TrustDomain("spiffe", "example.org"), TrustDomain("wimse", "example.org")
FOR_SPIFFE = [name for name in PRIVATE if not name.startswith("Ed")]
EDWARDS = [name for name in PRIVATE if name.startswith("Ed")]
WORKLOAD = PrivateKey.generate().public_key


def subject(domain: TrustDomain) -> WorkloadIdentifier:
    return WorkloadIdentifier.parse(f"{domain.scheme}://{domain.name}/a")


def wit(domain: TrustDomain, issuing: str, workload: object = None) -> str:
    return issue_wit(
        subject=subject(domain),
        workload_key=WORKLOAD if workload is None else workload,  # type: ignore[arg-type]
        signer=PRIVATE[issuing].with_kid("k"),
        issued_at=100,
        expires_at=400,
        issuer="https://issuer.example",
        token_id="t",
    )


def judge(domain: TrustDomain, issuing: str, token: str) -> PrivateKey:
    bundle = TrustBundle(trust_domain=domain, wit_keys=(PRIVATE[issuing].public_key.with_kid("k"),))
    read = TrustBundle.parse(domain, bundle.to_json())  # as it is published
    assert verify_wit(UnverifiedWIT.parse(token), read, now=200).identity == subject(domain)
    return PRIVATE[issuing]


@pytest.mark.parametrize("name", [*FOR_SPIFFE, *EDWARDS])
def test_a_wit_is_issued_and_verified(name: str) -> None:
    judge(WIMSE, name, wit(WIMSE, name))
    judge(WIMSE, "ES256", wit(WIMSE, "ES256", PRIVATE[name].public_key if name != "ES256" else None))
    if name in FOR_SPIFFE:
        judge(SPIFFE, name, wit(SPIFFE, name))
        judge(SPIFFE, "ES256", wit(SPIFFE, "ES256", PRIVATE[name].public_key if name != "ES256" else None))
        return
    for issuing, key in ((name, WORKLOAD), ("ES256", PRIVATE[name].public_key)):
        with pytest.raises(ValueError, match="not one for WITs of this scheme"):
            wit(SPIFFE, issuing, key)
    with refused(Reason.TOKEN_ALGORITHM):
        judge(SPIFFE, name, forged(name, WORKLOAD))
    with refused(Reason.TOKEN_CONFIRMATION):
        judge(SPIFFE, "ES256", forged("ES256", PRIVATE[name].public_key))


def forged(issuing: str, key: PublicKey) -> str:
    """A token of a SPIFFE workload that `issue_wit` would not write."""
    claims = {"sub": str(subject(SPIFFE)), "exp": 400, "iat": 100, "jti": "t", "cnf": {"jwk": key.to_jwk()}}
    return sign_compact({"typ": "wit+jwt"}, claims, PRIVATE[issuing].with_kid("k"))


def confirmed(jwk: dict[str, object]) -> str:
    claims = {"sub": str(subject(WIMSE)), "exp": 400, "iat": 100, "jti": "t", "cnf": {"jwk": jwk}}
    return sign_compact({"typ": "wit+jwt"}, claims, PRIVATE["ES256"].with_kid("k"))


@pytest.mark.parametrize("name", SECRET)
def test_a_wit_confirms_no_secret(name: str) -> None:
    """CR-06: by the name of the algorithm, and by the type of the key."""
    secret = SECRET[name].to_jwk()
    with refused(Reason.TOKEN_CONFIRMATION):
        judge(WIMSE, "ES256", confirmed({**secret}))
    for alg in ("ES256", "RS256", "EdDSA"):
        with refused(Reason.KEY_PRIVATE):
            judge(WIMSE, "ES256", confirmed({**secret, "alg": alg}))
        with refused(Reason.KEY_UNSUPPORTED):
            judge(WIMSE, "ES256", confirmed({"kty": "oct", "alg": alg}))


@pytest.mark.parametrize("alg", ["RSA-OAEP", "ECDH-ES", "A128KW", "dir", "RS1", "HS1", "none", "", None, ["ES256"]])
def test_a_wit_confirms_no_key_for_anything_else(alg: object) -> None:
    """CR-07, CR-08"""
    for key in (PRIVATE["PS256"], PRIVATE["ES384"]):
        with refused(Reason.TOKEN_CONFIRMATION):
            judge(WIMSE, "ES256", confirmed({**key.public_key.to_jwk(), "alg": alg}))


def test_a_wit_whose_key_and_algorithm_do_not_agree_is_refused() -> None:
    """CR-03, CR-09, CR-15"""
    for key, alg in (("ES384", "ES256"), ("ES256", "ES384"), ("PS256", "ES256"), ("Ed448", "Ed25519")):
        with refused(Reason.ALGORITHM_MISMATCH):
            judge(WIMSE, "ES256", confirmed({**PRIVATE[key].public_key.to_jwk(), "alg": alg}))
    bundle = TrustBundle(trust_domain=SPIFFE, wit_keys=(PRIVATE["RS256"].public_key.with_kid("k"),))
    with refused(Reason.ALGORITHM_MISMATCH):
        verify_wit(UnverifiedWIT.parse(wit(SPIFFE, "PS256")), bundle, now=200)


def jwt(name: str) -> str:
    return issue_jwt_svid(
        subject=subject(SPIFFE), audience=["b"], signer=PRIVATE[name].with_kid("k"), issued_at=100, expires_at=400
    )


@pytest.mark.parametrize("name", FOR_SPIFFE)
def test_a_jwt_svid_is_issued_and_verified(name: str) -> None:
    bundle = TrustBundle(trust_domain=SPIFFE, jwt_keys=(PRIVATE[name].public_key.with_kid("k"),))
    assert verify_jwt_svid(jwt(name), bundle, audience="b", now=200).identity == subject(SPIFFE)


@pytest.mark.parametrize("name", EDWARDS)
def test_a_jwt_svid_is_not_eddsa(name: str) -> None:
    with pytest.raises(ValueError, match="not one for JWT-SVIDs"):
        jwt(name)
    token = sign_compact({"typ": "JWT"}, {"sub": str(subject(SPIFFE)), "aud": "b", "exp": 400}, PRIVATE[name])
    bundle = TrustBundle(trust_domain=SPIFFE, jwt_keys=(PRIVATE[name].public_key.with_kid("k"),))
    with refused(Reason.TOKEN_ALGORITHM):
        verify_jwt_svid(token, bundle, audience="b", now=200)


@pytest.mark.parametrize("name", SECRET)
def test_no_token_is_signed_by_a_secret(name: str) -> None:
    """CR-04: not even where the attacker has the bundle, and signs with its public key."""
    parts = [{"alg": name, "typ": "JWT", "kid": "k"}, {"sub": str(subject(SPIFFE)), "aud": "b", "exp": 400}]
    signed = ".".join(b64url_encode(json.dumps(part).encode()) for part in parts)
    token = f"{signed}.{b64url_encode(SECRET[name].sign(signed.encode()))}"
    key = PRIVATE["RS256"].public_key.with_kid("k")
    bundle = TrustBundle(trust_domain=SPIFFE, wit_keys=(key,), jwt_keys=(key.with_kid("l"),))
    with refused(Reason.TOKEN_ALGORITHM):
        verify_jwt_svid(token, bundle, audience="b", now=200)


def test_an_rsa_key_of_a_bundle_that_does_not_say_is_for_rs256() -> None:
    jwk = {name: value for name, value in PRIVATE["PS256"].public_key.to_jwk().items() if name != "alg"}
    document = json.dumps({"keys": [{**jwk, "kid": "k", "use": "jwt-svid"}]}).encode()
    bundle = TrustBundle.parse(SPIFFE, document)
    assert bundle.jwt_key("k").algorithm is RS256
    assert verify_jwt_svid(jwt("RS256"), bundle, audience="b", now=200).expires_at == 400
    with refused(Reason.ALGORITHM_MISMATCH):
        verify_jwt_svid(jwt("PS256"), bundle, audience="b", now=200)
    for weak in ({"n": b64url_encode(b"\x81" * 128)}, {"e": "AQ"}):
        with refused(Reason.KEY_WEAK):
            TrustBundle.parse(SPIFFE, json.dumps({"keys": [{**jwk, **weak, "kid": "k", "use": "wit-svid"}]}).encode())
