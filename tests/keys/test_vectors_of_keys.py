from __future__ import annotations

import json
from typing import Any

import pytest

from tests import vectors
from tests.refusals import reason_of, refused
from wimse.keys import PrivateKey, PublicKey, algorithm_named, load_private_key

CASES = vectors.cases("keys")
SUPPORTED = {name: case for name, case in CASES.items() if case["algorithm_supported"]}
UNSUPPORTED = {name: case for name, case in CASES.items() if not case["algorithm_supported"]}


@pytest.mark.parametrize("case", SUPPORTED.values(), ids=SUPPORTED)
def test_a_supported_key_reads_the_same_from_jwk_and_from_pem(case: dict[str, Any]) -> None:
    private = PrivateKey.from_jwk(case["jwk"])
    assert private.algorithm.jose_name == case["expected"]["jose_algorithm"]
    assert [private.algorithm.http_name] == case["algorithms"]
    assert PublicKey.from_pem(case["public_pem"].encode()).same_key(private.public_key)
    assert load_private_key(case["private_pem"].encode()).public_key.same_key(private.public_key)
    assert load_private_key(json.dumps(case["jwk"]).encode()).public_key.same_key(private.public_key)


@pytest.mark.parametrize("case", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_an_unsupported_key_is_refused_and_not_skipped(case: dict[str, Any]) -> None:
    with refused(reason_of(case["expected"]["reason"])):
        PublicKey.from_jwk(case["jwk"])
    public = {name: value for name, value in case["jwk"].items() if name != "k"}
    with refused(reason_of(case.get("expected_without_private_members", case["expected"])["reason"])):
        PublicKey.from_jwk(public)
    for name in case["algorithms"]:
        with refused(reason_of("algorithm_not_allowed")):
            algorithm_named(name)


@pytest.mark.parametrize(
    "case", [case for case in UNSUPPORTED.values() if "public_pem" in case], ids=lambda case: str(case["id"])
)
def test_an_unsupported_public_key_in_pem_is_refused(case: dict[str, Any]) -> None:
    with refused(reason_of(case["expected"]["reason"])):
        PublicKey.from_pem(case["public_pem"].encode())
