from __future__ import annotations

import pytest

from tests.refusals import refused
from wimse import keys
from wimse.errors import Reason
from wimse.keys import ALGORITHMS, EDDSA, ES256, Algorithm, algorithm_named
from wimse.keys.algorithms import algorithm_of_http_name, algorithm_of_jose_name, algorithm_of_key


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("ES256", ES256),
        ("ecdsa-p256-sha256", ES256),
        ("EdDSA", EDDSA),
        ("Ed25519", EDDSA),
        ("ed25519", EDDSA),
    ],
)
def test_every_registry_name_finds_its_algorithm(name: str, algorithm: Algorithm) -> None:
    assert algorithm_named(name) is algorithm


@pytest.mark.parametrize(
    "name",
    ["", "none", "None", "HS256", "hmac-sha256", "RS1", "HS1", "ES256K", "es256", "ES384", "eddsa", "ED25519", "Ed448"],
)
def test_no_other_name_is_an_algorithm(name: str) -> None:
    """CR-08, RF-18: none, the symmetric and the prohibited ones are not in the table."""
    with refused(Reason.ALGORITHM_NOT_ALLOWED):
        algorithm_named(name)


@pytest.mark.parametrize("name", [None, 1, True, [], {}, ["ES256"]])
def test_what_is_no_string_names_no_algorithm(name: object) -> None:
    assert algorithm_of_jose_name(name) is None
    assert algorithm_of_http_name(name) is None
    assert algorithm_of_key(name, "P-256") is None
    assert algorithm_of_key("EC", name) is None


def test_each_registry_is_kept_apart() -> None:
    assert algorithm_of_jose_name("ecdsa-p256-sha256") is None
    assert algorithm_of_http_name("ES256") is None
    assert algorithm_of_jose_name("Ed25519") is EDDSA
    assert algorithm_of_http_name("ed25519") is EDDSA


def test_the_table_finds_an_algorithm_by_type_and_curve() -> None:
    assert [algorithm_of_key(each.key_type, each.curve) for each in ALGORITHMS] == [ES256, EDDSA]
    assert algorithm_of_key("OKP", "P-256") is None


def test_the_exported_names_exist() -> None:
    assert all(hasattr(keys, name) for name in keys.__all__)
