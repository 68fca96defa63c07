"""RFC 9421's own examples and those of the draft: every base byte for byte, every signature."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import vectors
from tests.refusals import reason_of, refused
from wimse.errors import Reason
from wimse.httpsig import (
    DEFAULT_FIELD_TYPES,
    ComponentIdentifier,
    NeedKey,
    Request,
    Requirements,
    VerifiedSignature,
    component_value,
    make_signature,
    parse_http1,
    parse_signatures,
    run,
    signature_base,
    verify,
)
from wimse.keys import (
    ALGORITHMS,
    EDDSA,
    ES384,
    HS256,
    RS256,
    Algorithm,
    SecretKey,
    algorithm_named,
    load_signing_key,
    load_verification_keys,
)

KEYS = vectors.cases("keys")
CASES = vectors.cases("signatures")
COMPONENTS = vectors.cases("components")
WITH_BASE = {name: case for name, case in CASES.items() if "base" in case["expected"]}
# The algorithms that give one signature for one base.
DETERMINISTIC = {
    name: case
    for name, case in CASES.items()
    if case.get("algorithm") in {EDDSA.http_name, HS256.http_name, RS256.http_name} and "signature" in case["expected"]
}


def jwk_of(case: dict[str, Any]) -> bytes:
    key = case["key"]
    return json.dumps(key if isinstance(key, dict) else KEYS[f"rfc9421/keys:{key}"]["jwk"]).encode()


def algorithm_of(case: dict[str, Any]) -> Algorithm | None:
    """What the configuration says (§3.2 step 6.1); the drafts' keys say it themselves."""
    return algorithm_named(case["algorithm"]) if "algorithm" in case else None


def request_of(case: dict[str, Any]) -> Request | None:
    if "request" not in case:
        return None
    message = parse_http1(case["request"].encode("latin-1")).message
    assert isinstance(message, Request)
    return message


def verified(case: dict[str, Any]) -> VerifiedSignature:
    message = parse_http1(case["message"].encode("latin-1")).message
    (key,) = load_verification_keys(jwk_of(case), algorithm=algorithm_of(case))
    signature = next(each for each in parse_signatures(message.fields) if each.label == case["label"])
    now = case.get("now") or signature.input.integer("created") or 0  # the RFC's examples name no other time
    flow = verify(message, Requirements(label=case["label"]), now=now, request=request_of(case))
    return run(flow, lambda need: key if isinstance(need, NeedKey) else None)


def test_there_are_as_many_cases_as_the_rfc_has() -> None:
    ours = [case for name, case in CASES.items() if name.startswith("rfc9421/")]
    assert (len(ours), len(WITH_BASE), len(COMPONENTS), len(DETERMINISTIC)) == (20, 17, 47, 7)
    assert all(case.get("algorithm_supported", True) for case in CASES.values())
    assert {case["algorithm"] for case in ours} == {each.http_name for each in ALGORITHMS if each.http_name} - {
        ES384.http_name  # of which the RFC has no example
    }


@pytest.mark.parametrize("case", WITH_BASE.values(), ids=WITH_BASE)
def test_the_base_is_the_rfcs_byte_for_byte(case: dict[str, Any]) -> None:
    """RF-01, RF-12, SB-30: whatever the algorithm is; order of components and parameters is kept."""
    message = parse_http1(case["message"].encode("latin-1")).message
    signature = next(each for each in parse_signatures(message.fields) if each.label == case["label"])
    base = signature_base(signature.input, message, request_of(case))
    assert base.data == case["expected"]["base"].encode("ascii")
    assert [each.serialized for each in signature.input.components] == case["components"]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_signature_verifies_or_is_refused_as_the_document_says(case: dict[str, Any]) -> None:
    """RF-16, SB-16, SB-17, LB-05: added, merged and reordered lines survive, changed ones do not."""
    if "reason" in case["expected"]:
        with refused(reason_of(case["expected"]["reason"])):
            verified(case)
        return
    assert [each.serialized for each in verified(case).components] == case["components"]


@pytest.mark.parametrize("case", DETERMINISTIC.values(), ids=DETERMINISTIC)
def test_what_has_one_signature_only_is_signed_again_byte_for_byte(case: dict[str, Any]) -> None:
    """RF-15: signing follows the RFC's steps; Ed25519, HMAC and PKCS #1 v1.5 give one signature for one base."""
    message = parse_http1(case["message"].encode("latin-1")).message
    read = next(each for each in parse_signatures(message.fields) if each.label == case["label"])
    key = load_signing_key(jwk_of(case), algorithm=algorithm_of(case))
    assert isinstance(key, SecretKey) is (case["algorithm"] == HS256.http_name)
    made = make_signature(message, key, case["components"], read.input.parameters, label=case["label"])
    assert made.signature == f"{case['label']}=:{case['expected']['signature']}:"


@pytest.mark.parametrize("name", ["B.2.1", "B.2.2", "B.2.3", "2.4-signed-request", "3.2-sig1", "4.3-proxy_sig"])
def test_a_padding_of_rsa_never_passes_for_another(name: str) -> None:
    """CR-09, CR-10: the key's own algorithm decides, and a signature of the other padding or hash does not verify."""
    case = CASES[f"rfc9421/signatures:{name}"]
    says_so = ';alg="' in case["expected"]["base"]  # then its name alone gives it away
    for algorithm in (each for each in ALGORITHMS if each.key_type == "RSA"):
        if algorithm.http_name != case["algorithm"]:
            with refused(Reason.ALGORITHM_MISMATCH if says_so else Reason.SIGNATURE_INVALID):
                verified({**case, "algorithm": algorithm.jose_name})


def test_a_key_that_nothing_says_the_algorithm_of_verifies_nothing() -> None:
    """CR-09: §3.2 step 6 ends in a refusal; no algorithm is guessed for RSA keys and secrets."""
    ambiguous = [case for case in CASES.values() if case.get("algorithm", "").startswith(("rsa", "hmac"))]
    for case in ambiguous:
        with refused(Reason.ALGORITHM_MISSING):
            verified({name: value for name, value in case.items() if name != "algorithm"})
    assert len(ambiguous) == 7


@pytest.mark.parametrize("case", COMPONENTS.values(), ids=COMPONENTS)
def test_a_component_has_the_rfcs_value(case: dict[str, Any]) -> None:
    """RF-03, RF-04, RF-05, RF-06, RF-07, RF-08, RF-09, RF-10, RF-11, RF-14"""
    message = parse_http1(case["message"].encode("latin-1"), scheme=case["scheme"], decode_chunked=True).message
    identifier = ComponentIdentifier.parse(case["component"])
    assert identifier.serialized == case["component"]
    field_types = DEFAULT_FIELD_TYPES.with_fields(case.get("field_types", {}))
    if "reason" in case["expected"]:
        with refused(reason_of(case["expected"]["reason"])):
            component_value(identifier, message, field_types=field_types)
    else:
        assert component_value(identifier, message, field_types=field_types) == case["expected"]["value"]
