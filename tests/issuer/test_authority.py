from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID
from joserfc import jwt
from joserfc.jwk import KeySet

from wimse.credentials import (
    JWT_SVID,
    WIT_SVID,
    TrustDomain,
    UnverifiedWIT,
    WorkloadIdentifier,
    verify_jwt_svid,
    verify_wit,
)
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.issuer import Authority, IssuerSettings, KeyUse, SigningKey
from wimse.keys import EDDSA, PrivateKey

NOW = 1_800_000_000
SPIFFE, WIMSE = TrustDomain("spiffe", "example.org"), TrustDomain("wimse", "example.org")
SUBJECT = SPIFFE.workload("/payments")


def authority(scheme: str = "spiffe", **settings: timedelta) -> Authority:
    return Authority.create("example.org", now=NOW, scheme=scheme, settings=IssuerSettings(**settings))


def kid_of(issuer: Authority, use: KeyUse) -> str:
    return issuer.keys.active[use].key.kid or ""


def wit(issuer: Authority, subject: WorkloadIdentifier = SUBJECT, *, now: int = NOW) -> str:
    return issuer.issue_wit(subject, PrivateKey.generate().public_key, now=now, token_id="a" * 64).text


@pytest.mark.parametrize("domain", [SPIFFE, WIMSE])
def test_wit_is_verified_by_the_bundle_of_its_scheme(domain: TrustDomain) -> None:
    """SV-13, IS-22: alg, typ, kid, sub, exp, cnf and cnf.jwk.alg are all there."""
    issuer, key = authority(domain.scheme), PrivateKey.generate()
    token = issuer.issue_wit(domain.workload("/payments"), key.public_key, now=NOW, token_id="id-1")
    unverified = UnverifiedWIT.parse(token.text)
    verified = verify_wit(unverified, issuer.bundles()[domain], now=NOW)
    assert verified.key.same_key(key.public_key)
    assert dict(unverified.jws.header) == {"alg": "ES256", "typ": "wit+jwt", "kid": kid_of(issuer, KeyUse.WIT)}
    assert verified.claims == {
        "sub": f"{domain}/payments",
        "iss": str(domain),
        "iat": NOW,
        "exp": NOW + 300,
        "jti": "id-1",
        "cnf": {"jwk": key.public_key.to_jwk()},
    }
    assert key.public_key.to_jwk()["alg"] == "ES256"


def test_issuer_of_a_wit_is_no_openid_issuer() -> None:
    """SV-11: nothing that OpenID Connect Discovery takes, which is https only."""
    claims = UnverifiedWIT.parse(wit(authority())).jws.claims
    assert str(claims["iss"]).startswith("spiffe://")


def test_spiffe_wit_has_no_audience() -> None:
    """SV-12."""
    assert "aud" not in UnverifiedWIT.parse(wit(authority())).jws.claims


def test_bundle_of_the_scheme_spiffe_has_every_key_under_its_use() -> None:
    """SV-16, SV-31, IS-20, IS-21: own trust domain, unique kids, only the keys of the use that is asked for."""
    bundles = authority().bundles()
    assert list(bundles) == [SPIFFE]
    keys = json.loads(bundles[SPIFFE].to_json())["keys"]
    assert sorted(key["use"] for key in keys) == ["jwt-svid", "wit-svid", "x509-svid"]
    assert len({key["kid"] for key in keys if "kid" in key}) == 2
    assert not any("d" in key for key in keys)
    for use in (WIT_SVID, JWT_SVID):
        only = json.loads(bundles[SPIFFE].to_json(use))["keys"]
        assert [(key["use"], bool(key["kid"])) for key in only] == [(use, True)]


def test_bundle_of_the_scheme_wimse_has_the_wit_key_and_the_spiffe_one_does_not() -> None:
    """SV-33: the bundles of two trust domains are two."""
    bundles = authority("wimse").bundles()
    assert set(bundles) == {SPIFFE, WIMSE}
    assert bundles[SPIFFE].wit_keys == ()
    assert bundles[WIMSE].jwt_keys == ()
    assert bundles[WIMSE].x509_authorities == ()


@pytest.mark.parametrize("scheme", ["spiffe", "wimse"])
def test_minispire_wit(scheme: str) -> None:
    issuer, key = authority(scheme), PrivateKey.generate()
    token = issuer.issue_minispire_wit("/bin/x", key.public_key, now=NOW, token_id="f" * 64)
    jws = UnverifiedWIT.parse(token.text).jws
    assert jws.header == {"alg": "ES256", "typ": "wit+jwt", "kid": kid_of(issuer, KeyUse.WIT)}
    assert jws.claims == {
        "sub": "wimse://example.org/bin/x",
        "iss": "wimse://example.org",
        "aud": "",
        "iat": NOW,
        "exp": NOW + 300,
        "jti": "f" * 64,
        "cnf": {"jwk": {**key.public_key.to_jwk(), "use": "sig"}},
    }


def test_jwt_svid_is_verified_for_its_audience() -> None:
    issuer = authority("wimse")  # JWT-SVIDs are spiffe all the same
    token = issuer.issue_jwt_svid(SUBJECT, ["a", "b"], now=NOW)
    verified = verify_jwt_svid(token.text, issuer.bundles()[SPIFFE], audience="b", now=NOW)
    assert verified.identity == SUBJECT
    assert token.expires_at == NOW + 300


@pytest.mark.parametrize("audience", [[], [""], ["a", ""]])
def test_jwt_svid_without_audience_is_refused(audience: list[str]) -> None:
    with pytest.raises(Refused) as refusal:
        authority().issue_jwt_svid(SUBJECT, audience, now=NOW)
    assert refusal.value.reason is Reason.AUDIENCE_MISSING


def test_joserfc_accepts_our_tokens() -> None:
    """A second witness: another library verifies them with the keys that we publish."""
    issuer = authority()
    key_set = KeySet.import_key_set(
        {
            "keys": [
                {**k, "use": "sig"} for k in json.loads(issuer.bundles()[SPIFFE].to_json(WIT_SVID, JWT_SVID))["keys"]
            ]
        }
    )
    decoded = jwt.decode(wit(issuer), key_set, algorithms=["ES256"])
    assert decoded.header["typ"] == "wit+jwt"
    assert decoded.claims["sub"] == str(SUBJECT)
    svid = issuer.issue_jwt_svid(SUBJECT, ["a"], now=NOW)
    assert jwt.decode(svid.text, key_set, algorithms=["ES256"]).claims["aud"] == ["a"]


def test_x509_svid_is_signed_by_the_authority_and_names_the_workload() -> None:
    issuer, key = authority(), PrivateKey.generate()
    issued = issuer.issue_x509_svid(SUBJECT, key.public_key, now=NOW + 100)
    leaf, ca = (
        x509.load_der_x509_certificate(issued.der),
        x509.load_der_x509_certificate(issuer.keys.x509_authorities[0]),
    )
    leaf.verify_directly_issued_by(ca)
    san = leaf.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    assert isinstance(san, x509.SubjectAlternativeName)
    assert san.get_values_for_type(x509.UniformResourceIdentifier) == [str(SUBJECT)]
    assert leaf.not_valid_before_utc == datetime.fromtimestamp(NOW + 70, UTC)
    assert leaf.not_valid_after_utc == datetime.fromtimestamp(NOW + 3700, UTC)


def test_x509_svid_lies_within_the_life_of_its_authority() -> None:
    """IS-24."""
    issuer = authority(authority_lifetime=timedelta(minutes=10))
    leaf = x509.load_der_x509_certificate(
        issuer.issue_x509_svid(SUBJECT, PrivateKey.generate().public_key, now=NOW - 10).der
    )
    ca = x509.load_der_x509_certificate(issuer.keys.x509_authorities[0])
    assert leaf.not_valid_before_utc >= ca.not_valid_before_utc
    assert leaf.not_valid_after_utc == ca.not_valid_after_utc


def test_tokens_do_not_outlive_the_signing_key() -> None:
    """IS-24: clamped."""
    issuer = authority(authority_lifetime=timedelta(minutes=10))
    key = PrivateKey.generate().public_key
    assert issuer.issue_wit(SUBJECT, key, now=NOW + 500, token_id="1").expires_at == NOW + 600
    assert issuer.issue_jwt_svid(SUBJECT, ["a"], now=NOW + 500).expires_at == NOW + 600


def test_expired_keys_sign_nothing() -> None:
    issuer = authority(authority_lifetime=timedelta(minutes=10))
    with pytest.raises(Unavailable) as refusal:
        wit(issuer, now=NOW + 600)
    assert refusal.value.reason is Reason.ISSUER_UNAVAILABLE


def test_nothing_is_signed_after_the_clock_has_gone_back() -> None:
    """IS-34: no token whose exp is in the past when the clock is right again."""
    issuer = authority()
    wit(issuer, now=NOW + 86_400)
    wit(issuer, now=NOW + 86_400 - 60)  # what a time server corrects
    with pytest.raises(Unavailable) as refusal:
        wit(issuer, now=NOW)
    assert refusal.value.reason is Reason.ISSUER_UNAVAILABLE
    wit(issuer, now=NOW + 86_401)


def test_nothing_is_signed_before_the_keys_begin() -> None:
    """IS-34: also with the first token."""
    with pytest.raises(Unavailable):
        wit(authority(), now=NOW - 86_400)


@pytest.mark.parametrize("uri", ["spiffe://other.org/x", "wimse://example.org/x", "spiffe://example.org.evil/x"])
def test_subject_of_another_trust_domain_is_refused(uri: str) -> None:
    """IS-31."""
    issuer, subject, key = authority(), WorkloadIdentifier.parse(uri), PrivateKey.generate().public_key
    for issue in (
        lambda: issuer.issue_wit(subject, key, now=NOW, token_id="1"),
        lambda: issuer.issue_jwt_svid(subject, ["a"], now=NOW),
        lambda: issuer.issue_x509_svid(subject, key, now=NOW),
    ):
        with pytest.raises(Refused) as refusal:
            issue()
        assert refusal.value.reason is Reason.IDENTITY_NOT_ALLOWED


@pytest.mark.parametrize(
    ("name", "scheme"), [("Example.org", "spiffe"), ("", "spiffe"), ("a/b", "spiffe"), ("a", "https")]
)
def test_authority_of_no_trust_domain_is_refused(name: str, scheme: str) -> None:
    with pytest.raises(ConfigurationError):
        Authority.create(name, now=NOW, scheme=scheme)


def test_signing_key_of_another_algorithm_or_without_kid_is_refused() -> None:
    """IS-23, SV-01, SV-03: EdDSA is not in the list of WIT-SVID §2.3."""
    good = authority()

    jwt_kid = kid_of(good, KeyUse.JWT_SVID)
    for key in (PrivateKey.generate(EDDSA, kid="k"), PrivateKey.generate(), PrivateKey.generate(kid=jwt_kid)):
        signing = SigningKey(key=key, not_before=NOW, not_after=NOW + 1)
        with pytest.raises(ConfigurationError):
            replace(good.keys, active={KeyUse.WIT: signing}, wit_keys=(key.public_key,))


def test_a_key_that_is_not_published_does_not_sign() -> None:
    """IS-25."""
    good, key = authority(), PrivateKey.generate(kid="k")
    signing = SigningKey(key=key, not_before=NOW, not_after=NOW + 1)
    with pytest.raises(ConfigurationError, match="not published"):
        replace(good.keys, active={KeyUse.WIT: signing})


def test_a_workload_key_is_bound_to_one_identifier_and_is_none_of_ours() -> None:
    """WT-35, WC-46: refused for a second subject, in WITs and in certificates; and a signing key of the issuer."""
    issuer, key = authority(), PrivateKey.generate().public_key
    issuer.issue_wit(SUBJECT, key, now=NOW, token_id="1")
    other = SPIFFE.workload("/other")
    own = issuer.keys.active[KeyUse.JWT_SVID].key.public_key
    for subject, workload_key in ((other, key), (SUBJECT, own)):
        with pytest.raises(Refused) as refusal:
            issuer.issue_wit(subject, workload_key, now=NOW, token_id="2")
        assert refusal.value.reason is Reason.KEY_MISMATCH
        with pytest.raises(Refused):
            issuer.issue_x509_svid(subject, workload_key, now=NOW)


def test_an_entry_may_have_its_tokens_live_shorter_and_not_longer() -> None:
    issuer, key = authority(), PrivateKey.generate().public_key
    for wanted, given in ((timedelta(seconds=20), 20), (timedelta(hours=20), 300)):
        assert issuer.issue_wit(SUBJECT, key, now=NOW, token_id="1", lifetime=wanted).expires_at == NOW + given


def test_nothing_secret_shows_in_repr() -> None:
    """IS-28, WC-45."""
    issuer = authority()
    token = issuer.issue_wit(SUBJECT, PrivateKey.generate().public_key, now=NOW, token_id="1")
    shown = repr(issuer) + repr(token)
    assert token.text not in shown
    assert "PrivateKey" not in shown
    assert issuer.keys.active[KeyUse.WIT].key.to_jwk()["d"] not in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wit_lifetime", timedelta(0)),
        ("wit_lifetime", timedelta(seconds=-1)),
        ("wit_lifetime", timedelta(hours=25)),
        ("wit_lifetime", timedelta(seconds=2.5)),
        ("jwt_svid_lifetime", timedelta(hours=2)),
        ("x509_svid_lifetime", timedelta(days=2)),
        ("authority_lifetime", timedelta(days=36600)),
        ("backdating", timedelta(minutes=3)),
        ("clock_setback", timedelta(minutes=3)),
    ],
)
def test_lifetime_out_of_bounds_is_refused(name: str, value: timedelta) -> None:
    with pytest.raises(ConfigurationError, match=name):
        IssuerSettings(**{name: value})
