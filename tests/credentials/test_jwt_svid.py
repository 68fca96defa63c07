from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.credentials.tokens import ABSENT, ED_ISSUER, ISSUER, NOW, OTHER, SPIFFE, WIMSE, jws, wit, workload
from tests.refusals import refused
from wimse.credentials import (
    TrustBundle,
    TrustDomain,
    issue_jwt_svid,
    jwt_svid_trust_domain,
    verify_jwt_svid,
)
from wimse.credentials.jwt_svid import VerifiedJWTSVID
from wimse.errors import Reason
from wimse.keys import PrivateKey

BUNDLE = TrustBundle(trust_domain=SPIFFE, jwt_keys=(ISSUER.public_key, ED_ISSUER.public_key))


def svid(*, key: PrivateKey = ISSUER, header: Mapping[str, object] | None = None, **claims: object) -> str:
    head = {"alg": key.algorithm.jose_name, "kid": key.kid, "typ": "JWT", **(header or {})}
    body = {"sub": str(workload()), "aud": ["me"], "exp": NOW + 60, **claims}
    return jws(
        {name: value for name, value in head.items() if value is not ABSENT},
        {name: value for name, value in body.items() if value is not ABSENT},
        key,
    )


def check(text: str, bundle: TrustBundle = BUNDLE, audience: str = "me") -> VerifiedJWTSVID:
    return verify_jwt_svid(text, bundle, audience=audience, now=NOW)


def test_what_is_issued_verifies_for_each_audience() -> None:
    text = issue_jwt_svid(subject=workload(), audience=["me", "you"], signer=ISSUER, issued_at=NOW, expires_at=NOW + 60)
    for audience in ("me", "you"):
        result = check(text, audience=audience)
        assert (result.identity, result.expires_at) == (workload(), NOW + 60)
        assert result.claims["aud"] == ["me", "you"]
    assert jwt_svid_trust_domain(text) == SPIFFE
    assert text not in repr(check(text))


@pytest.mark.parametrize("aud", ["me", ["me"], ["you", "me"]])
def test_an_audience_is_a_string_or_a_list(aud: object) -> None:
    check(svid(aud=aud))


@pytest.mark.parametrize(
    "aud", [ABSENT, None, "", "you", "Me", "me ", "mee", [], ["you"], [["me"]], ["me", 1], {"me": 1}, 1, True]
)
def test_another_audience_is_refused(aud: object) -> None:
    with refused(Reason.TOKEN_AUDIENCE):
        check(svid(aud=aud))


@pytest.mark.parametrize("typ", [ABSENT, "JWT", "JOSE"])
def test_a_typ_is_that_of_a_jwt(typ: object) -> None:
    check(svid(header={"typ": typ}))


@pytest.mark.parametrize("typ", ["", "jwt", "wit+jwt", "at+jwt", "JWT "])
def test_another_typ_is_refused(typ: str) -> None:
    with refused(Reason.TOKEN_TYPE):
        check(svid(header={"typ": typ}))


def test_a_wit_is_no_jwt_svid() -> None:
    """WT-13, the other way round: a WIT is not a bearer token (WC-13, SV-15). WT-14: not by the same key either."""
    with refused(Reason.TOKEN_TYPE):
        check(wit(aud=["me"]))


@pytest.mark.parametrize(
    "alg",
    ["none", "", "HS256", "HS384", "HS512", "EdDSA", "Ed25519", "Ed448", "es256", "ES256K", "RS1", "dir", "RSA-OAEP"],
)
def test_an_alg_that_is_not_permitted_is_refused(alg: str) -> None:
    with refused(Reason.TOKEN_ALGORITHM):
        check(svid(header={"alg": alg}))
    with refused(Reason.TOKEN_ALGORITHM):
        check(svid(key=ED_ISSUER))


def test_the_key_decides_the_algorithm() -> None:
    """CR-22"""
    with refused(Reason.ALGORITHM_MISMATCH):
        check(svid(header={"kid": "ed"}))
    for alg in ("ES384", "ES512", "RS256", "PS256"):  # permitted, and not this key's
        with refused(Reason.ALGORITHM_MISMATCH):
            check(svid(header={"alg": alg}))


def test_the_key_is_one_of_the_trust_domains_keys_for_jwt_svids() -> None:
    """WT-23, WT-24, WT-27"""
    with refused(Reason.KEY_UNKNOWN):
        check(svid(header={"kid": "x"}))
    with refused(Reason.KEY_ID_MISSING):
        check(svid(header={"kid": ABSENT}))
    with refused(Reason.KEY_UNKNOWN):
        check(svid(), TrustBundle(trust_domain=SPIFFE, wit_keys=(ISSUER.public_key,)))
    with refused(Reason.TOKEN_SIGNATURE_INVALID):
        check(svid(key=OTHER))
    for domain in (WIMSE, TrustDomain("spiffe", "other")):
        with refused(Reason.TRUST_DOMAIN_UNKNOWN):
            check(svid(), TrustBundle(trust_domain=domain, jwt_keys=(ISSUER.public_key,)))


@pytest.mark.parametrize(
    "sub", [ABSENT, None, 1, [], "", "a", "spiffe://example.org", "spiffe://EXAMPLE.org/a", "wimse://example.org/a"]
)
def test_a_sub_is_a_spiffe_id(sub: object) -> None:
    for read in (check, jwt_svid_trust_domain):
        with refused(Reason.TOKEN_SUBJECT):
            read(svid(sub=sub))


def test_the_times_are_checked() -> None:
    with refused(Reason.TOKEN_CLAIM):
        check(svid(exp=ABSENT))
    with refused(Reason.TOKEN_EXPIRED):
        check(svid(exp=NOW - 30))
    with refused(Reason.TOKEN_NOT_YET_VALID):
        check(svid(nbf=NOW + 31))
    with refused(Reason.TOKEN_LIFETIME):
        check(svid(exp=NOW + 100_000))


def test_what_is_no_token_is_refused() -> None:
    malformed: list[Any] = ["", "a.b", svid() + ".x"]
    for text in malformed:
        with refused(Reason.TOKEN_MALFORMED):
            check(text)
    with refused(Reason.TOKEN_CRITICAL):
        check(svid(header={"crit": ["exp"]}))
