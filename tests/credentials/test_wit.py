from __future__ import annotations

import json
import socket
from typing import Any, NoReturn

import pytest

from tests.credentials.tokens import (
    ABSENT,
    ED_ISSUER,
    ISSUER,
    NOW,
    OTHER,
    SPIFFE,
    WIMSE,
    WORKLOAD,
    bundle,
    encode,
    jws,
    wit,
    workload,
)
from tests.keys.pool import PRIVATE
from tests.refusals import refused
from wimse.credentials import (
    TrustBundle,
    TrustDomain,
    UnverifiedWIT,
    VerifiedWIT,
    issue_jwt_svid,
    issue_wit,
    verify_wit,
)
from wimse.errors import Reason
from wimse.keys import PrivateKey, PublicKey

BOTH = pytest.mark.parametrize("domain", [SPIFFE, WIMSE], ids=str)


def check(text: str, anchors: TrustBundle | None = None, now: int = NOW) -> VerifiedWIT:
    unverified = UnverifiedWIT.parse(text)
    if anchors is None:
        anchors = bundle(unverified.trust_domain, ISSUER.public_key, ED_ISSUER.public_key)
    return verify_wit(unverified, anchors, now=now)


@BOTH
def test_a_good_wit_says_whose_key_it_is(domain: TrustDomain) -> None:
    """WT-38, WC-28, SV-12: unknown claims are ignored, and kept."""
    result = check(wit(domain, iss="https://issuer", jti="1", private=[1]))
    assert (result.identity, result.expires_at, result.issued_at) == (workload(domain), NOW + 600, NOW)
    assert (result.issuer, result.token_id) == ("https://issuer", "1")
    assert result.key.same_key(WORKLOAD.public_key)
    assert result.claims["private"] == [1]
    bare = check(wit(domain, iat=ABSENT))
    assert (bare.issued_at, bare.issuer, bare.token_id) == (None, None, None)  # WC-20, WC-21: both are optional


@pytest.mark.parametrize("sub", [ABSENT, None, 1, True, [], {}, ["spiffe://example.org/a"], ["a", "b"]])
def test_a_sub_is_one_string(sub: object) -> None:
    """WT-39, WC-04, WC-08, SV-05"""
    with refused(Reason.TOKEN_SUBJECT):
        UnverifiedWIT.parse(wit(sub=sub))


@pytest.mark.parametrize(
    "sub",
    [
        "",
        "a",
        "https://example.org/a",
        "wimse:a",
        "spiffe://example.org",
        "spiffe://example.org/",
        "spiffe://example.org/%61",
        "spiffe://EXAMPLE.org/a",
        "spiffe://example.org:1/a",
        "spiffe://example.org/a?",
        "spiffe://example.org/a\n",
        "spiffe://example.org/a spiffe://example.org/b",
    ],
)
def test_a_sub_is_one_identifier_in_its_one_spelling(sub: str) -> None:
    """ID-01, ID-03, ID-04, ID-05, ID-08, ID-16, WT-39"""
    with refused(Reason.TOKEN_SUBJECT):
        UnverifiedWIT.parse(wit(sub=sub))


def test_the_subjects_trust_domain_selects_the_anchors() -> None:
    """WT-27, WT-28, WC-01, WC-31, WC-33: neither another domain's bundle, nor the same name's of another scheme."""
    for domain in (WIMSE, TrustDomain("spiffe", "example.com"), TrustDomain("spiffe", "a.example.org")):
        with refused(Reason.TRUST_DOMAIN_UNKNOWN):
            check(wit(SPIFFE), bundle(domain))
    with refused(Reason.TOKEN_SIGNATURE_INVALID):  # what domain B's issuer signs for domain A
        check(wit(SPIFFE, key=OTHER), bundle(SPIFFE))


@pytest.mark.parametrize(
    "typ",
    [
        ABSENT,
        "",
        "JWT",
        "jwt",
        "wpt+jwt",
        "at+jwt",
        "dpop+jwt",
        "wimse-id+jwt",
        "wit",
        "wit+jwt ",
        "application/wpt+jwt",
    ],
)
@BOTH
def test_another_typ_is_refused(domain: TrustDomain, typ: object) -> None:
    """WT-12, WT-13, WC-07, SV-02"""
    with refused(Reason.TOKEN_TYPE):
        check(wit(domain, header={"typ": typ}))


@pytest.mark.parametrize("typ", ["application/wit+jwt", "WIT+JWT", "Application/Wit+Jwt"])
def test_a_media_type_is_one_for_wimse_and_none_for_spiffe(typ: str) -> None:
    """WT-12, SV-02"""
    check(wit(WIMSE, header={"typ": typ}))
    with refused(Reason.TOKEN_TYPE):
        check(wit(SPIFFE, header={"typ": typ}))


def test_another_kind_of_token_is_no_wit() -> None:
    """WT-13: though the same key signed it."""
    svid = issue_jwt_svid(subject=workload(), audience=["a"], signer=ISSUER, issued_at=NOW, expires_at=NOW + 60)
    with refused(Reason.TOKEN_TYPE):
        check(svid)


@pytest.mark.parametrize(
    "alg",
    ["none", "None", "nOnE", "", "HS256", "HS384", "HS512", "RS1", "ES256K", "es256", "dir", "RSA-OAEP", "ML-DSA-44"],
)
@BOTH
def test_an_alg_that_is_not_permitted_is_refused(domain: TrustDomain, alg: str) -> None:
    """WT-09, WT-10, WC-05, WC-06, SV-03"""
    with refused(Reason.TOKEN_ALGORITHM):
        check(wit(domain, header={"alg": alg}))


def test_an_unsecured_or_symmetric_token_is_refused_whatever_its_signature() -> None:
    """WT-09, WT-10: HMAC with the issuer's public key as the secret."""
    import hashlib
    import hmac

    header, payload, signature = wit(header={"alg": "HS256"}).split(".")
    for secret in (ISSUER.public_key.to_pem(), json.dumps(ISSUER.public_key.to_jwk()).encode()):
        mac = encode(hmac.digest(secret, f"{header}.{payload}".encode(), hashlib.sha256))
        with refused(Reason.TOKEN_ALGORITHM):
            check(f"{header}.{payload}.{mac}")
    with refused(Reason.TOKEN_ALGORITHM):
        check(wit(header={"alg": "none"}).removesuffix(signature) + "AA")
    with refused(Reason.TOKEN_MALFORMED):
        check(f"{header}.{payload}.")


@pytest.mark.parametrize(
    ("name", "alg"), [("Ed25519", "EdDSA"), ("Ed25519", "Ed25519"), ("Ed448", "EdDSA"), ("Ed448", "Ed448")]
)
def test_eddsa_is_for_wimse_and_not_for_spiffe(name: str, alg: str) -> None:
    """WT-11, SV-03"""
    issuer = PRIVATE[name].with_kid("issuer")
    check(wit(WIMSE, key=issuer, header={"alg": alg}), bundle(WIMSE, issuer.public_key))
    with refused(Reason.TOKEN_ALGORITHM):
        check(wit(SPIFFE, key=issuer, header={"alg": alg}), bundle(SPIFFE, issuer.public_key))


def test_the_key_decides_the_algorithm_and_not_the_header() -> None:
    """CR-22, CR-03: CVE-2026-48523."""
    with refused(Reason.ALGORITHM_MISMATCH):
        check(wit(WIMSE, header={"alg": "EdDSA"}))
    with refused(Reason.ALGORITHM_MISMATCH):
        check(wit(WIMSE, header={"kid": "ed"}))
    with refused(Reason.ALGORITHM_MISMATCH):
        check(wit(SPIFFE, header={"kid": "ed"}))


@pytest.mark.parametrize("alg", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES384", "ES512"])
@BOTH
def test_a_permitted_alg_is_still_that_of_the_key(domain: TrustDomain, alg: str) -> None:
    """CR-22, CR-03, SV-03: what may be used is not what this key is for."""
    with refused(Reason.ALGORITHM_MISMATCH):
        check(wit(domain, header={"alg": alg}))
    issuer = PRIVATE[alg].with_kid("issuer")
    assert check(wit(domain, key=issuer), bundle(domain, issuer.public_key)).identity == workload(domain)
    with refused(Reason.TOKEN_SIGNATURE_INVALID):
        check(wit(domain, header={"alg": alg}), bundle(domain, issuer.public_key))


def test_a_kid_is_needed_for_spiffe_and_where_there_are_several_keys() -> None:
    """WT-22, WC-24, SV-01"""
    with refused(Reason.KEY_ID_MISSING):
        check(wit(SPIFFE, header={"kid": ABSENT}), bundle(SPIFFE))
    with refused(Reason.KEY_ID_MISSING):
        check(wit(WIMSE, header={"kid": ABSENT}))
    check(wit(WIMSE, header={"kid": ABSENT}), bundle(WIMSE))


@pytest.mark.parametrize("kid", ["", "Issuer", "unknown", "../issuer", "issuer\0", "a\r\nb"])
@BOTH
def test_an_unknown_kid_is_refused(domain: TrustDomain, kid: str) -> None:
    """WT-21, WT-23, WT-24, WT-26, SV-01: a look-up in one bundle, with no other effect."""
    anchors = bundle(domain)
    with refused(Reason.KEY_UNKNOWN):
        check(wit(domain, header={"kid": kid}), anchors)
    check(wit(domain), anchors)


@BOTH
def test_a_signature_of_another_key_under_the_same_kid_is_refused(domain: TrustDomain) -> None:
    with refused(Reason.TOKEN_SIGNATURE_INVALID):
        check(wit(domain, key=OTHER))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_every_character_of_a_wit_matters(part: int) -> None:
    text = wit()
    pieces = text.split(".")
    start = sum(len(piece) + 1 for piece in pieces[:part])
    allowed = {
        Reason.TOKEN_SIGNATURE_INVALID,
        Reason.TOKEN_SUBJECT,
        Reason.TOKEN_TYPE,
        Reason.TOKEN_ALGORITHM,
        Reason.TOKEN_MALFORMED,
        Reason.JSON_MALFORMED,
        Reason.BASE64_MALFORMED,
        Reason.KEY_UNKNOWN,
        Reason.KEY_ID_MISSING,
        Reason.TRUST_DOMAIN_UNKNOWN,
    }
    for position in range(start, start + len(pieces[part])):
        changed = text[:position] + ("A" if text[position] != "A" else "B") + text[position + 1 :]
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the reason is asserted below
            check(changed, bundle())
        assert getattr(caught.value, "reason", None) in allowed


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": OTHER.public_key.to_jwk()},
        {"jku": "https://attacker.example/jwks"},
        {"x5u": "https://attacker.example/x5c"},
        {"x5c": ["AAAA"]},
        {"jwk": OTHER.public_key.to_jwk(), "x5t": "AAAA"},
    ],
)
@BOTH
def test_a_key_that_the_token_names_is_never_looked_at(
    domain: TrustDomain, header: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """WT-17, WT-18, WC-01, WC-03, SV-04: CVE-2026-27962."""

    def forbidden(*_: object) -> NoReturn:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", forbidden)
    with refused(Reason.TOKEN_SIGNATURE_INVALID):
        check(wit(domain, key=OTHER, header=header))
    check(wit(domain, header=header))


@pytest.mark.parametrize("iss", ["https://attacker.example", "spiffe://other", ""])
def test_iss_selects_no_key(iss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """WT-19, WC-03"""

    def forbidden(*_: object) -> NoReturn:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", forbidden)
    assert check(wit(iss=iss)).issuer == iss
    with refused(Reason.TOKEN_SIGNATURE_INVALID):
        check(wit(iss=iss, key=OTHER))


def test_the_times_are_checked() -> None:
    """TM-07, TM-10, TM-11, TM-14, WC-09, WC-10, SV-08, SV-09, SV-10"""
    for exp in (ABSENT, None, "1", True, -1, 1.5, 10**18):
        with refused(Reason.TOKEN_CLAIM):
            check(wit(exp=exp))
    check(wit(), now=NOW + 629)
    with refused(Reason.TOKEN_EXPIRED):
        check(wit(), now=NOW + 630)
    with refused(Reason.TOKEN_NOT_YET_VALID):
        check(wit(nbf=NOW + 31))
    with refused(Reason.TOKEN_LIFETIME):
        check(wit(exp=NOW + 86_401))
    check(wit(iat=NOW + 500))


@pytest.mark.parametrize("name", ["iat", "nbf", "iss", "jti"])
def test_an_optional_claim_has_its_type(name: str) -> None:
    values: list[Any] = [True, [], {}, -1.5]
    for value in values:
        changed: dict[str, Any] = {name: value}
        with refused(Reason.TOKEN_CLAIM):
            check(wit(**changed))


@pytest.mark.parametrize("aud", ["a", ["a"], [], None])
def test_a_wit_svid_has_no_aud(aud: object) -> None:
    """WT-37, SV-12"""
    with refused(Reason.TOKEN_CLAIM):
        check(wit(SPIFFE, aud=aud))
    check(wit(WIMSE, aud=aud))


JWK = WORKLOAD.public_key.to_jwk()


@pytest.mark.parametrize(
    "cnf",
    [
        ABSENT,
        None,
        "a",
        [],
        1,
        {},
        {"jwk": None},
        {"jwk": []},
        {"jwk": "a"},
        {"kid": "a"},
        {"jku": "https://a"},
        {"jkt": "a"},
        {"jwe": "a"},
        {"x5t#S256": "a"},
    ],
)
@BOTH
def test_a_wit_has_a_cnf_with_a_jwk(domain: TrustDomain, cnf: object) -> None:
    """WT-32, WC-11, SV-06, SV-14"""
    with refused(Reason.TOKEN_CONFIRMATION):
        check(wit(domain, cnf=cnf))


@pytest.mark.parametrize("other", ["kid", "jku", "jwe", "jkt", "x5t#S256"])
def test_a_cnf_names_one_key(other: str) -> None:
    """WT-33"""
    with refused(Reason.TOKEN_CONFIRMATION):
        check(wit(cnf={"jwk": JWK, other: "a"}))
    check(wit(cnf={"jwk": JWK, "unknown": "a"}))


@pytest.mark.parametrize(
    "alg",
    [
        ABSENT,
        None,
        "",
        "none",
        "None",
        "HS256",
        "HS512",
        "RSA-OAEP",
        "ECDH-ES",
        "A128KW",
        "dir",
        "RS1",
        "ES256K",
        "HS384",
        1,
        True,
        [],
        {},
        ["ES256"],
    ],
)
@BOTH
def test_a_cnf_key_has_an_alg_for_signatures(domain: TrustDomain, alg: object) -> None:
    """CR-05, CR-06, CR-07, WC-14, WC-16, WC-17, WC-18, SV-06: also one that is no string at all."""
    with refused(Reason.TOKEN_CONFIRMATION):
        check(wit(domain, jwk={"alg": alg}))


@pytest.mark.parametrize("name", ["Ed25519", "Ed448"])
def test_a_cnf_key_of_eddsa_is_for_wimse_and_not_for_spiffe(name: str) -> None:
    """WC-15, SV-06"""
    key = PRIVATE[name].public_key
    for alg in ("EdDSA", name):
        jwk = {**key.to_jwk(), "alg": alg}
        assert check(wit(WIMSE, cnf={"jwk": jwk})).key.same_key(key)
        with refused(Reason.TOKEN_CONFIRMATION):
            check(wit(SPIFFE, cnf={"jwk": jwk}))


@BOTH
def test_a_cnf_alg_is_that_of_its_key(domain: TrustDomain) -> None:
    """CR-03, CR-15, WC-15"""
    for alg in ("ES384", "ES512", "RS256", "PS512", *(["EdDSA"] if domain is WIMSE else [])):
        with refused(Reason.ALGORITHM_MISMATCH):
            check(wit(domain, jwk={"alg": alg}))
    for name in ("RS256", "PS256"):
        key = PRIVATE[name].public_key
        assert check(wit(domain, cnf={"jwk": key.to_jwk()})).key.algorithm is key.algorithm
        with refused(Reason.ALGORITHM_MISMATCH):
            check(wit(domain, cnf={"jwk": {**key.to_jwk(), "alg": "ES256"}}))


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"kty": "oct", "k": "AA"}, Reason.KEY_PRIVATE),
        ({"kty": "oct"}, Reason.KEY_UNSUPPORTED),
        ({"d": "AAAA"}, Reason.KEY_PRIVATE),
        ({"crv": "P-384"}, Reason.ALGORITHM_MISMATCH),
        ({"crv": "P-384", "alg": "ES384"}, Reason.KEY_MALFORMED),
        ({"crv": "secp256k1"}, Reason.KEY_UNSUPPORTED),
        ({"kty": "OKP", "crv": "X25519"}, Reason.KEY_UNSUPPORTED),
        ({"kty": "AKP"}, Reason.KEY_UNSUPPORTED),
        ({"x": "AAAA"}, Reason.KEY_MALFORMED),
        ({"y": JWK["x"]}, Reason.KEY_MALFORMED),
    ],
)
def test_a_cnf_key_is_an_acceptable_public_key(members: dict[str, Any], reason: Reason) -> None:
    """CR-06, CR-16, CR-25"""
    with refused(reason):
        check(wit(jwk=members))


def test_a_weak_cnf_key_is_refused() -> None:
    """CR-17"""
    jwk = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
    with refused(Reason.KEY_WEAK):
        check(wit(WIMSE, cnf={"jwk": jwk}))


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"use": ""},
        {"use": None},
        {"use": ["sig"]},
        {"key_ops": []},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"key_ops": None},
        {"key_ops": {"verify": 1}},
    ],
)
def test_a_cnf_key_is_for_verifying(members: dict[str, Any]) -> None:
    """WT-34"""
    with refused(Reason.TOKEN_CONFIRMATION):
        check(wit(jwk=members))


def test_a_cnf_key_may_say_that_it_is_for_verifying() -> None:
    assert check(wit(jwk={"use": "sig", "key_ops": ["verify"], "kid": "k"})).key.kid == "k"


def test_the_signature_is_checked_before_times_and_key() -> None:
    """WC-49: in the draft's order, so that an unsigned claim decides nothing."""
    with refused(Reason.TOKEN_SIGNATURE_INVALID):
        check(wit(key=OTHER, exp=1, cnf=ABSENT))
    with refused(Reason.TOKEN_EXPIRED):
        check(wit(exp=1, cnf=ABSENT))
    with refused(Reason.TOKEN_TYPE):
        check(wit(key=OTHER, header={"typ": "JWT", "alg": "none"}))


def test_two_wits_with_one_jti_are_both_good() -> None:
    """SV-07: jti is not for replay."""
    text = wit(jti="1")
    assert check(text) == check(text)


def test_only_verification_makes_a_verified_wit() -> None:
    """SV-14"""
    with pytest.raises(TypeError, match="verify_wit"):
        VerifiedWIT(workload(), WORKLOAD.public_key, NOW, None, None, None, {}, "")


def test_neither_shows_the_token() -> None:
    """WC-13, WC-34: it does not get into a log by way of repr."""
    text = wit()
    for shown in (repr(UnverifiedWIT.parse(text)), repr(check(text))):
        assert text not in shown
        assert text.split(".")[1] not in shown
        assert "spiffe" in shown


def issue(**changes: Any) -> str:
    arguments: dict[str, Any] = {
        "subject": workload(),
        "workload_key": WORKLOAD.public_key,
        "signer": ISSUER,
        "issued_at": NOW,
        "expires_at": NOW + 60,
        "issuer": "https://issuer",
        "token_id": "1",
        **changes,
    }
    return issue_wit(**arguments)


def test_what_is_issued_verifies_and_has_what_a_wit_has() -> None:
    """SV-13, SV-01, WC-05, WC-07, WC-09, WC-14"""
    read = UnverifiedWIT.parse(issue(other_claims={"x": 1, "sub": "spiffe://example.org/evil", "exp": 9, "cnf": {}}))
    assert dict(read.jws.header) == {"alg": "ES256", "kid": "issuer", "typ": "wit+jwt"}
    assert dict(read.jws.claims) == {
        "sub": "spiffe://example.org/a",
        "iss": "https://issuer",
        "iat": NOW,
        "exp": NOW + 60,
        "jti": "1",
        "cnf": {"jwk": WORKLOAD.public_key.to_jwk()},
        "x": 1,
    }
    assert verify_wit(read, bundle(), now=NOW).identity == workload()


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_at": NOW},
        {"expires_at": NOW - 1},
        {"signer": PrivateKey.generate()},
        {"workload_key": ISSUER.public_key},
        {"workload_key": ISSUER.public_key.with_kid("other")},
    ],
)
def test_a_wit_that_nobody_should_trust_is_not_issued(changes: dict[str, Any]) -> None:
    """WC-46, SV-01, SV-13: an issuing key is no workload's."""
    with pytest.raises(ValueError, match=r"WIT|key"):
        issue(**changes)


def test_the_cnf_key_has_no_name_of_its_own() -> None:
    claims: Any = UnverifiedWIT.parse(issue(workload_key=WORKLOAD.public_key.with_kid("k"))).jws.claims
    assert claims["cnf"] == {"jwk": JWK}
    assert PublicKey.from_jwk(claims["cnf"]["jwk"]).same_key(WORKLOAD.public_key)


def test_a_wit_is_no_json_of_another_shape() -> None:
    with refused(Reason.JSON_MALFORMED):
        check(jws({"alg": "ES256", "typ": "wit+jwt", "kid": "issuer"}, ["sub"]))
