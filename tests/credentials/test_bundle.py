from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec

from tests.credentials.tokens import ISSUER, NOW, SPIFFE, WIMSE
from tests.keys.pool import RSA
from tests.refusals import refused
from wimse.credentials import (
    JWT_SVID,
    WIT_SVID,
    X509_SVID,
    TrustBundle,
    TrustBundles,
    TrustDomain,
    issue_x509_authority,
)
from wimse.errors import Reason
from wimse.keys import ED448, EDDSA, PrivateKey

OTHER = PrivateKey.generate(kid="other").public_key
KEY = ISSUER.public_key


def entry(key: Any = KEY, use: str | None = WIT_SVID, **more: object) -> dict[str, object]:
    return {**key.to_jwk(), **({"use": use} if use else {}), **more}


def parse(*keys: object, domain: TrustDomain = SPIFFE, default_use: str | None = None, **more: object) -> TrustBundle:
    return TrustBundle.parse(domain, json.dumps({"keys": keys, **more}).encode(), default_use=default_use)


def certificate(key: Any) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ca")])
    first = x509.load_der_x509_certificate(issue_x509_authority(SPIFFE, ISSUER, not_before=NOW, not_after=NOW + 9))
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.not_valid_before(first.not_valid_before_utc).not_valid_after(first.not_valid_after_utc)
    signed = builder.public_key(key.public_key()).sign(ISSUER.native, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


def test_a_key_is_for_the_use_that_it_names() -> None:
    """WT-24, SV-16, SV-31"""
    read = parse(entry(), entry(OTHER, JWT_SVID))
    assert [key.kid for key in read.wit_keys] == ["issuer"]
    assert [key.kid for key in read.jwt_keys] == ["other"]
    assert read.wit_key("issuer").same_key(KEY)
    assert read.jwt_key("other").same_key(OTHER)
    with refused(Reason.KEY_UNKNOWN):
        read.wit_key("other")
    with refused(Reason.KEY_UNKNOWN):
        read.jwt_key("issuer")


@pytest.mark.parametrize("use", [None, "sig", "enc", "", "WIT-SVID", "unknown", 1, [], {}, True])
def test_a_spiffe_key_without_a_use_that_is_known_is_ignored(use: Any) -> None:
    """WT-24, SV-34"""
    jwk = {**KEY.to_jwk(), **({} if use is None else {"use": use})}
    read = parse(jwk)
    assert (read.wit_keys, read.jwt_keys, read.x509_authorities) == ((), (), ())


def test_a_plain_set_of_a_wimse_domain_may_leave_use_out() -> None:
    for use in (None, "sig", WIT_SVID):
        assert parse(entry(use=use), domain=WIMSE).wit_keys
    assert not parse(entry(use="enc"), domain=WIMSE).wit_keys
    assert parse(entry(use=None, kid=None), domain=WIMSE).wit_key(None).same_key(KEY)


def test_the_source_of_a_document_may_imply_the_use() -> None:
    assert parse(entry(use=None), default_use=JWT_SVID).jwt_keys
    assert not parse(entry(use="sig"), default_use=JWT_SVID).jwt_keys


@pytest.mark.parametrize("use", [WIT_SVID, JWT_SVID, "unknown", None])
def test_a_private_key_spoils_the_bundle_whatever_its_use(use: str | None) -> None:
    """CR-25"""
    for member in ("d", "k"):
        with refused(Reason.KEY_PRIVATE):
            parse(entry(), entry(OTHER, use, **{member: "AA"}))


def test_two_keys_under_one_kid_spoil_the_bundle() -> None:
    """WT-25, SV-16"""
    for use in (WIT_SVID, JWT_SVID):
        with refused(Reason.BUNDLE_MALFORMED):
            parse(entry(), entry(OTHER, use, kid="issuer"))
    with refused(Reason.BUNDLE_MALFORMED):
        TrustBundle(trust_domain=SPIFFE, wit_keys=(KEY, OTHER.with_kid("issuer")))


def test_a_spiffe_key_has_a_kid() -> None:
    """SV-16, SV-31"""
    for use in (WIT_SVID, JWT_SVID):
        with refused(Reason.BUNDLE_MALFORMED):
            parse(entry(use=use, kid=None))


@pytest.mark.parametrize(
    "unknown",
    [
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"},
        {"kty": "RSA", "alg": "RS1", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": "oct"},
        {"kty": "new"},
        {},
    ],
)
def test_a_key_of_an_unknown_type_is_ignored(unknown: dict[str, object]) -> None:
    more = {**unknown, "use": WIT_SVID, "kid": "r"}
    assert parse(entry(), more).wit_keys == parse(more, entry()).wit_keys == parse(entry()).wit_keys


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"x": "AA"}, Reason.KEY_MALFORMED),
        ({"alg": "EdDSA"}, Reason.ALGORITHM_MISMATCH),
        ({"alg": "ES384"}, Reason.ALGORITHM_MISMATCH),
        ({"kty": "RSA", "alg": "RS256"}, Reason.KEY_MALFORMED),
        ({"kty": "RSA"}, Reason.ALGORITHM_MISMATCH),
    ],
)
def test_a_malformed_key_is_not_ignored(members: dict[str, str], reason: Reason) -> None:
    with refused(reason):
        parse({**entry(), **members})


def test_a_bundle_without_keys_trusts_nobody() -> None:
    """SV-34"""
    empty = parse()
    with refused(Reason.KEY_UNKNOWN):
        empty.wit_key("issuer")
    with refused(Reason.KEY_ID_MISSING):
        empty.wit_key(None)


def test_without_a_kid_there_is_exactly_one_key() -> None:
    """WT-22, WC-24: the keys are not tried one after the other."""
    assert parse(entry()).wit_key(None).same_key(KEY)
    with refused(Reason.KEY_ID_MISSING):
        parse(entry(), entry(OTHER)).wit_key(None)


@pytest.mark.parametrize("kid", ["", "Issuer", "issuer ", "../issuer", "issuer\0", "' OR 1=1 --", "a" * 256])
def test_a_kid_is_looked_up_and_nothing_else(kid: str) -> None:
    """WT-21, SV-01: compared exactly."""
    with refused(Reason.KEY_UNKNOWN):
        parse(entry()).wit_key(kid)


@pytest.mark.parametrize("keys", [None, {}, "a", 1, [1], [None], [["a"]], ["a"]])
def test_keys_are_a_list_of_objects(keys: object) -> None:
    with refused(Reason.BUNDLE_MALFORMED):
        TrustBundle.from_jwks(SPIFFE, {"keys": keys})
    with refused(Reason.BUNDLE_MALFORMED):
        TrustBundle.from_jwks(SPIFFE, {})


@pytest.mark.parametrize("value", [-1, "1", True, 1.0, [], {}])
def test_sequence_and_refresh_hint_are_whole_numbers(value: object) -> None:
    for name in ("spiffe_sequence", "spiffe_refresh_hint"):
        with refused(Reason.BUNDLE_MALFORMED):
            TrustBundle.from_jwks(SPIFFE, {"keys": [], name: value})
    assert (parse(spiffe_sequence=0).sequence, parse(spiffe_refresh_hint=5).refresh_hint) == (0, 5)


def test_the_limits_are_exact() -> None:
    parse(*[{}] * 256)
    with refused(Reason.BUNDLE_MALFORMED):
        parse(*[{}] * 257)
    data = b'{"keys":[]}'
    TrustBundle.parse(SPIFFE, data.ljust(1_048_576))
    with refused(Reason.DOCUMENT_TOO_LARGE):
        TrustBundle.parse(SPIFFE, data.ljust(1_048_577))
    with refused(Reason.JSON_DUPLICATE_MEMBER):
        TrustBundle.parse(SPIFFE, b'{"keys":[],"keys":[]}')


@pytest.mark.parametrize("x5c", [None, [], "AAAA", {}, 1])
def test_an_authority_without_a_chain_is_ignored(x5c: object) -> None:
    assert parse({"use": X509_SVID, "x5c": x5c}).x509_authorities == ()


@pytest.mark.parametrize("first", ["", "AAAA", "A", "a b", "\u00e9", 1, None, [], "aGVsbG8="])
def test_a_chain_that_is_no_certificate_spoils_the_bundle(first: object) -> None:
    with refused(Reason.BUNDLE_MALFORMED):
        parse({"use": X509_SVID, "x5c": [first]})


def test_a_certificate_of_a_version_that_does_not_exist_spoils_the_bundle() -> None:
    # Found by fuzzing: the library has an error of another family for it.
    der = certificate(ec.generate_private_key(ec.SECP256R1()))
    version = bytes.fromhex("a003020102")  # RFC 5280 §4.1.2.1: [0] INTEGER 2, which is v3
    assert der.count(version) == 1
    with refused(Reason.BUNDLE_MALFORMED):
        parse({"use": X509_SVID, "x5c": [base64.b64encode(der.replace(version, version[:-1] + b"\x12")).decode()]})


@pytest.mark.parametrize(
    ("native", "members"),
    [
        (ec.generate_private_key(ec.SECP256R1()), {"kty": "EC", "crv": "P-256"}),
        (ec.generate_private_key(ec.SECP384R1()), {"kty": "EC", "crv": "P-384"}),
        (ec.generate_private_key(ec.SECP521R1()), {"kty": "EC", "crv": "P-521"}),
        (RSA, {"kty": "RSA", "e": "AQAB"}),
        (PrivateKey.generate(EDDSA).native, {"kty": "OKP", "crv": "Ed25519"}),
        (PrivateKey.generate(ED448).native, {"kty": "OKP", "crv": "Ed448"}),
    ],
    ids=["P-256", "P-384", "P-521", "RSA", "Ed25519", "Ed448"],
)
def test_an_authority_may_have_a_key_of_any_type_that_can_be_written(native: Any, members: dict[str, str]) -> None:
    der = certificate(native)
    jwk = {"use": X509_SVID, "x5c": [base64.b64encode(der).decode(), "ignored"]}
    read = parse(jwk)
    assert read.x509_authorities == (der,)
    (written,) = json.loads(read.to_json())["keys"]
    assert written.items() >= {**members, "use": X509_SVID}.items()
    assert TrustBundle.parse(SPIFFE, read.to_json()) == read


@pytest.mark.parametrize(
    "native",
    [dsa.generate_private_key(1024), ec.generate_private_key(ec.SECP256K1()), ec.generate_private_key(ec.SECP192R1())],
    ids=["DSA", "secp256k1", "P-192"],
)
def test_an_authority_of_an_unknown_type_is_ignored(native: Any) -> None:
    assert parse({"use": X509_SVID, "x5c": [base64.b64encode(certificate(native)).decode()]}).x509_authorities == ()


def test_a_bundle_survives_the_way_there_and_back() -> None:
    authority = issue_x509_authority(SPIFFE, ISSUER, not_before=NOW, not_after=NOW + 10)
    whole = TrustBundle(
        trust_domain=SPIFFE,
        wit_keys=parse(entry()).wit_keys,
        jwt_keys=parse(entry(OTHER, JWT_SVID)).jwt_keys,
        x509_authorities=(authority,),
        sequence=3,
        refresh_hint=60,
    )
    assert TrustBundle.parse(SPIFFE, whole.to_json()) == whole
    document: Any = whole.to_jwks()
    assert [key["use"] for key in document["keys"]] == [X509_SVID, JWT_SVID, WIT_SVID]
    (only,) = json.loads(whole.to_json(WIT_SVID))["keys"]
    assert (only["use"], only["kid"]) == (WIT_SVID, "issuer")


def test_bundles_are_found_by_scheme_and_name_and_never_merged() -> None:
    """WT-23, WT-28, WT-29, SV-33"""
    one, two = parse(entry()), parse(entry(OTHER), domain=WIMSE)
    both = TrustBundles(one, two)
    assert len(both) == 2
    assert list(both) == [SPIFFE, WIMSE]
    assert both[SPIFFE] is one
    assert both[WIMSE] is two
    assert TrustDomain("spiffe", "other") not in both
    with refused(Reason.KEY_UNKNOWN):
        both[SPIFFE].wit_key("other")
    with refused(Reason.BUNDLE_MALFORMED):
        TrustBundles(one, parse(entry(OTHER)))
