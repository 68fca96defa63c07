from __future__ import annotations

import copy
import pickle

import pytest

from tests.refusals import refused
from wimse import keys
from wimse.errors import Reason
from wimse.keys import (
    ALGORITHMS,
    ED448,
    EDDSA,
    ES256,
    ES384,
    ES512,
    HS256,
    HS384,
    HS512,
    PS256,
    PS384,
    PS512,
    PUBLIC_KEY_ALGORITHMS,
    RS256,
    RS384,
    RS512,
    Algorithm,
    algorithm_named,
)
from wimse.keys.algorithms import (
    algorithm_of_http_name,
    algorithm_of_jose_name,
    algorithm_of_key,
    algorithm_of_parts,
)

NAMES = {
    "ES256": ES256,
    "ES384": ES384,
    "ES512": ES512,
    "EdDSA": EDDSA,
    "Ed25519": EDDSA,
    "Ed448": ED448,
    "PS256": PS256,
    "PS384": PS384,
    "PS512": PS512,
    "RS256": RS256,
    "RS384": RS384,
    "RS512": RS512,
    "HS256": HS256,
    "HS384": HS384,
    "HS512": HS512,
}
# RFC 9421 §6.2.2, and the sections that define them
REGISTRY = {
    "rsa-pss-sha512": PS512,
    "rsa-v1_5-sha256": RS256,
    "hmac-sha256": HS256,
    "ecdsa-p256-sha256": ES256,
    "ecdsa-p384-sha384": ES384,
    "ed25519": EDDSA,
}


@pytest.mark.parametrize(("name", "algorithm"), [*NAMES.items(), *REGISTRY.items()])
def test_every_registry_name_finds_its_algorithm(name: str, algorithm: Algorithm) -> None:
    assert algorithm_named(name) is algorithm


def test_the_table_is_complete_and_has_no_more() -> None:
    assert set(NAMES.values()) == set(ALGORITHMS)
    assert {each.http_name: each for each in ALGORITHMS if each.http_name is not None} == REGISTRY
    assert [each for each in ALGORITHMS if each not in PUBLIC_KEY_ALGORITHMS] == [HS256, HS384, HS512]
    assert all(each.symmetric == (each in (HS256, HS384, HS512)) for each in ALGORITHMS)


PROHIBITED = ["none", "None", "NONE", "RS1", "HS1", "RSA-OAEP", "ECDH-ES", "A128KW", "dir", "ES256K", "HS256/64"]


@pytest.mark.parametrize("name", [*PROHIBITED, "", "es256", "eddsa", "ED25519", "ed448", "PS1", "rsa-pss-sha256"])
def test_no_other_name_is_an_algorithm(name: str) -> None:
    """CR-07, CR-08, RF-18: none, what is prohibited, and what is for encryption are not in the table."""
    with refused(Reason.ALGORITHM_NOT_ALLOWED):
        algorithm_named(name)
    assert algorithm_of_jose_name(name) is None
    assert algorithm_of_http_name(name) is None


@pytest.mark.parametrize("name", [None, 1, True, [], {}, ["ES256"]])
def test_what_is_no_string_names_no_algorithm(name: object) -> None:
    assert algorithm_of_jose_name(name) is None
    assert algorithm_of_http_name(name) is None
    assert algorithm_of_key(name, "P-256") is None
    assert algorithm_of_key("EC", name) is None
    assert not any(each.has_jose_name(name) for each in ALGORITHMS)


def test_each_registry_is_kept_apart() -> None:
    for http_name, algorithm in REGISTRY.items():
        assert algorithm_of_jose_name(http_name) is None
        assert algorithm_of_http_name(http_name) is algorithm
        assert algorithm_of_http_name(algorithm.jose_name) is None
    assert algorithm_of_http_name(None) is None  # which is the http_name of those that have none


def test_a_name_of_two_algorithms_is_one_of_each() -> None:
    assert EDDSA.has_jose_name("EdDSA")
    assert EDDSA.has_jose_name("Ed25519")
    assert not EDDSA.has_jose_name("Ed448")
    assert ED448.has_jose_name("EdDSA")
    assert ED448.has_jose_name("Ed448")
    assert not ED448.has_jose_name("Ed25519")


def test_a_type_and_a_curve_decide() -> None:
    curves = {("EC", "P-256"): ES256, ("EC", "P-384"): ES384, ("EC", "P-521"): ES512}
    edwards = {("OKP", "Ed25519"): EDDSA, ("OKP", "Ed448"): ED448}
    for (key_type, curve), algorithm in (curves | edwards).items():
        assert algorithm_of_key(key_type, curve) is algorithm
        assert algorithm.decided_by_key
    for key_type, curve in (("OKP", "P-256"), ("EC", "Ed25519"), ("RSA", ""), ("oct", ""), ("OKP", "X25519")):
        assert algorithm_of_key(key_type, curve) is None


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda each: each.jose_names[-1])
def test_a_copy_of_an_algorithm_is_the_algorithm(algorithm: Algorithm) -> None:
    assert pickle.loads(pickle.dumps(algorithm)) is algorithm
    assert copy.deepcopy(algorithm) is copy.copy(algorithm) is algorithm


def test_lengths() -> None:
    # RFC 7518 §3.2, §3.4; RFC 8032 §5.1.6, §5.2.6
    lengths = {"ES256": 64, "ES384": 96, "ES512": 132, "Ed25519": 64, "Ed448": 114}
    secrets = {"HS256": 32, "HS384": 48, "HS512": 64}
    for name, algorithm in NAMES.items():
        assert algorithm.signature_bytes == {**lengths, **secrets, "EdDSA": 64}.get(name)
        if algorithm.symmetric:
            assert algorithm.hash_bytes == algorithm.signature_bytes
    assert EDDSA.hash_bytes == 0


def settle(key_type: str, curve: str | None, said: object, chosen: Algorithm | None) -> Algorithm:
    return algorithm_of_parts(key_type, curve, said=said, chosen=chosen)


def test_all_that_say_something_agree() -> None:
    for said in (None, "ES256"):
        for chosen in (None, ES256):
            assert settle("EC", "P-256", said, chosen) is ES256
    assert settle("OKP", "Ed448", "EdDSA", ED448) is ED448
    for said, chosen in ((None, PS384), ("PS384", None), ("PS384", PS384)):
        assert settle("RSA", None, said, chosen) is PS384
    assert settle("oct", None, "HS512", HS512) is HS512


@pytest.mark.parametrize(
    ("key_type", "curve", "said", "chosen"),
    [
        ("EC", "P-256", "ES384", None),
        ("EC", "P-384", "ES256", None),
        ("EC", "P-256", None, ES384),
        ("EC", "P-256", "ES256", ES384),
        ("EC", "P-256", None, HS256),
        ("OKP", "Ed448", "Ed25519", None),
        ("OKP", "Ed448", "EdDSA", EDDSA),
        ("RSA", None, "PS256", RS256),
        ("RSA", None, "RS256", PS256),
        ("RSA", None, "ES256", None),
        ("RSA", None, "HS256", None),
        ("RSA", None, None, HS256),
        ("RSA", None, None, EDDSA),
        ("oct", None, "HS256", HS512),
        ("oct", None, "RS256", None),
        ("oct", None, None, PS512),
    ],
)
def test_whatever_does_not_agree_is_refused(
    key_type: str, curve: str | None, said: object, chosen: Algorithm | None
) -> None:
    """CR-03, CR-04, CR-09, CR-15, RF-15, RF-16: key, configuration and curve must agree."""
    with refused(Reason.ALGORITHM_MISMATCH):
        settle(key_type, curve, said, chosen)


@pytest.mark.parametrize("said", ["RS1", "HS1", "none", "", "RSA-OAEP", 1, [], {}])
def test_an_unknown_alg_of_a_key_that_needs_one_is_refused(said: object) -> None:
    """CR-07, CR-08"""
    for key_type in ("RSA", "oct"):
        with refused(Reason.ALGORITHM_NOT_ALLOWED):
            settle(key_type, None, said, None)


def test_nothing_is_guessed() -> None:
    for key_type in ("RSA", "oct"):
        with refused(Reason.ALGORITHM_MISSING):
            settle(key_type, None, None, None)
    for key_type, curve in (("EC", None), ("OKP", "X25519"), ("", None), ("rsa", None)):
        with refused(Reason.KEY_UNSUPPORTED):
            settle(key_type, curve, None, RS256)


def test_the_exported_names_exist() -> None:
    assert all(hasattr(keys, name) for name in keys.__all__)
