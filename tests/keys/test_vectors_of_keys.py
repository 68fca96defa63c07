from __future__ import annotations

import json
from typing import Any

import pytest

from tests import vectors
from wimse.keys import (
    PrivateKey,
    PublicKey,
    SecretKey,
    algorithm_named,
    load_signing_key,
    load_verification_keys,
)

CASES = vectors.cases("keys")
PAIRS = {name: case for name, case in CASES.items() if "public_pem" in case}


def test_nothing_is_unsupported() -> None:
    assert [name for name, case in CASES.items() if not case["algorithm_supported"]] == []


@pytest.mark.parametrize("case", PAIRS.values(), ids=PAIRS)
def test_a_key_reads_the_same_from_jwk_and_from_pem(case: dict[str, Any]) -> None:
    algorithm = algorithm_named(case["algorithms"][0])
    private = PrivateKey.from_jwk(case["jwk"], algorithm=algorithm)
    assert private.algorithm.jose_name == case["expected"]["jose_algorithm"]
    assert [private.algorithm.http_name] == case["algorithms"]
    assert PublicKey.from_pem(case["public_pem"].encode(), algorithm=algorithm).same_key(private.public_key)
    assert {**private.to_jwk(), "alg": None} == {**case["jwk"], "alg": None}
    for data in (case["private_pem"].encode(), json.dumps(case["jwk"]).encode()):
        loaded = load_signing_key(data, algorithm=algorithm)
        assert isinstance(loaded, PrivateKey)
        assert loaded.public_key.same_key(private.public_key)


def test_the_shared_secret_is_one() -> None:
    case = next(case for case in CASES.values() if case["jwk"]["kty"] == "oct")
    algorithm = algorithm_named(case["algorithms"][0])
    (key,) = load_verification_keys(json.dumps(case["jwk"]).encode(), algorithm=algorithm)
    assert isinstance(key, SecretKey)
    assert key.algorithm.jose_name == case["expected"]["jose_algorithm"]
    assert {**key.to_jwk(), "alg": None} == {**case["jwk"], "alg": None}
