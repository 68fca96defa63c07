"""RFC 9421's own examples and those of the draft: every base byte for byte, every signature."""

from __future__ import annotations

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
from wimse.keys import EDDSA, PrivateKey, PublicKey

KEYS = vectors.cases("keys")
CASES = vectors.cases("signatures")
COMPONENTS = vectors.cases("components")
WITH_BASE = {name: case for name, case in CASES.items() if "base" in case["expected"]}
SUPPORTED = {name: case for name, case in CASES.items() if case.get("algorithm_supported", True)}
UNSUPPORTED = {name: case for name, case in CASES.items() if not case.get("algorithm_supported", True)}


def public_jwk(case: dict[str, Any]) -> dict[str, Any]:
    key = case["key"]
    jwk = key if isinstance(key, dict) else KEYS[f"rfc9421/keys:{key}"]["jwk"]
    return {name: value for name, value in jwk.items() if name != "d"}


def request_of(case: dict[str, Any]) -> Request | None:
    if "request" not in case:
        return None
    message = parse_http1(case["request"].encode("latin-1")).message
    assert isinstance(message, Request)
    return message


def verified(case: dict[str, Any]) -> VerifiedSignature:
    message = parse_http1(case["message"].encode("latin-1")).message
    key = PublicKey.from_jwk(public_jwk(case))
    signature = next(each for each in parse_signatures(message.fields) if each.label == case["label"])
    now = case.get("now") or signature.input.integer("created") or 0  # the RFC's examples name no other time
    flow = verify(message, Requirements(label=case["label"]), now=now, request=request_of(case))
    return run(flow, lambda need: key if isinstance(need, NeedKey) else None)


def test_there_are_as_many_cases_as_the_rfc_has() -> None:
    ours = [name for name in CASES if name.startswith("rfc9421/")]
    assert (len(ours), len(WITH_BASE), len(COMPONENTS)) == (20, 17, 47)


@pytest.mark.parametrize("case", WITH_BASE.values(), ids=WITH_BASE)
def test_the_base_is_the_rfcs_byte_for_byte(case: dict[str, Any]) -> None:
    """RF-01, RF-12, SB-30: whatever the algorithm is; order of components and parameters is kept."""
    message = parse_http1(case["message"].encode("latin-1")).message
    signature = next(each for each in parse_signatures(message.fields) if each.label == case["label"])
    base = signature_base(signature.input, message, request_of(case))
    assert base.data == case["expected"]["base"].encode("ascii")
    assert [each.serialized for each in signature.input.components] == case["components"]


@pytest.mark.parametrize("case", SUPPORTED.values(), ids=SUPPORTED)
def test_a_signature_verifies_or_is_refused_as_the_document_says(case: dict[str, Any]) -> None:
    """RF-16, SB-16, SB-17, LB-05: added, merged and reordered lines survive, changed ones do not."""
    if "reason" in case["expected"]:
        with refused(reason_of(case["expected"]["reason"])):
            verified(case)
        return
    assert [each.serialized for each in verified(case).components] == case["components"]


@pytest.mark.parametrize("case", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_the_key_of_an_unsupported_algorithm_is_refused(case: dict[str, Any]) -> None:
    """CR-09, CR-10: there is no RSA here, so neither of its paddings can pass for the other."""
    jwk = {name: value for name, value in public_jwk(case).items() if name != "k"}
    with refused(Reason.KEY_UNSUPPORTED):
        PublicKey.from_jwk(jwk)


@pytest.mark.parametrize(
    "case",
    [case for case in SUPPORTED.values() if case.get("algorithm") == "ed25519" and "signature" in case["expected"]],
    ids=lambda case: str(case["id"]),
)
def test_ed25519_signatures_are_made_again_byte_for_byte(case: dict[str, Any]) -> None:
    """RF-15: signing follows the RFC's steps; Ed25519 gives one signature for one base."""
    message = parse_http1(case["message"].encode("latin-1")).message
    read = next(each for each in parse_signatures(message.fields) if each.label == case["label"])
    key = PrivateKey.from_jwk(KEYS[f"rfc9421/keys:{case['key']}"]["jwk"])
    assert key.algorithm is EDDSA
    made = make_signature(message, key, case["components"], read.input.parameters, label=case["label"])
    assert made.signature == f"{case['label']}=:{case['expected']['signature']}:"


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
