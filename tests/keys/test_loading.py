from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.refusals import refused
from wimse.errors import Reason
from wimse.keys import EDDSA, PrivateKey, PublicKey, load_keys, load_private_key, load_public_keys

ONE = PrivateKey.generate(kid="one")
TWO = PrivateKey.generate(EDDSA, kid="two")


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
        load_keys(as_json({"kty": "oct", "k": "AA"}))
    with refused(Reason.JSON_MALFORMED):
        load_keys(b"not a key")


def test_keys_of_unsupported_types_are_left_out_of_a_set_but_not_all_of_them() -> None:
    (key,) = load_keys(as_json({"keys": [{"kty": "RSA"}, ONE.to_jwk(), {"kty": "EC", "crv": "P-384", "d": "AA"}]}))
    assert isinstance(key, PrivateKey)
    with refused(Reason.KEY_UNSUPPORTED):
        load_keys(as_json({"keys": [{"kty": "RSA"}, {}]}))
    with refused(Reason.KEY_UNSUPPORTED):  # alone it is not left out
        load_keys(as_json({"kty": "RSA"}))


def test_the_limit_of_size_is_exact() -> None:
    data = as_json(ONE.to_jwk())
    assert load_keys(data.ljust(1_048_576))
    with refused(Reason.DOCUMENT_TOO_LARGE):
        load_keys(data.ljust(1_048_577))
    with refused(Reason.DOCUMENT_TOO_LARGE):
        load_keys(ONE.to_pem().ljust(1_048_577))
