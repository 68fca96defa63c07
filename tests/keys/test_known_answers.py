"""Known answers of specifications, and joserfc as a second witness of every algorithm."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from tests.keys.pool import EVERY
from wimse.keys import (
    ED448,
    HS256,
    HS384,
    HS512,
    Algorithm,
    PrivateKey,
    PublicKey,
    SecretKey,
    b64url_decode,
    b64url_encode,
)

KINDS: dict[str, Any] = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey, "oct": OctKey}


@pytest.mark.parametrize("name", EVERY)
def test_joserfc_takes_our_signatures_and_we_take_its(name: str) -> None:
    """CR-21: another library's signatures verify, and ours there, by every JWS algorithm."""
    key = EVERY[name]
    alg = key.algorithm.jose_name
    theirs = KINDS[key.algorithm.key_type].import_key(key.to_jwk())
    header = b64url_encode(json.dumps({"alg": alg}).encode())
    signing_input = f"{header}.{b64url_encode(b'payload')}".encode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of EdDSA, which RFC 9864 deprecates, and of HMAC
        made = f"{signing_input.decode()}.{b64url_encode(key.sign(signing_input))}"
        assert jws.deserialize_compact(made, theirs, algorithms=[alg]).payload == b"payload"
        token = jws.serialize_compact({"alg": alg}, b"payload", theirs, algorithms=[alg])
    signed, _, signature = token.rpartition(".")
    key.verification_key.verify(b64url_decode(signature, "it"), signed.encode())


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        (HS256, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
        (
            HS384,
            "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
        ),
        (
            HS512,
            (
                "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
                "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598"
            ),
        ),
    ],
    ids=["HS256", "HS384", "HS512"],
)
def test_hmac(algorithm: Algorithm, expected: str) -> None:
    # RFC 4231 §4.7
    key = SecretKey.from_bytes(b"\xaa" * 131, algorithm=algorithm)
    data = b"Test Using Larger Than Block-Size Key - Hash Key First"
    assert key.sign(data).hex() == expected
    key.verify(bytes.fromhex(expected), data)


def test_the_token_of_rfc_7515() -> None:
    # RFC 7515 A.1
    k = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
    signed = (
        b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        b"cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    )
    key = SecretKey.from_jwk({"kty": "oct", "k": k}, algorithm=HS256)
    assert b64url_encode(key.sign(signed)) == "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


def test_the_signature_of_rfc_8037() -> None:
    # RFC 8037 A.1, A.4
    key = PrivateKey.from_jwk(
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        }
    )
    assert b64url_encode(key.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc")) == (
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )


def test_the_signature_of_ed448() -> None:
    # RFC 8032 §7.4, "1 octet"
    secret = bytes.fromhex(
        "c4eab05d357007c632f3dbb48489924d552b08fe0c353a0d4a1f00acda2c463afbea67c5e8d2877c5e3bc397a659949ef8021e954e0a12274e"
    )
    public = bytes.fromhex(
        "43ba28f430cdff456ae531545f7ecd0ac834a55d9358c0372bfa0c6c6798c0866aea01eb00742802b8438ea4cb82169c235160627b4c3a9480"
    )
    signature = bytes.fromhex(
        "26b8f91727bd62897af15e41eb43c377efb9c610d48f2335cb0bd0087810f4352541b143c4b981b7e18f62de8ccdf633fc1bf037ab7cd779"
        "805e0dbcc0aae1cbcee1afb2e027df36bc04dcecbf154336c19f0af7e0a6472905e799f1953d2a0ff3348ab21aa4adafd1d234441cf807c0"
        "3a00"
    )
    jwk = {"kty": "OKP", "crv": "Ed448", "d": b64url_encode(secret), "x": b64url_encode(public)}
    key = PrivateKey.from_jwk(jwk)
    assert key.algorithm is ED448
    assert key.sign(b"\x03") == signature
    key.public_key.verify(signature, b"\x03")


def test_the_es512_token_of_rfc_7520() -> None:
    # RFC 7520 §3.1, §4.3
    key = PublicKey.from_jwk(
        {
            "kty": "EC",
            "kid": "bilbo.baggins@hobbiton.example",
            "use": "sig",
            "crv": "P-521",
            "x": "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt",
            "y": "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1",
        }
    )
    signed = (
        b"eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNz"
        b"LCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZm"
        b"VldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"
    )
    signature = (
        "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxX"
        "Pn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2"
    )
    key.verify(b64url_decode(signature, "it"), signed)
