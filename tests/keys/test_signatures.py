"""Signatures that libraries have taken wrongly before; the cases follow Wycheproof's."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import utils

from tests.refusals import refused
from wimse.errors import Reason
from wimse.keys import EDDSA, PrivateKey, PublicKey, b64url_encode

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
L = 2**252 + 27742317777372353535851937790883648493
DATA = b"what was signed"
EC = PrivateKey.generate()
ED = PrivateKey.generate(EDDSA)
EC_SIGNATURE = EC.sign(DATA)
ED_SIGNATURE = ED.sign(DATA)
R, S = int.from_bytes(EC_SIGNATURE[:32], "big"), int.from_bytes(EC_SIGNATURE[32:], "big")


def raw(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@pytest.mark.parametrize(
    ("r", "s"),
    [
        (0, 0),
        (0, S),
        (R, 0),
        (N, S),
        (R, N),
        (N, N),
        (N + 1, S),
        (R, N + 1),
        (1, 1),
        (0, 1),
        (1, 0),
        (N - 1, N - 1),
        (2**256 - 1, 2**256 - 1),
        (N, 0),
        (0, N),
        (S, R),
        (N - R, S),
    ],
)
def test_ecdsa_numbers_out_of_range_or_place_are_refused(r: int, s: int) -> None:
    """CR-12: the psychic signatures of CVE-2022-21449."""
    for data in (DATA, b""):
        with refused(Reason.SIGNATURE_INVALID):
            EC.public_key.verify(raw(r, s), data)


def test_the_other_s_verifies_and_every_other_twin_is_refused() -> None:
    # Either s is valid by FIPS 186-5; replay is told by the nonce, never by the bytes of the signature.
    EC.public_key.verify(raw(R, N - S), DATA)
    EC.public_key.verify(EC_SIGNATURE, DATA)
    if S + N < 2**256:
        with refused(Reason.SIGNATURE_INVALID):
            EC.public_key.verify(raw(R, S + N), DATA)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        EC_SIGNATURE[:-1],
        EC_SIGNATURE + b"\0",
        b"\0" + EC_SIGNATURE,
        EC_SIGNATURE[:32] + b"\0" + EC_SIGNATURE[32:],
        b"\0" + EC_SIGNATURE[:32] + b"\0" + EC_SIGNATURE[32:],
        EC_SIGNATURE * 2,
        utils.encode_dss_signature(R, S),
        utils.encode_dss_signature(R, S)[:64],
        utils.encode_dss_signature(R, S).ljust(72, b"\0"),
    ],
)
def test_ecdsa_signatures_are_64_bytes_and_never_der(signature: bytes) -> None:
    """CR-13: 63, 65 and 66 bytes, DER, and bytes behind it."""
    with refused(Reason.SIGNATURE_INVALID):
        EC.public_key.verify(signature, DATA)


def test_a_der_signature_of_exactly_64_bytes_is_not_read_as_der() -> None:
    """CR-13: the one DER form that the length alone does not give away."""
    short = utils.encode_dss_signature(R >> 24, S >> 24)
    padded = short.ljust(64, b"\0")[:64]
    with refused(Reason.SIGNATURE_INVALID):
        EC.public_key.verify(padded, DATA)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        bytes(64),
        ED_SIGNATURE[:-1],
        ED_SIGNATURE + b"\0",
        b"\0" + ED_SIGNATURE,
        ED_SIGNATURE[32:] + ED_SIGNATURE[:32],
        ED_SIGNATURE[:32] + (int.from_bytes(ED_SIGNATURE[32:], "little") + L).to_bytes(32, "little"),
        ED_SIGNATURE[:32] + L.to_bytes(32, "little"),
        ED_SIGNATURE[:32] + bytes(32),
        b"\1" + bytes(63),
        bytes(32) + ED_SIGNATURE[32:],
        b"\xff" * 64,
    ],
)
def test_eddsa_signatures_that_are_not_canonical_are_refused(signature: bytes) -> None:
    """CR-18: S of at least L, bytes too many, a byte too few."""
    with refused(Reason.SIGNATURE_INVALID):
        ED.public_key.verify(signature, DATA)


@pytest.mark.parametrize(("key", "signature"), [(EC, EC_SIGNATURE), (ED, ED_SIGNATURE)], ids=["ES256", "EdDSA"])
def test_every_bit_of_a_signature_matters(key: PrivateKey, signature: bytes) -> None:
    for position in range(512):
        changed = bytearray(signature)
        changed[position // 8] ^= 1 << position % 8
        with refused(Reason.SIGNATURE_INVALID):
            key.public_key.verify(bytes(changed), DATA)


def test_a_signature_of_one_key_is_refused_by_every_other() -> None:
    """CR-03: the same length, another algorithm."""
    for key in (PrivateKey.generate(), ED):
        with refused(Reason.SIGNATURE_INVALID):
            key.public_key.verify(EC_SIGNATURE, DATA)
    for key in (PrivateKey.generate(EDDSA), EC):
        with refused(Reason.SIGNATURE_INVALID):
            key.public_key.verify(ED_SIGNATURE, DATA)


def test_two_signatures_of_one_message_both_verify() -> None:
    """CR-21: ECDSA is not deterministic here, so a verifier that signs again would refuse one of them."""
    first, second = EC.sign(DATA), EC.sign(DATA)
    assert first != second
    EC.public_key.verify(first, DATA)
    EC.public_key.verify(second, DATA)


def test_an_hmac_with_the_public_key_as_its_secret_is_no_signature() -> None:
    """CR-04: whatever form of the public key the attacker takes."""
    import hashlib
    import hmac
    import json

    for key in (EC.public_key, ED.public_key):
        for secret in (key.to_pem(), json.dumps(key.to_jwk()).encode(), key.thumbprint().encode()):
            mac = hmac.digest(secret, DATA, hashlib.sha256)
            for signature in (mac, mac * 2, hmac.digest(secret, DATA, hashlib.sha512)):
                with refused(Reason.SIGNATURE_INVALID):
                    key.verify(signature, DATA)


def test_another_key_of_the_same_type_does_not_take_over_a_signature() -> None:
    """CR-20: a key that was made to fit the victim's signature is another key, and says so."""
    other = PrivateKey.generate(EDDSA).public_key
    assert not other.same_key(ED.public_key)
    assert other.thumbprint() != ED.public_key.thumbprint()
    with refused(Reason.SIGNATURE_INVALID):
        other.verify(ED_SIGNATURE, DATA)


def test_a_wrong_point_sign_is_another_key() -> None:
    encoded = bytearray.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    key = PublicKey.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": b64url_encode(bytes(encoded))})
    # RFC 8032 §7.1, test 1
    signature = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    key.verify(signature, b"")
    encoded[31] ^= 0x80
    with refused(Reason.SIGNATURE_INVALID):
        PublicKey.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": b64url_encode(bytes(encoded))}).verify(signature, b"")
