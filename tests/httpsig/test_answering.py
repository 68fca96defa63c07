"""Answering an Accept-Signature, and what is refused instead (RFC 9421 §5.2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.refusals import refused
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig import (
    AnswerPolicy,
    ComponentIdentifier,
    Fields,
    Request,
    Requirements,
    Response,
    SignatureRequest,
    answer,
    parse_accept_signature,
    parse_signatures,
    request_signatures,
    run,
    sign,
    verify,
)
from wimse.keys import EDDSA, ES256, PrivateKey

NOW = 1_700_000_000
KEY, OTHER = PrivateKey.generate(EDDSA), PrivateKey.generate(ES256)
HEAD = Request(
    method="POST",
    target="/a?b",
    authority="h",
    fields=Fields([("Date", "now"), ("Authorization", "secret"), ("Priority", "u=1")]),
)


def identifiers(*texts: str) -> frozenset[ComponentIdentifier]:
    return frozenset(ComponentIdentifier.parse(text) for text in texts)


def policy(**changes: Any) -> AnswerPolicy:
    values: dict[str, Any] = {
        "signers": {"k1": KEY, "k2": OTHER},
        "default_keyid": "k1",
        "components": identifiers("@path", "date", "priority"),
        "required_components": identifiers("@method"),
        "tags": frozenset({None, "app"}),
    }
    return AnswerPolicy(**(values | changes))


def asked(*components: str, **parameters: Any) -> SignatureRequest:
    return SignatureRequest.build(components or ["@method"], **parameters)


def test_what_is_asked_is_signed_under_the_label_that_was_asked_for() -> None:
    """RF-20: same label, same components in the same order, all requested parameters."""
    challenge = request_signatures(
        Response(status=401),
        [
            asked("date", "@method", label="one", keyid="k2", alg="ecdsa-p256-sha256", tag="app"),
            asked("@method", label="two", created=False),
        ],
    )
    signed = answer(HEAD, parse_accept_signature(challenge), policy(), now=NOW)
    one, two = parse_signatures(signed.fields)
    assert (one.label, two.label) == ("one", "two")
    assert one.input.serialized == (
        f'("date" "@method");created={NOW};keyid="k2";alg="ecdsa-p256-sha256";tag="app";expires={NOW + 300}'
    )
    assert two.input.serialized == f'("@method");created={NOW};expires={NOW + 300};keyid="k1"'
    keys = {"one": OTHER.public_key, "two": KEY.public_key}
    for label in keys:
        run(verify(signed, Requirements(label=label), now=NOW), lambda need: keys[need.signature.label])
    assert list(signed.fields)[: len(HEAD.fields)] == list(HEAD.fields)
    assert {name.lower() for name, _ in list(signed.fields)[len(HEAD.fields) :]} == {"signature-input", "signature"}


def test_a_response_is_signed_when_its_request_asked() -> None:
    """RF-20, RF-13"""
    asking = request_signatures(HEAD, [asked("@status", '"@method";req', expires=True)])
    allowed = policy(components=identifiers("@status", '"@method";req'), required_components=frozenset())
    signed = answer(Response(status=204), parse_accept_signature(asking), allowed, now=NOW, request=asking)
    verified = run(verify(signed, Requirements(), now=NOW, request=asking), lambda _: KEY.public_key)
    assert dict(verified.covered) == {"@status": "204", "@method;req": "POST"}


def test_nothing_is_signed_when_nothing_is_asked() -> None:
    assert answer(HEAD, (), policy(), now=NOW) is HEAD


@pytest.mark.parametrize(
    "component",
    ["authorization", "@query", '"date";bs', '"priority";sf', '"priority";key="u"', '"date";tr', "signature"],
)
def test_a_component_that_the_policy_does_not_name_is_not_signed(component: str) -> None:
    """RS-13: nor one that it names with other parameters."""
    with refused(Reason.COMPONENT_FORBIDDEN):
        answer(HEAD, [asked("@method", component)], policy(), now=NOW)


def test_nothing_is_trimmed() -> None:
    """RS-13, RF-20: a signature over less than was asked for would be another one."""
    good = asked("@method", label="good")
    with refused(Reason.COMPONENT_FORBIDDEN):
        answer(HEAD, [good, asked("@method", "authorization", label="bad")], policy(), now=NOW)


def test_what_the_policy_requires_is_covered() -> None:
    with refused(Reason.COMPONENT_NOT_COVERED):
        answer(HEAD, [asked("date")], policy(), now=NOW)


def test_a_signature_over_nothing_is_not_made() -> None:
    """RS-13, SB-01: it would fit every message."""
    nothing = SignatureRequest.build([])
    for required in (frozenset(), identifiers("@method")):
        with refused(Reason.COMPONENT_NOT_COVERED):
            answer(HEAD, [nothing], policy(required_components=required), now=NOW)


def test_a_nonce_of_the_peers_choice_is_signed_only_when_allowed() -> None:
    """RS-13"""
    with refused(Reason.PARAMETER_FORBIDDEN):
        answer(HEAD, [asked(nonce="n")], policy(), now=NOW)
    allowed = policy(chosen_nonce=True, max_nonce_bytes=4)
    signed = answer(HEAD, [asked(nonce="four")], allowed, now=NOW)
    assert parse_signatures(signed.fields)[0].input.text("nonce") == "four"
    with refused(Reason.PARAMETER_VALUE):
        answer(HEAD, [asked(nonce="fives")], allowed, now=NOW)


@pytest.mark.parametrize("tag", ["other", "", "APP"])
def test_a_tag_of_another_protocol_is_not_signed(tag: str) -> None:
    """RS-13"""
    with refused(Reason.PARAMETER_VALUE):
        answer(HEAD, [asked(tag=tag)], policy(), now=NOW)


def test_no_tag_is_signed_with_only_when_allowed() -> None:
    with refused(Reason.PARAMETER_VALUE):
        answer(HEAD, [asked()], policy(tags=frozenset({"app"})), now=NOW)


@pytest.mark.parametrize("keyid", ["k3", "", "K1"])
def test_a_key_that_the_policy_does_not_name_is_not_used(keyid: str) -> None:
    """RS-13"""
    with refused(Reason.PARAMETER_VALUE):
        answer(HEAD, [asked(keyid=keyid)], policy(), now=NOW)


def test_without_a_default_a_key_has_to_be_named() -> None:
    with refused(Reason.PARAMETER_VALUE):
        answer(HEAD, [asked()], policy(default_keyid=None), now=NOW)
    answer(HEAD, [asked(keyid="k2")], policy(default_keyid=None), now=NOW)


@pytest.mark.parametrize("algorithm", ["ecdsa-p256-sha256", "hmac-sha256", "none", ""])
def test_another_algorithm_than_the_keys_is_refused(algorithm: str) -> None:
    """RF-16"""
    with refused(Reason.ALGORITHM_MISMATCH):
        answer(HEAD, [asked(alg=algorithm, keyid="k1")], policy(), now=NOW)


def test_a_parameter_that_is_not_known_is_not_promised() -> None:
    with refused(Reason.PARAMETER_FORBIDDEN):
        answer(HEAD, [asked(parameters={"x": "y"})], policy(), now=NOW)


def test_all_that_is_wrong_is_told_without_the_input() -> None:
    """RS-13: it says why, and not which keys there are."""
    with pytest.raises(Refused) as caught:
        policy().check(asked("authorization", nonce="n-o-n-c-e", tag="t-a-g", keyid="k-e-y", parameters={"xyz": True}))
    assert [each.reason for each in caught.value.violations] == [
        Reason.COMPONENT_FORBIDDEN,
        Reason.COMPONENT_NOT_COVERED,
        Reason.PARAMETER_FORBIDDEN,
        Reason.PARAMETER_FORBIDDEN,
        Reason.PARAMETER_VALUE,
        Reason.PARAMETER_VALUE,
    ]
    for secret in ("authorization", "n-o-n-c-e", "t-a-g", "k-e-y", "xyz", "k1"):
        assert secret not in str(caught.value)


def test_what_does_not_fit_can_be_left_aside() -> None:
    good, bad = asked(label="good"), asked("authorization", label="bad")
    assert policy().fitting([bad, good]) == (good,)


def test_a_component_that_the_message_lacks_is_refused() -> None:
    """SB-11"""
    with refused(Reason.COMPONENT_ABSENT):
        answer(Request(method="GET", target="/"), [asked("@method", "date")], policy(), now=NOW)


def test_what_was_asked_of_another_kind_of_message_is_refused() -> None:
    """RF-20: §5.2 step 2.3"""
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        answer(Response(status=200), [asked("@method")], policy(), now=NOW)
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        answer(HEAD, [asked("@method", "@status")], policy(components=identifiers("@status")), now=NOW)


def test_a_label_that_is_taken_is_not_changed() -> None:
    with refused(Reason.SIGNATURE_LABEL_DUPLICATED):
        answer(sign(HEAD, KEY, ["date"], {}), [asked()], policy(), now=NOW)


def test_the_limit_of_signatures_is_exact() -> None:
    many = [asked(label=f"s{number}") for number in range(5)]
    assert len(parse_signatures(answer(HEAD, many[:4], policy(), now=NOW).fields)) == 4
    with refused(Reason.TOO_MANY_SIGNATURES):
        answer(HEAD, many, policy(), now=NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"signers": {}},
        {"tags": frozenset()},
        {"components": frozenset(), "required_components": frozenset()},
        {"default_keyid": "k3"},
        {"max_nonce_bytes": 0},
        {"max_signatures": 0},
        {"lifetime": timedelta(0)},
    ],
)
def test_a_policy_that_allows_nothing_is_not_built(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        policy(**changes)


def test_a_policy_does_not_change_with_the_mapping_that_it_was_made_of() -> None:
    signers = {"k1": KEY}
    made = policy(signers=signers)
    signers["k2"] = OTHER
    with refused(Reason.PARAMETER_VALUE):
        made.check(asked(keyid="k2"))
