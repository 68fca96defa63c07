"""joserfc reads what we write, and we read what it writes."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from joserfc import jws as joserfc_jws
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests import vectors
from tests.credentials.tokens import NOW, SPIFFE, WIMSE, workload
from tests.keys.pool import OTHER_RSA, PRIVATE, name_of, private_key
from tests.refusals import refused
from wimse.credentials import (
    TrustBundle,
    UnverifiedWIT,
    issue_jwt_svid,
    issue_wit,
    verify_jwt_svid,
    verify_wit,
)
from wimse.credentials.jws import SPIFFE_ALGORITHMS
from wimse.errors import Reason
from wimse.keys import ES256, PUBLIC_KEY_ALGORITHMS, Algorithm, PrivateKey

EACH = pytest.mark.parametrize("algorithm", PUBLIC_KEY_ALGORITHMS, ids=name_of)
ISSUERS = {algorithm: PRIVATE[name_of(algorithm)].with_kid("issuer") for algorithm in PUBLIC_KEY_ALGORITHMS}
WORKLOADS = {algorithm: private_key(algorithm, OTHER_RSA) for algorithm in PUBLIC_KEY_ALGORITHMS}
NAMED = [(algorithm, name) for algorithm in PUBLIC_KEY_ALGORITHMS for name in algorithm.jose_names]
NAMES = [name for _, name in NAMED]
TYPES: dict[str, type[ECKey | OKPKey | RSAKey]] = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey}


def theirs(jwk: dict[str, Any]) -> ECKey | OKPKey | RSAKey:
    return TYPES[jwk["kty"]].import_key(jwk)


def read_by_joserfc(text: str, jwk: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it advises against the name EdDSA
        return jwt.decode(text, theirs(jwk), algorithms=NAMES)


def written_by_joserfc(header: dict[str, Any], claims: dict[str, Any], jwk: dict[str, Any]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jwt.encode(header, claims, theirs({**jwk, "alg": header["alg"]}), algorithms=NAMES)


@EACH
def test_joserfc_verifies_our_wit(algorithm: Algorithm) -> None:
    issuer, holder = ISSUERS[algorithm], WORKLOADS[algorithm]
    text = issue_wit(
        subject=workload(WIMSE),
        workload_key=holder.public_key,
        signer=issuer,
        issued_at=NOW,
        expires_at=NOW + 60,
        issuer="https://issuer",
        token_id="1",
    )
    token = read_by_joserfc(text, {**issuer.public_key.to_jwk()})
    assert token.header == {"alg": algorithm.jose_name, "kid": "issuer", "typ": "wit+jwt"}
    assert token.claims["sub"] == "wimse://example.org/a"
    assert theirs(token.claims["cnf"]["jwk"]).thumbprint() == holder.public_key.thumbprint()
    with pytest.raises(JoseError):
        read_by_joserfc(text, {**holder.public_key.to_jwk()})


@pytest.mark.parametrize(
    ("algorithm", "name"), NAMED, ids=lambda each: each if isinstance(each, str) else name_of(each)
)
def test_we_verify_a_wit_of_joserfc(algorithm: Algorithm, name: str) -> None:
    issuer, holder = ISSUERS[algorithm], WORKLOADS[algorithm]
    claims = {"sub": "wimse://example.org/a", "exp": NOW + 60, "cnf": {"jwk": holder.public_key.to_jwk()}}
    text = written_by_joserfc({"alg": name, "kid": "issuer", "typ": "wit+jwt"}, claims, {**issuer.to_jwk()})
    bundle = TrustBundle(trust_domain=WIMSE, wit_keys=(issuer.public_key,))
    result = verify_wit(UnverifiedWIT.parse(text), bundle, now=NOW)
    assert result.key.same_key(holder.public_key)
    stranger = TrustBundle(trust_domain=WIMSE, wit_keys=(holder.public_key.with_kid("issuer"),))
    with refused(Reason.TOKEN_SIGNATURE_INVALID):
        verify_wit(UnverifiedWIT.parse(text), stranger, now=NOW)


@pytest.mark.parametrize(
    "algorithm", [each for each in PUBLIC_KEY_ALGORITHMS if each in SPIFFE_ALGORITHMS], ids=name_of
)
def test_joserfc_verifies_our_jwt_svid_and_we_its(algorithm: Algorithm) -> None:
    issuer = ISSUERS[algorithm]
    bundle = TrustBundle(trust_domain=SPIFFE, jwt_keys=(issuer.public_key,))
    ours = issue_jwt_svid(subject=workload(), audience=["me"], signer=issuer, issued_at=NOW, expires_at=NOW + 60)
    token = read_by_joserfc(ours, {**issuer.public_key.to_jwk()})
    assert token.claims == {"sub": str(workload()), "aud": ["me"], "iat": NOW, "exp": NOW + 60}
    claims = {"sub": str(workload()), "aud": "me", "exp": NOW + 60}
    written = written_by_joserfc(
        {"alg": algorithm.jose_name, "kid": "issuer", "typ": "JWT"}, claims, {**issuer.to_jwk()}
    )
    assert verify_jwt_svid(written, bundle, audience="me", now=NOW).identity == workload()


def test_joserfc_agrees_with_the_published_wit() -> None:
    case = vectors.cases("wits")["wimse/wits:wpt-01-wit"]
    public = {name: value for name, value in case["issuer_key"].items() if name != "d"}
    assert read_by_joserfc(case["token"], public).claims["sub"] == case["expected"]["subject"]


@EACH
def test_keys_and_thumbprints_are_the_same_to_both(algorithm: Algorithm) -> None:
    key = WORKLOADS[algorithm]
    other = theirs({**key.to_jwk()})
    assert other.thumbprint() == key.public_key.thumbprint()
    assert PrivateKey.from_pem(other.as_pem(private=True), algorithm=algorithm).public_key.same_key(key.public_key)
    members = {name: value for name, value in key.to_jwk().items() if name not in {"alg", "kid"}}
    assert other.as_dict(private=True).items() >= members.items()


def test_joserfc_verifies_bytes_that_we_sign() -> None:
    key = ISSUERS[ES256]
    text = issue_jwt_svid(subject=workload(), audience=["me"], signer=key, issued_at=NOW, expires_at=NOW + 1)
    assert joserfc_jws.deserialize_compact(text, theirs({**key.public_key.to_jwk()})).payload
