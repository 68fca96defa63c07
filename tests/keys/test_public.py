from __future__ import annotations

import dataclasses

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, x448, x25519

from tests.keys.pool import OTHER_RSA, PRIVATE, name_of, private_key
from tests.refusals import refused
from wimse.errors import Reason
from wimse.keys import (
    EDDSA,
    ES256,
    HS256,
    PUBLIC_KEY_ALGORITHMS,
    Algorithm,
    PrivateKey,
    PublicKey,
    b64url_decode,
    b64url_encode,
)

P256_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B

EC_KEY = {
    # RFC 9421 B.1.3
    "kty": "EC",
    "crv": "P-256",
    "x": "qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA",
    "y": "Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0",
}
OKP_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}  # RFC 9421 B.1.4


def number(value: int, size: int = 32) -> str:
    return b64url_encode(value.to_bytes(size, "big"))


@pytest.mark.parametrize(("jwk", "algorithm"), [(EC_KEY, ES256), (OKP_KEY, EDDSA)])
def test_a_public_jwk_becomes_a_key(jwk: dict[str, str], algorithm: Algorithm) -> None:
    key = PublicKey.from_jwk({**jwk, "kid": "k", "use": "sig"})
    assert (key.algorithm, key.kid, key.use) == (algorithm, "k", "sig")
    assert key.to_jwk() == {**jwk, "alg": algorithm.jose_name, "kid": "k", "use": "sig"}
    assert key.to_jwk(use="wit-svid")["use"] == "wit-svid"
    assert PublicKey.from_jwk(jwk).to_jwk() == {**jwk, "alg": algorithm.jose_name}


@pytest.mark.parametrize("name", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_a_private_member_is_refused_whatever_the_type(name: str) -> None:
    """CR-25: a private key where a public one belongs is no secret any more."""
    for jwk in (EC_KEY, OKP_KEY, {"kty": "RSA"}):
        with refused(Reason.KEY_PRIVATE):
            PublicKey.from_jwk({**jwk, name: "AA"})


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "oct"},
        {"kty": "oct", "alg": "HS256"},
        {**EC_KEY, "crv": "P-192"},
        {**EC_KEY, "crv": "secp256k1"},
        {**EC_KEY, "crv": "p-256"},
        {**EC_KEY, "kty": "ec"},
        {**EC_KEY, "kty": "OKP"},
        {**EC_KEY, "crv": None},
        {**EC_KEY, "crv": ["P-256"]},
        {**EC_KEY, "kty": {}},
        {**OKP_KEY, "crv": "X25519"},
        {**OKP_KEY, "crv": "X448"},
    ],
)
def test_another_type_or_curve_is_unsupported(jwk: dict[str, object]) -> None:
    """CR-04, CR-19: neither a secret nor a key for agreement, whatever is asked for."""
    for algorithm in (None, ES256, HS256):
        with refused(Reason.KEY_UNSUPPORTED):
            PublicKey.from_jwk(jwk, algorithm=algorithm)


NOT_OF_P256: list[object] = ["ES384", "ES512", "ES256K", "EdDSA", "none", "", "HS256", "es256", None, 1, [], {}]
NOT_OF_ED25519: list[object] = ["ES256", "ed25519", "Ed448", "none", "", "HS256", None, []]


@pytest.mark.parametrize(
    ("jwk", "alg"), [*((EC_KEY, alg) for alg in NOT_OF_P256), *((OKP_KEY, alg) for alg in NOT_OF_ED25519)]
)
def test_an_alg_that_is_not_that_of_the_curve_is_refused(jwk: dict[str, object], alg: object) -> None:
    """CR-03, CR-15: the key has one algorithm, and its own alg may not say otherwise."""
    with refused(Reason.ALGORITHM_MISMATCH):
        PublicKey.from_jwk({**jwk, "alg": alg})


@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519"])
def test_both_names_of_ed25519_are_taken(alg: str) -> None:
    assert PublicKey.from_jwk({**OKP_KEY, "alg": alg}).algorithm is EDDSA


@pytest.mark.parametrize(
    "change",
    [
        {"x": None},
        {"x": 1},
        {"x": ""},
        {"x": "AAAA"},
        {"x": number(1, 31)},
        {"x": number(1, 33)},
        {"y": None},
        {"y": number(1)},  # off the curve
        {"x": number(0), "y": number(0)},  # what stands for infinity
        {"x": number(P256_PRIME), "y": number(1)},
        {"x": number(2**256 - 1)},
        {"kid": 1},
        {"kid": ["a"]},
        {"use": 1},
        {"use": []},
    ],
)
def test_a_malformed_ec_key_is_refused(change: dict[str, object]) -> None:
    """CR-16: off the curve, infinity, wrong lengths."""
    with refused(Reason.KEY_MALFORMED):
        PublicKey.from_jwk({**EC_KEY, **change})


def test_a_coordinate_above_the_prime_is_refused() -> None:
    """CR-16: x = 0 is on the curve, with y the root of b; x = p is the same point under another name."""
    y = pow(B, (P256_PRIME + 1) // 4, P256_PRIME)
    assert PublicKey.from_jwk({**EC_KEY, "x": number(0), "y": number(y)}).algorithm is ES256
    with refused(Reason.KEY_MALFORMED):
        PublicKey.from_jwk({**EC_KEY, "x": number(P256_PRIME), "y": number(y)})


@pytest.mark.parametrize("change", [{"x": None}, {"x": "AA"}, {"x": number(1, 31)}, {"x": number(1, 33)}, {"kid": 1}])
def test_a_malformed_okp_key_is_refused(change: dict[str, object]) -> None:
    with refused(Reason.KEY_MALFORMED):
        PublicKey.from_jwk({**OKP_KEY, **change})


@pytest.mark.parametrize("jwk", [EC_KEY, OKP_KEY])
def test_a_coordinate_has_one_spelling(jwk: dict[str, str]) -> None:
    with refused(Reason.BASE64_MALFORMED):
        PublicKey.from_jwk({**jwk, "x": jwk["x"] + "="})


@pytest.mark.parametrize(
    "native",
    [
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        dsa.generate_private_key(1024).public_key(),
        x25519.X25519PrivateKey.generate().public_key(),
        x448.X448PrivateKey.generate().public_key(),
        None,
        b"key",
    ],
    ids=["secp256k1", "dsa", "x25519", "x448", "none", "bytes"],
)
def test_a_native_key_of_another_type_is_unsupported(native: object) -> None:
    """CR-15, CR-19"""
    with refused(Reason.KEY_UNSUPPORTED):
        PublicKey.from_native(native)
    if native is not None and not isinstance(native, bytes):
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        pem = native.public_bytes(serialization.Encoding.PEM, spki)  # type: ignore[attr-defined]  # all of them have it
        with refused(Reason.KEY_UNSUPPORTED):
            PublicKey.from_pem(pem)


def test_a_weak_native_key_is_refused() -> None:
    """CR-17: from JWK, native and PEM alike."""
    native = ed25519.Ed25519PublicKey.from_public_bytes(b"\1" + bytes(31))
    with refused(Reason.KEY_WEAK):
        PublicKey.from_native(native)
    pem = native.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with refused(Reason.KEY_WEAK):
        PublicKey.from_pem(pem)


@pytest.mark.parametrize("pem", [b"", b"nothing", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_pem_that_cannot_be_read_is_refused(pem: bytes) -> None:
    with refused(Reason.KEY_MALFORMED):
        PublicKey.from_pem(pem)


def test_a_private_pem_is_no_public_key() -> None:
    with refused(Reason.KEY_MALFORMED):
        PublicKey.from_pem(PrivateKey.generate().to_pem())


def test_the_thumbprint_of_ed25519_is_that_of_the_specification() -> None:
    # RFC 8037 A.3
    key = PublicKey.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    assert key.thumbprint() == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("algorithm", PUBLIC_KEY_ALGORITHMS, ids=name_of)
def test_the_thumbprint_is_of_the_point_and_not_of_its_names(algorithm: Algorithm) -> None:
    key, other = PRIVATE[name_of(algorithm)].public_key, private_key(algorithm, OTHER_RSA).public_key
    renamed = key.with_kid("other")
    assert renamed.thumbprint() == key.thumbprint() != other.thumbprint()
    assert renamed.same_key(key)
    assert renamed != key
    assert renamed.with_kid(None) == key
    assert not key.same_key(other)
    assert key != other


def test_a_key_shows_its_algorithm_and_kid_only() -> None:
    assert repr(PublicKey.from_jwk({**EC_KEY, "kid": "a"})) == "PublicKey(ES256, kid='a')"


SIZES = {"P-256": 32, "P-384": 48, "P-521": 66}
PRIMES = {"P-384": 2**384 - 2**128 - 2**96 + 2**32 - 1, "P-521": 2**521 - 1, "P-256": P256_PRIME}


@pytest.mark.parametrize("name", ["ES256", "ES384", "ES512"])
def test_coordinates_have_the_length_of_their_curve(name: str) -> None:
    """CR-16: 66 bytes for P-521, leading zeros included, and nothing at or above the prime."""
    jwk = PRIVATE[name].public_key.to_jwk()
    size, prime = SIZES[jwk["crv"]], PRIMES[jwk["crv"]]
    x = b64url_decode(jwk["x"], "x")
    assert len(x) == size
    wrong = [x[1:], b"\0" + x, x + b"\0", b"", x[:32] + b"\0", prime.to_bytes(size, "big"), b"\xff" * size]
    for changed in (each for each in wrong if each != x):
        with refused(Reason.KEY_MALFORMED):
            PublicKey.from_jwk({**jwk, "x": b64url_encode(changed)})
        with refused(Reason.KEY_MALFORMED):
            PublicKey.from_jwk({**jwk, "y": b64url_encode(changed)})


def test_a_key_is_not_handed_to_another_algorithm() -> None:
    """CR-04, CR-09: not even by its own constructor."""
    key = PRIVATE["PS256"].public_key
    for algorithm in (ES256, EDDSA, HS256):
        with refused(Reason.ALGORITHM_MISMATCH):
            dataclasses.replace(key, algorithm=algorithm)


def test_the_thumbprint_of_rsa_is_that_of_the_specification() -> None:
    # RFC 7638 §3.1
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
        "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA"
        "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
        "kEgU8awapJzKnqDKgw"
    )
    key = PublicKey.from_jwk({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"})
    assert key.thumbprint() == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
