"""The WIT of a request: its form, its subject, its anchors, its signature, its life and its key.

Every token here is signed by the issuer unless the test says otherwise, and every request by the workload, so that
nothing but the one fault can refuse it.
"""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.authentication.forge import (
    AUDIENCE,
    CALLER,
    CONTENT,
    DOMAIN,
    FOREIGN,
    HEAD,
    LEEWAY,
    NOW,
    WIMSE,
    Authenticate,
    adding,
    encode,
    entrance,
    forge_request,
    forge_wit,
    new_key,
    reason_of,
    replacing,
    request_parameters,
    wit_claims,
)
from wimse.authentication import Authenticator
from wimse.credentials import TokenSettings, TrustBundle, TrustBundles, TrustDomain, UnverifiedWIT, sign_compact
from wimse.errors import Reason, Refused
from wimse.keys import EDDSA, PrivateKey, Signer, b64url_encode
from wimse.testing import InMemoryTrustDomain

KEY = CALLER.key
JWK = CALLER.key.public_key.to_jwk()


def refusal(authenticate: Authenticate, wit: str, *, to: Authenticator | None = None, now: int = NOW) -> Reason:
    request = forge_request(wit=wit)
    return reason_of(authenticate, to or entrance(), request, CONTENT, now)


def test_a_forged_wit_without_a_fault_is_accepted(authenticate: Authenticate) -> None:
    """WC-28, WT-38: and unknown claims and header parameters are ignored."""
    assert authenticate(entrance(), forge_request(wit=forge_wit()), CONTENT, NOW).identity == CALLER.identity
    wit = forge_wit(wit_claims(scope="all", nested={"a": [1]}), x="y")
    assert authenticate(entrance(), forge_request(wit=wit), CONTENT, NOW).wit.claims["scope"] == "all"


# ------------------------------------------------------------------------------------------------- the field


def test_a_request_without_a_wit_is_refused(authenticate: Authenticate) -> None:
    """WT-01, WC-12: its signature is good, and nobody's."""
    request = replacing(forge_request(omit=["workload-identity-token"]), "Workload-Identity-Token")
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.WIT_MISSING


def test_a_wit_elsewhere_is_not_looked_at(authenticate: Authenticate) -> None:
    """WT-07, WC-13: not in Authorization, a cookie or another field."""
    head = replacing(HEAD, "Authorization", f"Bearer {CALLER.wit}")
    head = adding(head, ("Cookie", f"Workload-Identity-Token={CALLER.wit}"), ("WIT", CALLER.wit))
    head = adding(head, ("Workload_Identity_Token", CALLER.wit))
    request = replacing(forge_request(head=head, omit=["workload-identity-token"]), "Workload-Identity-Token")
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.WIT_MISSING


def test_two_wits_are_refused(authenticate: Authenticate) -> None:
    """WT-03, SB-20, WC-25, WC-49: in two lines, or in one joined by a comma."""
    request = adding(forge_request(), ("Workload-Identity-Token", CALLER.wit))
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.WIT_DUPLICATED
    assert refusal(authenticate, f"{CALLER.wit}, {CALLER.wit}") is Reason.TOKEN_MALFORMED


HEADER, PAYLOAD, SIGNATURE = CALLER.wit.split(".")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"Bearer {CALLER.wit}", Reason.BASE64_MALFORMED),
        (f'"{CALLER.wit}"', Reason.BASE64_MALFORMED),
        (f"{CALLER.wit}==", Reason.BASE64_MALFORMED),
        (f"{HEADER}=.{PAYLOAD}.{SIGNATURE}", Reason.BASE64_MALFORMED),
        (f"{HEADER} .{PAYLOAD}.{SIGNATURE}", Reason.BASE64_MALFORMED),
        (f"{HEADER}.{PAYLOAD[:9]} {PAYLOAD[9:]}.{SIGNATURE}", Reason.BASE64_MALFORMED),
        (f"{HEADER}.{PAYLOAD[:9]}!{PAYLOAD[9:]}.{SIGNATURE}", Reason.BASE64_MALFORMED),
        (f"{HEADER}.{PAYLOAD}.{SIGNATURE[:-1]}+", Reason.BASE64_MALFORMED),
        (f"{HEADER}.{PAYLOAD}.{SIGNATURE[:-1]}/", Reason.BASE64_MALFORMED),
        (f"{HEADER}.{PAYLOAD}.{SIGNATURE}AAA", Reason.BASE64_MALFORMED),
        (f"{HEADER}.{PAYLOAD}", Reason.TOKEN_MALFORMED),
        (f"{HEADER}.{PAYLOAD}.", Reason.TOKEN_MALFORMED),
        (f".{PAYLOAD}.{SIGNATURE}", Reason.TOKEN_MALFORMED),
        (f"{HEADER}..{SIGNATURE}", Reason.TOKEN_MALFORMED),
        (f"{CALLER.wit}.{SIGNATURE}", Reason.TOKEN_MALFORMED),
        (f"{CALLER.wit}.{SIGNATURE}.{SIGNATURE}", Reason.TOKEN_MALFORMED),
        (json.dumps({"payload": PAYLOAD, "protected": HEADER, "signature": SIGNATURE}), Reason.TOKEN_MALFORMED),
        ("A" * 8_193, Reason.TOKEN_TOO_LARGE),
        ("A" * 1_000_000, Reason.TOKEN_TOO_LARGE),
    ],
)
def test_a_wit_that_is_no_compact_jws_is_refused(authenticate: Authenticate, text: str, reason: Reason) -> None:
    """WT-04, WT-05, WT-06, WT-41, WC-25, WC-49: one spelling, three parts, 8 KiB."""
    assert refusal(authenticate, text) is reason


def test_the_twins_of_a_wit_with_other_trailing_bits_are_refused(authenticate: Authenticate) -> None:
    """WT-05: the last character of 64 bytes carries four bits that mean nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    position = alphabet.index(SIGNATURE[-1])
    for twin in range(position + 1, position + 4):
        assert refusal(authenticate, CALLER.wit[:-1] + alphabet[twin]) is Reason.BASE64_MALFORMED


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ('{"sub":"spiffe://example.org/a","sub":"spiffe://example.org/b"}', Reason.JSON_DUPLICATE_MEMBER),
        ('{"cnf":{"jwk":{},"jwk":{}}}', Reason.JSON_DUPLICATE_MEMBER),
        ("[" * 100 + "]" * 100, Reason.JSON_TOO_DEEP),
        ('{"exp":NaN}', Reason.JSON_MALFORMED),
        ('{"exp":Infinity}', Reason.JSON_MALFORMED),
        ('{"exp":1e999}', Reason.JSON_MALFORMED),
        ('{"exp":' + "9" * 5_000 + "}", Reason.JSON_MALFORMED),
        ('{"sub":"\\ud800"}', Reason.JSON_MALFORMED),
        ("\ufeff{}", Reason.JSON_MALFORMED),
        (b"\xff\xfe", Reason.JSON_MALFORMED),
        ("[]", Reason.JSON_MALFORMED),
        ('"text"', Reason.JSON_MALFORMED),
        ("", Reason.TOKEN_MALFORMED),
    ],
)
def test_a_payload_that_readers_may_take_otherwise_is_refused(
    authenticate: Authenticate, claims: str | bytes, reason: Reason
) -> None:
    """WT-30, WT-31."""
    assert refusal(authenticate, forge_wit(claims)) is reason


def test_a_header_with_a_member_twice_is_refused(authenticate: Authenticate) -> None:
    """WT-30."""
    wit = forge_wit(header='{"alg":"none","alg":"ES256","kid":"issuer","typ":"wit+jwt"}')
    assert refusal(authenticate, wit) is Reason.JSON_DUPLICATE_MEMBER


# ------------------------------------------------------------------------------------------------ the header


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "", "HS256", "RS1", "ES256K", "EdDSA", "Ed25519", "dir"])
def test_an_alg_that_is_not_permitted_is_refused(authenticate: Authenticate, alg: str) -> None:
    """WT-09, WT-10, WC-05, WC-06: the signature under it is the issuer's own, and good."""
    assert refusal(authenticate, forge_wit(alg=alg)) is Reason.TOKEN_ALGORITHM


@pytest.mark.parametrize("alg", ["null", "[]", "7", '["ES256"]'])
def test_an_alg_that_is_no_string_is_refused(authenticate: Authenticate, alg: str) -> None:
    """WT-09."""
    wit = forge_wit(header=f'{{"alg":{alg},"kid":"issuer","typ":"wit+jwt"}}')
    assert refusal(authenticate, wit) is Reason.TOKEN_ALGORITHM
    assert refusal(authenticate, forge_wit(alg=None)) is Reason.TOKEN_ALGORITHM


class Symmetric:
    """HMAC with the issuer's public key as the secret."""

    public_key = DOMAIN.key.public_key

    def sign(self, data: bytes) -> bytes:
        import hmac

        return hmac.digest(DOMAIN.key.public_key.to_pem(), data, "sha256")


def test_hmac_with_the_public_key_is_refused(authenticate: Authenticate) -> None:
    """WT-10, CR-04: both when it says so and when it does not."""
    signer: Signer = Symmetric()
    assert refusal(authenticate, forge_wit(signer=signer, alg="HS256")) is Reason.TOKEN_ALGORITHM
    assert refusal(authenticate, forge_wit(signer=signer)) is Reason.TOKEN_SIGNATURE_INVALID


@pytest.mark.parametrize(
    ("typ", "reason"),
    [
        (None, Reason.TOKEN_TYPE),
        ("JWT", Reason.TOKEN_TYPE),
        ("wpt+jwt", Reason.TOKEN_TYPE),
        ("at+jwt", Reason.TOKEN_TYPE),
        ("WIT+JWT", Reason.TOKEN_TYPE),
        ("application/wit+jwt", Reason.TOKEN_TYPE),
        ("wimse-id+jwt", Reason.TOKEN_TYPE),
        (7, Reason.TOKEN_MALFORMED),
    ],
)
def test_another_type_of_token_is_refused(authenticate: Authenticate, typ: object, reason: Reason) -> None:
    """WT-12, WT-13, WC-07, WC-49."""
    assert refusal(authenticate, forge_wit(typ=typ)) is reason


@pytest.mark.parametrize("typ", ["wit+jwt", "WIT+JWT", "application/wit+jwt", "Application/WIT+jwt"])
def test_the_type_is_a_media_type_for_other_schemes(authenticate: Authenticate, typ: str) -> None:
    """WT-12."""
    wit = forge_wit(wit_claims(sub="wimse://example.org/caller"), signer=WIMSE.key, typ=typ)
    identity = authenticate(entrance(bundles=WIMSE.bundles), forge_request(wit=wit), CONTENT, NOW).identity
    assert str(identity) == "wimse://example.org/caller"


@pytest.mark.parametrize("typ", [None, "jwt", "x/wit+jwt", "application/application/wit+jwt"])
def test_other_types_are_refused_for_other_schemes_too(authenticate: Authenticate, typ: str | None) -> None:
    """WT-12."""
    wit = forge_wit(wit_claims(sub="wimse://example.org/caller"), signer=WIMSE.key, typ=typ)
    assert refusal(authenticate, wit, to=entrance(bundles=WIMSE.bundles)) is Reason.TOKEN_TYPE


@pytest.mark.parametrize("crit", [["exp"], ["cnf"], ["x"], [], "x", True])
def test_critical_header_parameters_are_refused(authenticate: Authenticate, crit: object) -> None:
    """WT-15."""
    assert refusal(authenticate, forge_wit(crit=crit)) is Reason.TOKEN_CRITICAL


@pytest.mark.parametrize("more", [{"b64": False, "crit": ["b64"]}, {"b64": False}, {"b64": True}])
def test_an_unencoded_payload_is_refused(authenticate: Authenticate, more: dict[str, object]) -> None:
    """WT-16."""
    assert refusal(authenticate, forge_wit(**more)) is Reason.TOKEN_CRITICAL  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_a_key_that_the_token_brings_is_not_used(authenticate: Authenticate, name: str) -> None:
    """WT-17, WT-18: neither to accept a stranger's signature nor to refuse the issuer's."""
    stranger = new_key()
    brought: dict[str, object] = {
        "jwk": stranger.public_key.to_jwk(),
        "jku": "https://evil.example/jwks",
        "x5u": "https://evil.example/chain",
        "x5c": ["AAAA"],
    }
    bad = forge_wit(signer=stranger, header=None, **{name: brought[name]})
    assert refusal(authenticate, bad) is Reason.TOKEN_SIGNATURE_INVALID
    good = forge_wit(header=None, **{name: brought[name]})  # type: ignore[arg-type]
    assert authenticate(entrance(), forge_request(wit=good), CONTENT, NOW).identity == CALLER.identity


def test_the_issuer_claim_selects_no_anchor(authenticate: Authenticate) -> None:
    """WT-19, WC-03: a stranger that calls itself our issuer, and our issuer under another name."""
    bad = forge_wit(wit_claims(iss="spiffe://example.org"), signer=FOREIGN.key)
    assert refusal(authenticate, bad) is Reason.TOKEN_SIGNATURE_INVALID
    good = forge_wit(wit_claims(iss="https://evil.example"))
    assert authenticate(entrance(), forge_request(wit=good), CONTENT, NOW).wit.issuer == "https://evil.example"


@pytest.mark.parametrize(
    ("kid", "reason"),
    [
        (None, Reason.KEY_ID_MISSING),
        ("", Reason.KEY_UNKNOWN),
        ("Issuer", Reason.KEY_UNKNOWN),
        ("issuer ", Reason.KEY_UNKNOWN),
        ("../../etc/passwd", Reason.KEY_UNKNOWN),
        ("' OR 1=1 --", Reason.KEY_UNKNOWN),
        ("issuer\0", Reason.KEY_UNKNOWN),
        ("a\r\nb", Reason.KEY_UNKNOWN),
        ("k" * 256, Reason.KEY_UNKNOWN),
        ("k" * 257, Reason.TOKEN_TOO_LARGE),
        (7, Reason.TOKEN_MALFORMED),
        (["issuer"], Reason.TOKEN_MALFORMED),
    ],
)
def test_a_kid_that_names_no_key_is_refused(authenticate: Authenticate, kid: object, reason: Reason) -> None:
    """WT-21, WT-22: though the signature is the issuer's; no key is tried without its name."""
    assert refusal(authenticate, forge_wit(kid=kid)) is reason


def test_without_a_kid_there_must_be_one_key(authenticate: Authenticate) -> None:
    """WT-22, WC-24: for schemes that let it be left out."""
    claims = wit_claims(sub="wimse://example.org/caller")
    wit = forge_wit(claims, signer=WIMSE.key, kid=None)
    one = entrance(bundles=WIMSE.bundles)
    assert authenticate(one, forge_request(wit=wit), CONTENT, NOW).identity.path == "/caller"
    keys = (WIMSE.key.public_key, new_key().public_key.with_kid("second"))
    two = TrustBundles(TrustBundle(trust_domain=WIMSE.trust_domain, wit_keys=keys))
    assert refusal(authenticate, wit, to=entrance(bundles=two)) is Reason.KEY_ID_MISSING


def test_a_header_that_names_another_algorithm_than_the_keys_is_refused(authenticate: Authenticate) -> None:
    """CR-22: both are allowed for this scheme; the key decides."""
    wit = forge_wit(wit_claims(sub="wimse://example.org/caller"), signer=WIMSE.key, alg="EdDSA")
    assert refusal(authenticate, wit, to=entrance(bundles=WIMSE.bundles)) is Reason.ALGORITHM_MISMATCH


# ----------------------------------------------------------------------------------------------- trust anchors


def test_a_strangers_wit_is_refused(authenticate: Authenticate) -> None:
    """WC-01, HS-36: a trust domain without a bundle."""
    credential = FOREIGN.credential("/caller", now=NOW)
    request = forge_request(credential)
    assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.TRUST_DOMAIN_UNKNOWN


def test_a_subject_signed_by_another_domains_key_is_refused(authenticate: Authenticate) -> None:
    """WT-27, WT-23, WC-01, WC-31, WC-33: under the same kid and under its own, trusted for its own domain or not."""
    both = TrustBundles(DOMAIN.bundle, FOREIGN.bundle)
    wit = forge_wit(signer=FOREIGN.key)
    assert refusal(authenticate, wit) is Reason.TOKEN_SIGNATURE_INVALID
    assert refusal(authenticate, wit, to=entrance(bundles=both)) is Reason.TOKEN_SIGNATURE_INVALID
    named = FOREIGN.key.with_kid("foreign")
    bundle = TrustBundle(trust_domain=FOREIGN.trust_domain, wit_keys=(named.public_key,))
    both = TrustBundles(DOMAIN.bundle, bundle)
    wit = forge_wit(signer=named, kid="foreign")
    assert refusal(authenticate, wit, to=entrance(bundles=both)) is Reason.KEY_UNKNOWN


def test_the_same_name_under_another_scheme_is_another_domain(authenticate: Authenticate) -> None:
    """WT-28, WT-29: neither vouches for the other."""
    both = entrance(bundles=TrustBundles(DOMAIN.bundle, WIMSE.bundle))
    assert refusal(authenticate, forge_wit(signer=WIMSE.key), to=both) is Reason.TOKEN_SIGNATURE_INVALID
    other = forge_wit(wit_claims(sub="wimse://example.org/caller"))
    assert refusal(authenticate, other, to=both) is Reason.TOKEN_SIGNATURE_INVALID
    assert refusal(authenticate, other) is Reason.TRUST_DOMAIN_UNKNOWN


def test_a_lookup_that_answers_with_another_domains_bundle_is_not_believed(authenticate: Authenticate) -> None:
    """WC-33, WC-01: the bundle says whose it is."""
    wrong = entrance(bundles=lambda _: DOMAIN.bundle)
    wit = forge_wit(wit_claims(sub="spiffe://elsewhere.example/caller"))
    assert refusal(authenticate, wit, to=wrong) is Reason.TRUST_DOMAIN_UNKNOWN


def test_two_bundles_for_one_domain_are_refused() -> None:
    """WT-29: they are never merged."""
    again = InMemoryTrustDomain()
    assert reason_of(TrustBundles, DOMAIN.bundle, again.bundle) is Reason.BUNDLE_MALFORMED


def test_a_bundle_with_one_kid_for_two_keys_is_refused() -> None:
    """WT-25."""
    keys = (DOMAIN.key.public_key, new_key().public_key.with_kid("issuer"))
    assert reason_of(TrustBundle, trust_domain=DOMAIN.trust_domain, wit_keys=keys) is Reason.BUNDLE_MALFORMED


@pytest.mark.parametrize("use", ["jwt-svid", "x509-svid", "sig", "other", None])
def test_a_key_for_something_else_verifies_no_wit(authenticate: Authenticate, use: str | None) -> None:
    """WT-24."""
    jwk: dict[str, object] = {**DOMAIN.key.public_key.to_jwk()}
    if use is not None:
        jwk["use"] = use
    bundle = TrustBundle.from_jwks(DOMAIN.trust_domain, {"keys": [jwk]})
    assert refusal(authenticate, forge_wit(), to=entrance(bundles=TrustBundles(bundle))) is Reason.KEY_UNKNOWN


def test_a_bundle_that_publishes_a_private_key_is_refused() -> None:
    """CR-25."""
    with pytest.raises(Refused) as caught:
        TrustBundle.from_jwks(DOMAIN.trust_domain, {"keys": [{**DOMAIN.key.to_jwk(), "use": "wit-svid"}]})
    assert caught.value.reason is Reason.KEY_PRIVATE


def test_several_keys_verify_during_a_rotation(authenticate: Authenticate) -> None:
    """WC-23, WC-24: each the tokens that name it; a random kid changes nothing (WT-26)."""
    second = new_key().with_kid("second")
    keys = (DOMAIN.key.public_key, second.public_key)
    bundles = TrustBundles(TrustBundle(trust_domain=DOMAIN.trust_domain, wit_keys=keys))
    server = entrance(bundles=bundles)
    for wrong in (forge_wit(signer=second), forge_wit(kid="second")):
        assert refusal(authenticate, wrong, to=server) is Reason.TOKEN_SIGNATURE_INVALID
    for number in range(20):
        assert refusal(authenticate, forge_wit(kid=f"random-{number}"), to=server) is Reason.KEY_UNKNOWN
    for number, good in enumerate((forge_wit(), forge_wit(signer=second, kid="second"))):
        request = forge_request(wit=good, parameters=request_parameters(nonce=f"rotation-{number}"))
        assert authenticate(server, request, CONTENT, NOW).identity == CALLER.identity


# --------------------------------------------------------------------------------------------------- the claims


@pytest.mark.parametrize(
    "sub",
    [
        None,
        7,
        ["spiffe://example.org/caller"],
        "",
        "caller",
        "wimse:foo",
        "http://example.org/caller",
        "https://example.org/caller",
        "spiffe://example.org",
        "spiffe://example.org/",
        "spiffe:///caller",
        "spiffe://example.org/%63aller",
        "spiffe://example.org/%70ayment",
        "spiffe://example.org/./caller",
        "spiffe://example.org/a/../caller",
        "spiffe://example.org//caller",
        "spiffe://example.org/caller/",
        "spiffe://EXAMPLE.org/caller",
        "SPIFFE://example.org/caller",
        "spiffe://user@example.org/caller",
        "spiffe://example.org:443/caller",
        "spiffe://example.org/caller?",
        "spiffe://example.org/caller?x=1",
        "spiffe://example.org/caller#",
        "spiffe://example.org/caller#x",
        "spiffe://example.org/cal\tler",
        "spiffe://example.org/caller\n",
        "spiffe://example.org\r/caller",
        "spiffe://ex\u0430mple.org/caller",
        "spiffe://[::1]/caller",
        "spiffe://example.org\\caller",
        "spiffe://example.org/\u00e4",
        "spiffe://example.org/caller spiffe://example.org/other",
        "spiffe://" + "a" * 256 + "/caller",
        "spiffe://example.org/" + "a" * 2028,
    ],
)
def test_a_subject_that_is_not_one_workload_identifier_is_refused(authenticate: Authenticate, sub: object) -> None:
    """ID-01, ID-02, ID-03, ID-04, ID-05, ID-06, ID-07, ID-08, ID-16, WT-39, WC-04, WC-08, WC-49."""
    assert refusal(authenticate, forge_wit(wit_claims(sub=sub))) is Reason.TOKEN_SUBJECT


def test_an_identifier_of_2048_bytes_is_accepted(authenticate: Authenticate) -> None:
    """ID-07."""
    sub = "spiffe://example.org/" + "a" * 2027
    assert len(sub) == 2048
    request = forge_request(wit=forge_wit(wit_claims(sub=sub)))
    assert str(authenticate(entrance(), request, CONTENT, NOW).identity) == sub


@pytest.mark.parametrize(
    "exp", [None, "1800000300", True, 1800000300.0, -1, 253_402_300_800, 999_999_999_999_999, [NOW], {}]
)
def test_an_expiry_that_is_no_time_is_refused(authenticate: Authenticate, exp: object) -> None:
    """TM-11, WC-09, WC-49."""
    assert refusal(authenticate, forge_wit(wit_claims(exp=exp))) is Reason.TOKEN_CLAIM


@pytest.mark.parametrize(
    ("claim", "value"),
    [("nbf", "1800000000"), ("nbf", True), ("iat", "now"), ("iat", -1), ("iss", 7), ("jti", 7), ("aud", "x")],
)
def test_a_claim_of_the_wrong_type_is_refused(authenticate: Authenticate, claim: str, value: object) -> None:
    """TM-11, WT-37: and a WIT-SVID has no aud."""
    assert refusal(authenticate, forge_wit(wit_claims(**{claim: value}))) is Reason.TOKEN_CLAIM


@pytest.mark.parametrize("leeway", [0, LEEWAY, 120])
def test_a_wit_is_accepted_until_one_second_before_its_end(authenticate: Authenticate, leeway: int) -> None:
    """TM-07, WC-09, WC-10, WC-47: now == exp + leeway is refused."""
    server = entrance(token_settings=TokenSettings(leeway=timedelta(seconds=leeway)))
    end = NOW + 300 + leeway
    parameters = request_parameters(created=end - 1, expires=end + 60)
    request = forge_request(parameters=parameters)
    assert authenticate(server, request, CONTENT, end - 1).identity == CALLER.identity
    assert reason_of(authenticate, server, request, CONTENT, end) is Reason.TOKEN_EXPIRED


@pytest.mark.parametrize("leeway", [0, LEEWAY])
def test_a_wit_is_refused_before_its_beginning(authenticate: Authenticate, leeway: int) -> None:
    """TM-10: the last second that is too early, and the first one that is not."""
    server = entrance(token_settings=TokenSettings(leeway=timedelta(seconds=leeway)))
    early = forge_wit(wit_claims(nbf=NOW + leeway + 1))
    assert refusal(authenticate, early, to=server) is Reason.TOKEN_NOT_YET_VALID
    request = forge_request(wit=forge_wit(wit_claims(nbf=NOW + leeway)))
    assert authenticate(server, request, CONTENT, NOW).identity == CALLER.identity


def test_an_issue_time_in_the_future_delays_nothing(authenticate: Authenticate) -> None:
    """TM-10."""
    request = forge_request(wit=forge_wit(wit_claims(iat=NOW + 200)))
    assert authenticate(entrance(), request, CONTENT, NOW).wit.issued_at == NOW + 200


@pytest.mark.parametrize("changes", [{"exp": NOW + 86_431, "iat": NOW + 31}, {"exp": NOW + 315_360_000}])
def test_a_wit_that_lives_too_long_is_refused(authenticate: Authenticate, changes: dict[str, object]) -> None:
    """TM-14, WC-35, WC-49: ten years, or a second more than a day from now, whatever iat says."""
    assert refusal(authenticate, forge_wit(wit_claims(**changes))) is Reason.TOKEN_LIFETIME


def test_the_longest_life_counts_from_the_issue(authenticate: Authenticate) -> None:
    """TM-14, WC-35: exactly a day is accepted, a second more is not."""
    server = entrance(token_settings=TokenSettings(max_lifetime=timedelta(seconds=400)))
    request = forge_request(wit=forge_wit(wit_claims(iat=NOW - 100)))
    assert authenticate(server, request, CONTENT, NOW).identity == CALLER.identity
    assert refusal(authenticate, forge_wit(wit_claims(iat=NOW - 101)), to=server) is Reason.TOKEN_LIFETIME
    assert refusal(authenticate, forge_wit(wit_claims(nbf=NOW - 101)), to=server) is Reason.TOKEN_LIFETIME


@pytest.mark.parametrize(
    ("cnf", "reason"),
    [
        (None, Reason.TOKEN_CONFIRMATION),
        ("key", Reason.TOKEN_CONFIRMATION),
        ([JWK], Reason.TOKEN_CONFIRMATION),
        ({}, Reason.TOKEN_CONFIRMATION),
        ({"kid": "issuer"}, Reason.TOKEN_CONFIRMATION),
        ({"jku": "https://evil.example"}, Reason.TOKEN_CONFIRMATION),
        ({"x5t#S256": "AAAA"}, Reason.TOKEN_CONFIRMATION),
        ({"jwk": "key"}, Reason.TOKEN_CONFIRMATION),
        ({"jwk": [JWK]}, Reason.TOKEN_CONFIRMATION),
        ({"jwk": JWK, "kid": "other"}, Reason.TOKEN_CONFIRMATION),
        ({"jwk": JWK, "jku": "https://evil.example"}, Reason.TOKEN_CONFIRMATION),
        ({"jwk": {**JWK, "use": "enc"}}, Reason.TOKEN_CONFIRMATION),
        ({"jwk": {**JWK, "key_ops": ["sign"]}}, Reason.TOKEN_CONFIRMATION),
        ({"jwk": {**JWK, "key_ops": "verify"}}, Reason.TOKEN_CONFIRMATION),
        ({"jwk": {**JWK, "d": CALLER.wit[:43]}}, Reason.KEY_PRIVATE),
        ({"jwk": {"kty": "oct", "k": "AAAA", "alg": "HS256"}}, Reason.TOKEN_CONFIRMATION),
        ({"jwk": {"kty": "oct", "k": "AAAA", "alg": "ES256"}}, Reason.KEY_PRIVATE),
        ({"jwk": {"kty": "OKP", "crv": "X25519", "x": JWK["x"], "alg": "ES256"}}, Reason.KEY_UNSUPPORTED),
        ({"jwk": {**JWK, "y": JWK["x"]}}, Reason.KEY_MALFORMED),
    ],
)
def test_a_wit_that_does_not_name_one_usable_key_is_refused(
    authenticate: Authenticate, cnf: object, reason: Reason
) -> None:
    """WT-32, WT-33, WT-34, CR-06, CR-25, WC-11, WC-49."""
    assert refusal(authenticate, forge_wit(wit_claims(cnf=cnf))) is reason


@pytest.mark.parametrize(
    "alg",
    [None, "none", "None", "", "HS256", "RSA-OAEP", "ECDH-ES", "A128KW", "dir", "RS1", "ES256K", "EdDSA", 7, ["ES256"]],
)
def test_a_proof_algorithm_that_is_not_permitted_is_refused(authenticate: Authenticate, alg: object) -> None:
    """CR-05, CR-06, CR-07, WC-14, WC-16, WC-17, WC-18."""
    cnf = {"jwk": changed_jwk(alg)}
    assert refusal(authenticate, forge_wit(wit_claims(cnf=cnf))) is Reason.TOKEN_CONFIRMATION


def changed_jwk(alg: object) -> dict[str, object]:
    return {name: value for name, value in {**JWK, "alg": alg}.items() if value is not None}


def test_eddsa_is_refused_for_spiffe(authenticate: Authenticate) -> None:
    """WT-11: neither for the WIT nor for the proof."""
    edwards, other = PrivateKey.generate(EDDSA, kid="k"), PrivateKey.generate(kid="k")
    claims = dict(UnverifiedWIT.parse(CALLER.wit).jws.claims)
    confirming = {**claims, "cnf": {"jwk": edwards.public_key.to_jwk()}}
    for issuing, signed, reason in (
        (edwards, claims, Reason.TOKEN_ALGORITHM),
        (other, confirming, Reason.TOKEN_CONFIRMATION),
    ):
        # By hand: `issue_wit` writes no such token.
        request = forge_request(wit=sign_compact({"typ": "wit+jwt"}, signed, issuing))
        bundle = TrustBundle(trust_domain=DOMAIN.bundle.trust_domain, wit_keys=(issuing.public_key,))
        assert reason_of(authenticate, entrance(bundles=TrustBundles(bundle)), request, CONTENT, NOW) is reason


def test_eddsa_is_accepted_for_wimse(authenticate: Authenticate) -> None:
    """WT-11, WC-22: for both."""
    issuer = InMemoryTrustDomain("wimse://example.org", algorithm=EDDSA)
    request = forge_request(issuer.credential("/caller", now=NOW, key=PrivateKey.generate(EDDSA)))
    identity = authenticate(entrance(bundles=issuer.bundles), request, CONTENT, NOW).identity
    assert str(identity) == "wimse://example.org/caller"


# --------------------------------------------------------------------------------------- whose WIT, whose proof


def test_a_wit_that_was_swapped_after_signing_is_refused(authenticate: Authenticate) -> None:
    """WT-02, WT-36, CR-20, HS-07: another one of the same key, with another subject or only another number."""
    for path in ("/other", "/caller"):
        twin = DOMAIN.credential(path, now=NOW, key=KEY)  # type: ignore[arg-type]
        request = replacing(forge_request(), "Workload-Identity-Token", twin.wit)
        assert reason_of(authenticate, entrance(), request, CONTENT, NOW) is Reason.SIGNATURE_INVALID


def test_a_wit_cannot_be_swapped_where_it_is_not_covered(authenticate: Authenticate) -> None:
    """WT-02: without coverage both would verify; so neither is accepted."""
    request = forge_request(omit=["workload-identity-token"])
    twin = DOMAIN.credential("/other", now=NOW, key=KEY)  # type: ignore[arg-type]
    swapped = replacing(request, "Workload-Identity-Token", twin.wit)
    for each in (request, swapped):
        assert reason_of(authenticate, entrance(), each, CONTENT, NOW) is Reason.COMPONENT_NOT_COVERED


def test_a_wit_whose_subject_was_changed_is_refused(authenticate: Authenticate) -> None:
    """The workload signs what it likes, but not its own WIT."""
    claims = encode(wit_claims(sub="spiffe://example.org/admin"))
    wit = f"{HEADER}.{claims}.{SIGNATURE}"
    assert refusal(authenticate, wit) is Reason.TOKEN_SIGNATURE_INVALID
    own = forge_wit(wit_claims(sub="spiffe://example.org/admin"), signer=KEY)
    assert refusal(authenticate, own) is Reason.TOKEN_SIGNATURE_INVALID


def test_a_wit_without_signature_bytes_is_refused(authenticate: Authenticate) -> None:
    for value in (b"\0" * 64, b"\0", b"\0" * 65, DOMAIN.key.sign(b"other")):
        wit = f"{HEADER}.{PAYLOAD}.{b64url_encode(value)}"
        assert refusal(authenticate, wit) is Reason.TOKEN_SIGNATURE_INVALID


def test_the_helpers_agree_on_the_audience() -> None:
    assert request_parameters()["wimse-aud"] == AUDIENCE
    assert UnverifiedWIT.parse(forge_wit()).trust_domain == TrustDomain("spiffe", "example.org")
