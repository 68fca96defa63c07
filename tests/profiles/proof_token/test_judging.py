"""Proofs without HTTP: tokens in, verified claims out, or the reason."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import pickle
from datetime import timedelta
from typing import Any

import pytest

from tests.profiles.proof_token.forge import (
    AUDIENCE,
    CALLER,
    DOMAIN,
    NOW,
    OTHER,
    TOKEN_ID,
    WIMSE,
    WIT,
    encode,
    forge_proof,
    judge,
    new_key,
    proof_claims,
    verified_wit,
)
from tests.profiles.proof_token.test_making import named
from tests.refusals import refused
from wimse.credentials import UnverifiedJWS, UnverifiedWIT, issue_jwt_svid, verify_wit
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.keys import HS256, SecretKey, b64url_encode
from wimse.profiles.proof_token import (
    REVISION_01,
    REVISION_02,
    ProofTokenSettings,
    TokenHashes,
    VerifiedProof,
    token_hash,
)
from wimse.profiles.proof_token.judging import begin_proof

A, B = token_hash("a"), token_hash("b")


def test_a_good_proof_says_whose_it_is() -> None:
    """WPTC-05, WPTC-15, WPTC-17, WPTC-21."""
    proof = judge(forge_proof())
    assert proof.identity == CALLER.identity
    assert proof.audience == AUDIENCE
    assert proof.token_id == TOKEN_ID
    assert proof.expires_at == NOW + 60
    assert dict(proof.claims) == proof_claims()
    assert judge(forge_proof().encode()) == proof  # bytes, from wherever


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        pytest.param("", Reason.TOKEN_MALFORMED, id="WP-01 empty"),
        pytest.param("a.b", Reason.TOKEN_MALFORMED, id="WP-01 two parts"),
        pytest.param(forge_proof() + ".x.y", Reason.TOKEN_MALFORMED, id="WP-01 five parts"),
        pytest.param(forge_proof() + "=", Reason.BASE64_MALFORMED, id="WP-14 padding"),
        pytest.param(forge_proof() + " ", Reason.BASE64_MALFORMED, id="WP-01 space"),
        pytest.param(f"{forge_proof()},{forge_proof()}", Reason.TOKEN_MALFORMED, id="WPTC-15 two tokens"),
        pytest.param("ü.a.b", Reason.BASE64_MALFORMED, id="WP-01 not ASCII"),
        pytest.param(forge_proof(b"\xff"), Reason.JSON_MALFORMED, id="WP-01 not UTF-8"),
        pytest.param(forge_proof("[]"), Reason.JSON_MALFORMED, id="WPTC-15 claims that are a list"),
        pytest.param(
            forge_proof('{"aud":"x","aud":"y"}'), Reason.JSON_DUPLICATE_MEMBER, id="WPTC-15 a claim that occurs twice"
        ),
        pytest.param("e30." * 2100 + "e30", Reason.TOKEN_TOO_LARGE, id="WP-01 long"),
    ],
)
def test_what_is_no_single_well_formed_jwt_is_refused(token: str, reason: Reason) -> None:
    with refused(reason):
        judge(token)
    with refused(reason):
        judge(token.encode("latin-1"))


def hs256_with_the_public_key() -> str:
    """The confusion of a public key with a secret."""
    secret = SecretKey(CALLER.key.public_key.to_pem(), algorithm=HS256)
    signing_input = f"{encode({'alg': 'HS256', 'typ': 'wpt+jwt'})}.{encode(proof_claims())}"
    return f"{signing_input}.{b64url_encode(secret.sign(signing_input.encode()))}"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(forge_proof(alg="none"), id="WP-03 none"),
        pytest.param(forge_proof(alg="HS256"), id="WP-03 HS256"),
        pytest.param(hs256_with_the_public_key(), id="WP-03 HS256 by the public key"),
        pytest.param(forge_proof(alg="ES384"), id="WP-03 another"),
        pytest.param(forge_proof(alg="es256"), id="WPTC-16 in lower case"),
        pytest.param(forge_proof(alg="ES256 "), id="WPTC-16 with a space"),
    ],
)
def test_alg_is_that_of_the_confirmed_key(token: str) -> None:
    with refused(Reason.ALGORITHM_MISMATCH):
        judge(token)


def test_alg_is_compared_as_a_string() -> None:
    """WP-03, WPTC-16: EdDSA and Ed25519 are one algorithm, and two strings."""
    credential, key = named("Ed25519")
    wit = verify_wit(UnverifiedWIT.parse(credential.wit), WIMSE.bundle, now=NOW)
    claims = proof_claims(wth=token_hash(credential.wit))
    judge(forge_proof(claims, key=key, alg="Ed25519"), wit=wit)
    with refused(Reason.ALGORITHM_MISMATCH):
        judge(forge_proof(claims, key=key, alg="EdDSA"), wit=wit)


def test_alg_is_needed() -> None:
    """WPTC-01."""
    with refused(Reason.ALGORITHM_MISSING):
        judge(forge_proof(header={"typ": "wpt+jwt"}))
    with refused(Reason.ALGORITHM_MISSING):
        judge(forge_proof(alg=1))


@pytest.mark.parametrize("extra", [{"crit": ["x"]}, {"crit": []}, {"b64": False}])
def test_what_is_critical_is_refused(extra: dict[str, Any]) -> None:
    with refused(Reason.PROOF_CRITICAL):
        judge(forge_proof(**extra))


@pytest.mark.parametrize("key", [new_key(), OTHER.key, DOMAIN.key], ids=["nobody's", "another's", "the issuer's"])
def test_the_signature_is_by_the_confirmed_key(key: Any) -> None:
    """WP-03, WPTC-17."""
    with refused(Reason.SIGNATURE_INVALID):
        judge(forge_proof(key=key))


def test_a_key_in_the_header_is_not_looked_at() -> None:
    """WP-03, WPTC-17."""
    key = new_key()
    with refused(Reason.SIGNATURE_INVALID):
        judge(forge_proof(key=key, jwk=key.public_key.to_jwk(), kid="caller"))


@pytest.mark.parametrize(
    "typ",
    [
        pytest.param(None, id="WP-04 missing"),
        pytest.param("wit+jwt", id="WP-04 wit+jwt"),
        pytest.param("JWT", id="WP-04 JWT"),
        pytest.param("application/wit+jwt", id="WP-04 application/wit+jwt"),
        pytest.param("text/wpt+jwt", id="WPTC-18 another type"),
        pytest.param("wpt+jwt ", id="WPTC-18 with a space"),
        pytest.param("wpt+jwt; a=b", id="WPTC-18 with a parameter"),
        pytest.param("application/application/wpt+jwt", id="WPTC-18 twice"),
    ],
)
def test_typ_is_that_of_a_proof(typ: str | None) -> None:
    with refused(Reason.PROOF_TYPE):
        judge(forge_proof(typ=typ))


@pytest.mark.parametrize("typ", ["wpt+jwt", "application/wpt+jwt", "WPT+JWT"])
def test_typ_is_a_media_type(typ: str) -> None:
    """WPTC-02, WPTC-18: RFC 7515 §4.1.9."""
    assert judge(forge_proof(typ=typ)).identity == CALLER.identity


def test_a_wit_and_a_jwt_svid_are_no_proofs() -> None:
    """WP-04: signed by the issuer, and even if signed by the workload."""
    svid = issue_jwt_svid(
        subject=CALLER.identity, audience=[AUDIENCE], signer=CALLER.key, issued_at=NOW, expires_at=NOW + 60
    )
    for token in (CALLER.wit, svid):
        with refused(Reason.PROOF_TYPE):
            judge(token)


@pytest.mark.parametrize(
    "wth",
    [
        pytest.param(token_hash(OTHER.wit), id="WP-02 of another WIT"),
        pytest.param(
            b64url_encode(hashlib.sha256(UnverifiedJWS.parse(CALLER.wit).signature).digest()),
            id="WP-02 of decoded parts",
        ),
        pytest.param(hashlib.sha256(CALLER.wit.encode()).hexdigest(), id="WP-02 in hex"),
        pytest.param(token_hash(CALLER.wit) + "=", id="WP-02 with padding"),
        pytest.param(token_hash(CALLER.wit).swapcase(), id="WP-02 in another case"),
        pytest.param(b64url_encode(hashlib.sha512(CALLER.wit.encode()).digest()), id="WP-02 by another hash"),
        pytest.param("", id="WP-02 empty"),
        pytest.param([token_hash(CALLER.wit)], id="WP-02 in a list"),
        pytest.param(True, id="WP-02 true"),
    ],
)
def test_wth_is_the_hash_of_the_wit(wth: object) -> None:
    with refused(Reason.TOKEN_HASH_MISMATCH):
        judge(forge_proof(proof_claims(wth=wth)))


def test_wth_is_needed() -> None:
    """WP-02, WPTC-08, WPTC-21."""
    with refused(Reason.TOKEN_HASH_MISSING):
        judge(forge_proof(proof_claims(wth=None)))
    assert Reason.TOKEN_HASH_MISSING.reason_class == "binding"


def test_another_wit_of_the_same_key_needs_another_proof() -> None:
    """WP-02: the key alone is not what is proved."""
    again = DOMAIN.credential("/caller", now=NOW, key=CALLER.key)  # type: ignore[arg-type]
    with refused(Reason.TOKEN_HASH_MISMATCH):
        judge(forge_proof(), wit=verified_wit(again))


@pytest.mark.parametrize("aud", [None, "", 1, True, {}, [], [""], [1], "?x", "#x"])
def test_aud_is_needed(aud: object) -> None:
    """WPTC-04."""
    with refused(Reason.AUDIENCE_MISSING):
        judge(forge_proof(proof_claims(aud=aud)))


def test_aud_is_for_one() -> None:
    """WPTC-28: whoever else a proof is for could present it to us."""
    with refused(Reason.PROOF_CLAIM):
        judge(forge_proof(proof_claims(aud=[AUDIENCE, "https://other.example/"])))
    with refused(Reason.PROOF_CLAIM):
        judge(forge_proof(proof_claims(aud=[AUDIENCE, AUDIENCE])))
    assert judge(forge_proof(proof_claims(aud=[AUDIENCE]))).audience == AUDIENCE


@pytest.mark.parametrize("more", ["?a=1", "#a", "?", "#", "?a#b", "#a?b"])
def test_query_and_fragment_of_aud_are_ignored(more: str) -> None:
    """WPTC-19."""
    assert judge(forge_proof(proof_claims(aud=AUDIENCE + more))).audience == AUDIENCE


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        pytest.param({"exp": None}, Reason.PROOF_TIME, id="WP-06 missing"),
        pytest.param({"exp": "1800000060"}, Reason.PROOF_TIME, id="WP-06 text"),
        pytest.param({"exp": True}, Reason.PROOF_TIME, id="WP-06 true"),
        pytest.param({"exp": NOW + 60.0}, Reason.PROOF_TIME, id="WP-06 a fraction"),
        pytest.param({"exp": -1}, Reason.PROOF_TIME, id="WP-06 negative"),
        pytest.param({"exp": 10**15}, Reason.PROOF_TIME, id="WP-06 after 9999"),
        pytest.param({"exp": 0}, Reason.PROOF_EXPIRED, id="WP-06 1970"),
        pytest.param({"exp": NOW - 30}, Reason.PROOF_EXPIRED, id="WP-06 past by the leeway"),
        pytest.param({"exp": NOW + 331}, Reason.PROOF_LIFETIME, id="WP-06 too far"),
        pytest.param({"exp": NOW + 10**8}, Reason.PROOF_LIFETIME, id="WPTC-20 years"),
        pytest.param({"nbf": NOW + 31}, Reason.PROOF_NOT_YET_VALID, id="WPTC-33 not yet"),
        pytest.param({"nbf": "now"}, Reason.PROOF_TIME, id="WPTC-33 nbf that is no time"),
    ],
)
def test_a_proof_is_good_for_a_short_time(claims: dict[str, object], reason: Reason) -> None:
    with refused(reason):
        judge(forge_proof(proof_claims(**claims)))
    assert reason.reason_class == "time"


def test_the_boundaries_of_time() -> None:
    """WP-06, WPTC-06, WPTC-20, WPTC-33."""
    judge(forge_proof(), now=NOW + 89)
    with refused(Reason.PROOF_EXPIRED):
        judge(forge_proof(), now=NOW + 90)
    strict = ProofTokenSettings(leeway=timedelta(0))
    judge(forge_proof(), now=NOW + 59, settings=strict)
    with refused(Reason.PROOF_EXPIRED):
        judge(forge_proof(), now=NOW + 60, settings=strict)
    judge(forge_proof(proof_claims(exp=NOW + 330, nbf=NOW + 30)))
    short = ProofTokenSettings(leeway=timedelta(0), max_lifetime=timedelta(seconds=10))
    judge(forge_proof(proof_claims(exp=NOW + 10)), settings=short)
    with refused(Reason.PROOF_LIFETIME):
        judge(forge_proof(proof_claims(exp=NOW + 11)), settings=short)


def test_a_wit_that_was_kept_too_long_proves_nothing() -> None:
    """WPTC-33, WPTC-34."""
    late = NOW + 300 + 120
    with refused(Reason.TOKEN_EXPIRED):
        judge(forge_proof(proof_claims(exp=late + 60)), now=late)
    judge(forge_proof(proof_claims(exp=late + 60)), now=late - 1)


@pytest.mark.parametrize("jti", [None, "", "i" * 15, "i" * 257, 1, ["i" * 22], True])
def test_jti_is_needed(jti: object) -> None:
    """WP-07, WPTC-07."""
    with refused(Reason.PROOF_CLAIM):
        judge(forge_proof(proof_claims(jti=jti)))
    assert Reason.PROOF_CLAIM.reason_class == "wpt"


def test_what_is_claimed_is_the_jti_of_its_sender() -> None:
    """WP-07, WPTC-22, WPTC-27: within the scope of a sender, so that nobody spends another's."""
    first = judge(forge_proof())
    assert first.replay_key == judge(forge_proof(proof_claims(exp=NOW + 50))).replay_key
    assert first.replay_key != judge(forge_proof(proof_claims(jti="j" * 22))).replay_key
    others = judge(forge_proof(proof_claims(wth=token_hash(OTHER.wit)), key=OTHER.key), wit=verified_wit(OTHER))
    assert first.replay_key != others.replay_key
    assert len(first.replay_key) == 32
    assert judge(forge_proof(proof_claims(jti="ü" * 20))).replay_key


@pytest.mark.parametrize(
    ("claims", "tokens", "reason"),
    [
        pytest.param({}, TokenHashes(txn_token=A), Reason.TOKEN_HASH_MISSING, id="WP-08 without tth"),
        pytest.param({"tth": B}, TokenHashes(txn_token=A), Reason.TOKEN_HASH_MISMATCH, id="WP-08 a wrong tth"),
        pytest.param({"tth": 1}, TokenHashes(txn_token=A), Reason.TOKEN_HASH_MISMATCH, id="WPTC-24 a number"),
        pytest.param({"tth": A}, TokenHashes(), Reason.TOKEN_HASH_MISMATCH, id="WPTC-24 for a token that is not there"),
        pytest.param({}, TokenHashes(access_token=A), Reason.TOKEN_HASH_MISSING, id="WP-09 without ath"),
        pytest.param({"ath": B}, TokenHashes(access_token=A), Reason.TOKEN_HASH_MISMATCH, id="WPTC-23 a wrong ath"),
        pytest.param({"ath": A}, TokenHashes(), Reason.TOKEN_HASH_MISMATCH, id="WPTC-23 for a token that is not there"),
        pytest.param({"oth": {"x": A}}, TokenHashes(), Reason.TOKEN_HASH_UNKNOWN, id="WP-10 unknown"),
        pytest.param(
            {"oth": {"x": A, "y": B}}, TokenHashes(others={"x": A}), Reason.TOKEN_HASH_UNKNOWN, id="WP-10 one unknown"
        ),
        pytest.param(
            {"oth": {"X": A}}, TokenHashes(others={"x": A}), Reason.TOKEN_HASH_UNKNOWN, id="WPTC-12 not in lower case"
        ),
        pytest.param(
            {"oth": {"x": B}}, TokenHashes(others={"x": A}), Reason.TOKEN_HASH_MISMATCH, id="WPTC-25 a wrong hash"
        ),
        pytest.param(
            {"oth": {"x": {}}}, TokenHashes(others={"x": A}), Reason.TOKEN_HASH_MISMATCH, id="WPTC-25 an object"
        ),
        pytest.param({}, TokenHashes(others={"x": A}), Reason.TOKEN_HASH_MISSING, id="WPTC-11 without oth"),
        pytest.param(
            {"oth": {"x": A}},
            TokenHashes(others={"x": A, "y": B}),
            Reason.TOKEN_HASH_MISSING,
            id="WP-11 a token outside oth",
        ),
        pytest.param({"oth": [A]}, TokenHashes(others={"x": A}), Reason.PROOF_CLAIM, id="WPTC-25 a list"),
        pytest.param({"oth": "x"}, TokenHashes(), Reason.PROOF_CLAIM, id="WPTC-25 text"),
    ],
)
def test_every_token_beside_it_is_bound_and_no_other(
    claims: dict[str, object], tokens: TokenHashes, reason: Reason
) -> None:
    with refused(reason):
        judge(forge_proof(proof_claims(**claims)), tokens=tokens, revision=REVISION_01)


def test_all_tokens_bound() -> None:
    """WPTC-09, WPTC-10, WPTC-11, WPTC-23, WPTC-24, WPTC-25."""
    tokens = TokenHashes(access_token=A, txn_token=B, others={"x": A})
    claims = proof_claims(ath=A, tth=B, oth={"x": A})
    assert judge(forge_proof(claims), tokens=tokens, revision=REVISION_01).claims["oth"] == {"x": A}
    judge(forge_proof(proof_claims(oth={})))


def test_revision_02_knows_no_ath() -> None:
    """WPTC-40: there it is a claim like any that is not known. An access token to bind is the caller's mistake."""
    judge(forge_proof(proof_claims(ath=A)), revision=REVISION_02)
    with pytest.raises(ConfigurationError):
        judge(forge_proof(proof_claims(ath=A)), revision=REVISION_02, tokens=TokenHashes(access_token=A))


def test_unknown_claims_and_header_parameters_are_ignored() -> None:
    """WPTC-40."""
    claims = proof_claims(iss=1, sub=["x"], iat="never", cnf={}, **{"example.com/x": {"deep": [1]}})
    assert judge(forge_proof(claims, kid="x", jku="https://evil.example", x5u=1)).claims["iss"] == 1


PROOF = judge(forge_proof())


def test_nobody_else_makes_one() -> None:
    values = {each.name: getattr(PROOF, each.name) for each in dataclasses.fields(PROOF)}
    for marker in (None, object(), True):
        with pytest.raises(TypeError, match="is made by"):
            VerifiedProof(**values, _made_by=marker)
    for name, value in values.items():
        with pytest.raises(TypeError, match="is made by"):
            dataclasses.replace(PROOF, **{name: value})
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(PROOF, name, value)
    with pytest.raises(TypeError):
        pickle.dumps(PROOF)
    with pytest.raises(TypeError):
        copy.deepcopy(PROOF)
    with pytest.raises(TypeError):
        PROOF.claims["aud"] = "x"  # type: ignore[index]


def test_nothing_of_the_token_is_shown_or_kept() -> None:
    """WP-13, WPTC-39: neither the proof nor the WIT, in whatever form they are printed."""
    token = forge_proof()
    begun = begin_proof(token, WIT, revision=REVISION_02, settings=ProofTokenSettings(), now=NOW)
    shown = f"{judge(token)!r}{begun!r}"
    kept = [getattr(PROOF, each.name) for each in dataclasses.fields(PROOF)]
    for part in (*token.split("."), *CALLER.wit.split(".")[1:]):
        assert part not in shown
        assert all(part not in str(value) for value in kept)
    for broken in (token[:-2], token + "=", forge_proof(key=new_key()), forge_proof(proof_claims(jti="short"))):
        with pytest.raises(Refused) as caught:
            judge(broken)
        assert not any(part in f"{caught.value!r}{caught.value}" for part in broken.split("."))


def test_the_wit_of_these_tests_is_the_callers() -> None:
    assert WIT.identity == CALLER.identity
