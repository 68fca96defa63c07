from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from tests.keys.pool import PRIVATE
from tests.refusals import refused
from wimse.errors import Reason
from wimse.keys import (
    EDDSA,
    ES256,
    HS256,
    PS384,
    RS512,
    PrivateKey,
    PublicKey,
    SecretKey,
    load_keys,
    load_private_key,
    load_public_keys,
    load_signing_key,
    load_verification_keys,
)

ONE = PrivateKey.generate(kid="one")
TWO = PrivateKey.generate(EDDSA, kid="two")


UNSUPPORTED_PEM = ec.generate_private_key(ec.SECP256K1()).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


def as_json(document: object) -> bytes:
    return json.dumps(document).encode()


def test_a_private_jwk_is_read() -> None:
    (key,) = load_keys(as_json(ONE.to_jwk()))
    assert isinstance(key, PrivateKey)
    assert key.to_jwk() == ONE.to_jwk()
    assert load_private_key(as_json(ONE.to_jwk())).to_jwk() == ONE.to_jwk()


def test_a_set_of_public_and_private_keys_is_read() -> None:
    data = as_json({"keys": [ONE.to_jwk(), TWO.public_key.to_jwk()]})
    assert [type(key) for key in load_keys(data)] == [PrivateKey, PublicKey]
    assert load_public_keys(data) == [ONE.public_key, TWO.public_key]


def test_pem_is_read_whatever_stands_before_it() -> None:
    assert load_private_key(b"\n " + ONE.to_pem()).public_key.same_key(ONE.public_key)
    (key,) = load_public_keys(TWO.public_key.to_pem())
    assert key.same_key(TWO.public_key)


def test_every_key_of_a_pem_file_is_read() -> None:
    keys = load_keys(ONE.to_pem() + TWO.public_key.to_pem())
    assert [type(key) for key in keys] == [PrivateKey, PublicKey]
    assert load_public_keys(ONE.to_pem() + TWO.to_pem())[1].same_key(TWO.public_key)


@pytest.mark.parametrize(
    "data",
    [
        as_json(ONE.public_key.to_jwk()),
        ONE.public_key.to_pem(),
        as_json({"keys": [ONE.to_jwk(), TWO.to_jwk()]}),
        as_json({"keys": [ONE.public_key.to_jwk()]}),
        ONE.to_pem() + TWO.to_pem(),
    ],
)
def test_a_private_key_file_holds_exactly_one(data: bytes) -> None:
    with refused(Reason.KEY_MALFORMED):
        load_private_key(data)


@pytest.mark.parametrize("keys", [[], None, {}, "a", [1], [ONE.to_jwk(), []]])
def test_a_set_is_a_list_of_at_least_one_jwk(keys: object) -> None:
    with refused(Reason.KEY_MALFORMED):
        load_keys(as_json({"keys": keys}))


@pytest.mark.parametrize(
    "data",
    [
        b"-----BEGIN",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ],
)
def test_pem_without_a_readable_key_is_refused(data: bytes) -> None:
    with refused(Reason.KEY_MALFORMED):
        load_keys(data)


def test_an_encrypted_pem_is_refused() -> None:
    locked = serialization.BestAvailableEncryption(b"secret")
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked
    )
    with refused(Reason.KEY_MALFORMED):
        load_keys(pem)


def test_the_first_bad_key_gives_the_reason() -> None:
    with refused(Reason.KEY_MALFORMED):
        load_keys(as_json({"keys": [ONE.to_jwk(), {**TWO.to_jwk(), "x": "AA"}]}))
    with refused(Reason.KEY_PRIVATE):  # a private member that is not d
        load_keys(as_json({**ONE.public_key.to_jwk(), "k": "AA"}))
    with refused(Reason.JSON_MALFORMED):
        load_keys(b"not a key")


def test_keys_of_unsupported_types_are_left_out_of_a_set_but_not_all_of_them() -> None:
    unsupported = [
        {"kty": "EC", "crv": "P-192", "d": "AA"},
        {"kty": "RSA", "alg": "RSA-OAEP"},
        {"kty": "RSA", "alg": "PS256", "use": "enc"},
        {"kty": "oct", "alg": "A128KW"},
        {},
    ]
    (key,) = load_keys(as_json({"keys": [*unsupported, {"kty": "RSA"}, {"kty": "oct"}, ONE.to_jwk()]}))
    assert isinstance(key, PrivateKey)
    with refused(Reason.KEY_UNSUPPORTED):
        load_keys(as_json({"keys": unsupported}))
    with refused(Reason.ALGORITHM_MISSING):
        load_keys(as_json({"keys": [*unsupported, {"kty": "RSA"}, {"kty": "oct"}]}))
    for alone, reason in zip(
        unsupported,
        [Reason.KEY_UNSUPPORTED, Reason.ALGORITHM_NOT_ALLOWED, Reason.KEY_MALFORMED, Reason.ALGORITHM_NOT_ALLOWED],
        strict=False,
    ):
        with refused(reason):  # alone it is not left out
            load_keys(as_json(alone))
    with refused(Reason.ALGORITHM_MISSING):
        load_keys(as_json({"kty": "RSA"}))


RSA_JWK = {name: value for name, value in PRIVATE["PS256"].to_jwk().items() if name != "alg"}


def test_an_rsa_key_is_for_what_it_or_the_caller_says() -> None:
    """RF-16: and both must agree."""
    for data in (as_json(RSA_JWK), PRIVATE["PS256"].to_pem(), PRIVATE["PS256"].public_key.to_pem()):
        with refused(Reason.ALGORITHM_MISSING):
            load_keys(data)
        for wrong in (ES256, HS256):
            with refused(Reason.ALGORITHM_MISMATCH):
                load_keys(data, algorithm=wrong)
        (key,) = load_public_keys(data, algorithm=RS512)
        assert key.algorithm is RS512
    assert load_private_key(as_json({**RSA_JWK, "alg": "PS384"})).algorithm is PS384
    with refused(Reason.ALGORITHM_MISMATCH):
        load_private_key(as_json({**RSA_JWK, "alg": "PS384"}), algorithm=RS512)


def test_among_several_keys_each_keeps_what_it_says() -> None:
    said = {**RSA_JWK, "alg": "PS384"}
    files = [
        as_json({"keys": [ONE.to_jwk(), RSA_JWK, said]}),
        ONE.to_pem() + PRIVATE["PS256"].to_pem(),
    ]
    for data in files:
        assert [key.algorithm for key in load_keys(data)][:1] == [ES256]
        assert [key.algorithm for key in load_keys(data, algorithm=RS512)][:2] == [ES256, RS512]
        assert [key.algorithm for key in load_keys(data, algorithm=EDDSA)][:1] == [ES256]
    assert [key.algorithm for key in load_keys(files[0])] == [ES256, PS384]
    assert len(load_keys(files[1])) == 1
    with refused(Reason.ALGORITHM_MISSING):
        load_keys(PRIVATE["PS256"].to_pem() * 2)
    with refused(Reason.KEY_UNSUPPORTED):
        load_keys(ONE.to_pem() + UNSUPPORTED_PEM)


def test_a_secret_is_a_key_of_its_own_kind() -> None:
    """CR-04: no file of public keys gives one, whatever the caller asks for."""
    secret = SecretKey.generate(HS256, kid="s")
    data = as_json(secret.to_jwk())
    assert load_keys(data) == load_verification_keys(data) == [secret]
    assert load_signing_key(data) == secret
    with refused(Reason.KEY_PRIVATE):
        load_public_keys(data)
    with refused(Reason.KEY_MALFORMED):
        load_private_key(data)
    both = as_json({"keys": [secret.to_jwk(), ONE.to_jwk()]})
    assert load_public_keys(both) == [ONE.public_key]
    assert load_verification_keys(both) == [secret, ONE.public_key]
    for public in (ONE.public_key.to_pem(), as_json(ONE.public_key.to_jwk()), PRIVATE["PS256"].public_key.to_pem()):
        with refused(Reason.ALGORITHM_MISMATCH):
            load_verification_keys(public, algorithm=HS256)


def test_the_limit_of_size_is_exact() -> None:
    data = as_json(ONE.to_jwk())
    assert load_keys(data.ljust(1_048_576))
    with refused(Reason.DOCUMENT_TOO_LARGE):
        load_keys(data.ljust(1_048_577))
    with refused(Reason.DOCUMENT_TOO_LARGE):
        load_keys(ONE.to_pem().ljust(1_048_577))


def test_a_key_that_the_library_fails_on_is_refused_like_any_other() -> None:
    """Found by fuzzing: an X448 key of 32 bytes, for which the library has an error of its own kind."""
    body = b"MC4CAQAwBQYDK2VvBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF"
    pem = b"-----BEGIN PRIVATE KEY-----\n" + body + b"\n-----END PRIVATE KEY-----\n"
    with refused(Reason.KEY_MALFORMED):
        load_keys(pem)
