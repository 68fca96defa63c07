from __future__ import annotations

import copy
import hashlib
import hmac
import json
import pickle

import pytest

from tests.keys.pool import PRIVATE, SECRET
from tests.refusals import refused
from wimse.errors import ConfigurationError, Reason
from wimse.keys import ES256, HS256, HS384, HS512, RS256, Algorithm, PrivateKey, PublicKey, SecretKey, b64url_encode

EACH = pytest.mark.parametrize("algorithm", [HS256, HS384, HS512], ids=lambda each: each.jose_name)
DATA = b"what was signed"


@EACH
def test_a_secret_signs_and_verifies(algorithm: Algorithm) -> None:
    key = SecretKey.generate(algorithm, kid="k")
    assert (key.algorithm, key.kid, key.verification_key) == (algorithm, "k", key)
    mac = key.sign(DATA)
    assert mac == hmac.digest(SecretKey.from_jwk(key.to_jwk())._secret, DATA, algorithm.hash_name or "")
    key.verify(mac, DATA)
    for wrong in (b"", mac[:-1], mac + b"\0", mac[:16], bytes(len(mac)), mac[::-1]):
        with refused(Reason.SIGNATURE_INVALID):
            key.verify(wrong, DATA)
    with refused(Reason.SIGNATURE_INVALID):
        key.verify(mac, DATA + b"\0")
    with refused(Reason.SIGNATURE_INVALID):
        SecretKey.generate(algorithm).verify(mac, DATA)


@EACH
def test_a_secret_is_at_least_as_long_as_the_hash(algorithm: Algorithm) -> None:
    # RFC 7518 §3.2
    size = algorithm.hash_bytes
    assert SecretKey.from_bytes(bytes(size), algorithm=algorithm).sign(b"")
    for shorter in (0, 1, size - 1):
        with refused(Reason.KEY_WEAK):
            SecretKey.from_bytes(bytes(shorter), algorithm=algorithm)
        with refused(Reason.KEY_WEAK):
            SecretKey.from_jwk({"kty": "oct", "k": b64url_encode(bytes(shorter))}, algorithm=algorithm)


def test_two_new_secrets_are_two() -> None:
    for algorithm in (HS256, HS384, HS512):
        one = SecretKey.generate(algorithm)
        assert len(one._secret) == algorithm.hash_bytes
        assert not one.same_key(SecretKey.generate(algorithm))
    with pytest.raises(ConfigurationError):
        SecretKey.generate(ES256)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kty": "RSA"}, Reason.KEY_UNSUPPORTED),
        ({"kty": None}, Reason.KEY_UNSUPPORTED),
        ({"kty": "OCT"}, Reason.KEY_UNSUPPORTED),
        ({"k": None}, Reason.KEY_MALFORMED),
        ({"k": ["a"]}, Reason.KEY_MALFORMED),
        ({"k": "AA=="}, Reason.BASE64_MALFORMED),
        ({"kid": 1}, Reason.KEY_MALFORMED),
        ({"alg": "RS256"}, Reason.ALGORITHM_MISMATCH),
        ({"alg": "none"}, Reason.ALGORITHM_NOT_ALLOWED),
        ({"alg": "HS1"}, Reason.ALGORITHM_NOT_ALLOWED),
        ({"alg": None}, Reason.ALGORITHM_NOT_ALLOWED),
    ],
)
def test_a_malformed_secret_is_refused(change: dict[str, object], reason: Reason) -> None:
    """CR-08: none and HS1 among them."""
    with refused(reason):
        SecretKey.from_jwk({**SECRET["HS256"].to_jwk(), **change})


def test_the_algorithm_is_said_and_agreed() -> None:
    jwk = {name: value for name, value in SECRET["HS512"].to_jwk().items() if name != "alg"}
    with refused(Reason.ALGORITHM_MISSING):
        SecretKey.from_jwk(jwk)
    assert SecretKey.from_jwk(jwk, algorithm=HS384).algorithm is HS384
    for algorithm in (HS384, RS256):
        with refused(Reason.ALGORITHM_MISMATCH):
            SecretKey.from_jwk(SECRET["HS512"].to_jwk(), algorithm=algorithm)
    with refused(Reason.ALGORITHM_MISMATCH):
        SecretKey.from_bytes(bytes(64), algorithm=ES256)


def test_secrets_are_compared_by_what_they_are() -> None:
    key = SecretKey.generate(kid="a")
    same = SecretKey.from_jwk(key.to_jwk())
    assert key == same
    assert hash(key) == hash(same)
    assert key != key.with_kid("b")
    assert key.same_key(key.with_kid(None))
    assert "kid" not in key.with_kid(None).to_jwk()
    assert key != SecretKey.generate(kid="a")
    assert key != key.to_jwk()
    longer = SecretKey.from_bytes(bytes(64), algorithm=HS256)
    assert not longer.same_key(SecretKey.from_bytes(bytes(64), algorithm=HS512))


def test_a_secret_does_not_show_itself() -> None:
    key = SecretKey.generate(kid="k")
    assert repr(key) == str(key) == "SecretKey(HS256, kid='k')"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(key)
    for absent in ("__dict__", "public_key", "thumbprint", "to_pem", "native"):
        assert not hasattr(key, absent)


@pytest.mark.parametrize("key", PRIVATE.values(), ids=PRIVATE)
def test_no_form_of_a_public_key_is_taken_for_a_secret(key: PrivateKey) -> None:
    """CR-04: neither by its class, nor as a JWK or PEM of its own, nor by its verifier."""
    public = key.public_key
    with refused(Reason.KEY_UNSUPPORTED):
        SecretKey.from_jwk(public.to_jwk(), algorithm=HS256)
    for secret in (public.to_pem(), json.dumps(public.to_jwk()).encode(), public.thumbprint().encode()):
        jwk = {"kty": "oct", "k": b64url_encode(secret), "alg": "HS256"}
        with refused(Reason.KEY_PRIVATE):
            PublicKey.from_jwk(jwk)
        for digest in (hashlib.sha256, hashlib.sha384, hashlib.sha512):
            with refused(Reason.SIGNATURE_INVALID):
                public.verify(hmac.digest(secret, DATA, digest), DATA)
