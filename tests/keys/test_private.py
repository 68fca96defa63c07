from __future__ import annotations

import copy
import pickle

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, x25519

from tests.keys.pool import PRIVATE, name_of, private_key
from tests.refusals import refused
from wimse.errors import ConfigurationError, Reason
from wimse.keys import (
    EDDSA,
    ES256,
    HS256,
    PUBLIC_KEY_ALGORITHMS,
    RS256,
    Algorithm,
    PrivateKey,
    Signer,
    b64url_encode,
)

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
EACH = pytest.mark.parametrize("algorithm", PUBLIC_KEY_ALGORITHMS, ids=name_of)
CURVES = pytest.mark.parametrize(
    "algorithm", [each for each in PUBLIC_KEY_ALGORITHMS if each.decided_by_key], ids=name_of
)


@EACH
def test_a_generated_key_signs_what_its_public_half_verifies(algorithm: Algorithm) -> None:
    key = private_key(algorithm, kid="k")
    assert isinstance(key, Signer)
    assert (key.algorithm, key.kid, key.public_key.kid) == (algorithm, "k", "k")
    signature = key.sign(b"data")
    assert len(signature) == (algorithm.signature_bytes or 256)
    assert key.verification_key is key.public_key
    key.public_key.verify(signature, b"data")
    with refused(Reason.SIGNATURE_INVALID):
        key.public_key.verify(signature, b"Data")


def test_the_default_is_es256() -> None:
    assert PrivateKey.generate().algorithm is ES256  # WC-19: ES256 is supported by everybody


@EACH
def test_a_private_key_survives_every_format(algorithm: Algorithm) -> None:
    key = private_key(algorithm, kid="k")
    assert PrivateKey.from_jwk(key.to_jwk()).to_jwk() == key.to_jwk()
    assert PrivateKey.from_pem(key.to_pem(), kid="k", algorithm=algorithm).to_jwk() == key.to_jwk()
    assert PrivateKey.from_pkcs8_der(key.to_pkcs8_der(), kid="k", algorithm=algorithm).to_jwk() == key.to_jwk()
    assert key.with_kid("l").to_jwk() == {**key.to_jwk(), "kid": "l"}


def test_sec1_pem_is_read() -> None:
    key = PrivateKey.generate()
    sec1 = key.native.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    assert PrivateKey.from_pem(sec1).public_key.same_key(key.public_key)


@pytest.mark.parametrize("d", [None, 1, "", "AAAA", b64url_encode(bytes(31)), b64url_encode(bytes(67))])
@EACH
def test_a_jwk_without_a_proper_d_is_no_private_key(algorithm: Algorithm, d: object) -> None:
    with refused(Reason.KEY_MALFORMED):
        PrivateKey.from_jwk({**PRIVATE[name_of(algorithm)].to_jwk(), "d": d})


@pytest.mark.parametrize("d", [0, P256_ORDER, P256_ORDER + 1, 2**256 - 1])
def test_a_d_out_of_range_is_refused(d: int) -> None:
    with refused(Reason.KEY_MALFORMED):
        PrivateKey.from_jwk({**PrivateKey.generate().to_jwk(), "d": b64url_encode(d.to_bytes(32, "big"))})


@CURVES
def test_public_members_of_another_key_are_refused(algorithm: Algorithm) -> None:
    key, other = PrivateKey.generate(algorithm), PrivateKey.generate(algorithm)
    with refused(Reason.KEY_MISMATCH):
        PrivateKey.from_jwk({**key.to_jwk(), "d": other.to_jwk()["d"]})


def test_the_public_members_are_checked_as_those_of_a_public_key() -> None:
    with refused(Reason.ALGORITHM_MISMATCH):
        PrivateKey.from_jwk({**PrivateKey.generate().to_jwk(), "alg": "EdDSA"})
    with refused(Reason.KEY_UNSUPPORTED):
        PrivateKey.from_jwk({"kty": "oct", "k": "AA", "d": "AA"})


@pytest.mark.parametrize("data", [b"", b"x", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_bytes_that_hold_no_private_key_are_refused(data: bytes) -> None:
    with refused(Reason.KEY_MALFORMED):
        PrivateKey.from_pem(data)
    with refused(Reason.KEY_MALFORMED):
        PrivateKey.from_pkcs8_der(data)


def test_an_encrypted_key_is_refused() -> None:
    native = ed25519.Ed25519PrivateKey.generate()
    pkcs8, locked = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    with refused(Reason.KEY_MALFORMED):
        PrivateKey.from_pem(native.private_bytes(serialization.Encoding.PEM, pkcs8, locked))
    with refused(Reason.KEY_MALFORMED):
        PrivateKey.from_pkcs8_der(native.private_bytes(serialization.Encoding.DER, pkcs8, locked))


@pytest.mark.parametrize(
    "native",
    [
        ec.generate_private_key(ec.SECP256K1()),
        ec.generate_private_key(ec.BrainpoolP256R1()),
        dsa.generate_private_key(1024),
        x25519.X25519PrivateKey.generate(),
    ],
    ids=["secp256k1", "brainpool", "dsa", "x25519"],
)
def test_another_type_or_curve_is_unsupported(native: ec.EllipticCurvePrivateKey) -> None:
    """CR-15, CR-19"""
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    for algorithm in (None, ES256, RS256):
        with refused(Reason.KEY_UNSUPPORTED):
            PrivateKey.from_pem(native.private_bytes(serialization.Encoding.PEM, pkcs8, plain), algorithm=algorithm)
        with refused(Reason.KEY_UNSUPPORTED):
            PrivateKey.from_pkcs8_der(
                native.private_bytes(serialization.Encoding.DER, pkcs8, plain), algorithm=algorithm
            )


def test_a_private_key_is_not_generated_for_a_shared_secret() -> None:
    with pytest.raises(ConfigurationError):
        PrivateKey.generate(HS256)


@CURVES
def test_a_key_is_for_the_algorithm_of_its_curve_only(algorithm: Algorithm) -> None:
    """CR-03, CR-15"""
    key = PRIVATE[name_of(algorithm)]
    for other in PUBLIC_KEY_ALGORITHMS:
        if other is algorithm:
            continue
        with refused(Reason.ALGORITHM_MISMATCH):
            PrivateKey(key.native, algorithm=other)
        with refused(Reason.ALGORITHM_MISMATCH):
            PrivateKey.from_jwk(key.to_jwk(), algorithm=other)
        with refused(Reason.ALGORITHM_MISMATCH):
            PrivateKey.from_pem(key.to_pem(), algorithm=other)


@EACH
def test_a_private_key_does_not_show_itself(algorithm: Algorithm) -> None:
    """WC-45: neither in a log, nor in a pickle, nor in a copy that is made through one."""
    key = private_key(algorithm, kid="k")
    shown = repr(key) + str(key) + repr([key])
    assert repr(key) == f"PrivateKey({algorithm.jose_name}, kid='k')"
    assert key.to_jwk()["d"] not in shown
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)
    with pytest.raises(TypeError, match="not pickled"):
        copy.copy(key)
    assert not hasattr(key, "__dict__")


def test_eddsa_signatures_are_those_of_the_specification() -> None:
    # RFC 8032 §7.1, test 2
    key = PrivateKey.from_jwk(
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw",
            "d": "TM0Imyj_ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U-4pvs",
        }
    )
    assert key.algorithm is EDDSA
    assert key.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
