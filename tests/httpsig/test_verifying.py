from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from tests.refusals import refused
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig import (
    ComponentIdentifier,
    Fields,
    Limits,
    NeedKey,
    Request,
    Requirements,
    Response,
    VerifiedSignature,
    parse_signatures,
    run,
    run_async,
    select_signature,
    sign,
    verify,
    with_fields,
)
from wimse.keys import EDDSA, ES256, PrivateKey

KEY = PrivateKey.generate()
NOW = 1_000_000
REQUEST = Request(method="GET", target="/", fields=Fields([("X", "1"), ("Authorization", "a")]))
PLAIN = Requirements()
C = ComponentIdentifier.parse


def signed(components: list[str] | None = None, /, **parameters: object) -> Request:
    covered = ["@method", "x"] if components is None else components
    return sign(REQUEST, KEY, covered, {name.replace("_", "-"): value for name, value in parameters.items()})


def judge(
    message: Request | Response, requirements: Requirements = PLAIN, now: int = NOW, **more: Any
) -> VerifiedSignature:
    return run(verify(message, requirements, now=now, **more), lambda _: KEY.public_key)


def test_the_key_is_asked_for_with_the_signature_and_the_message() -> None:
    asked: list[NeedKey] = []

    def answer(need: NeedKey) -> object:
        asked.append(need)
        return KEY.public_key

    message = signed(keyid="k")
    run(verify(message, PLAIN, now=NOW), answer)
    (need,) = asked
    assert (need.message, need.signature.label, need.signature.input.text("keyid")) == (message, "sig1", "k")


async def test_the_key_may_come_later() -> None:
    async def answer(_: NeedKey) -> object:
        return KEY.public_key

    assert (await run_async(verify(signed(), PLAIN, now=NOW), answer)).label == "sig1"


@pytest.mark.parametrize("answer", [None, KEY, "key", b"", {}])
def test_what_is_no_public_key_verifies_nothing(answer: object) -> None:
    """RF-16: an unknown key fails; nor is a private key, or a secret, taken for one (CR-04)."""
    with refused(Reason.KEY_UNKNOWN):
        run(verify(signed(), PLAIN, now=NOW), lambda _: answer)


@pytest.mark.parametrize("other", [PrivateKey.generate(), PrivateKey.generate(EDDSA)], ids=["ES256", "EdDSA"])
def test_another_key_refuses(other: PrivateKey) -> None:
    """CR-20, WT-36"""
    with refused(Reason.SIGNATURE_INVALID):
        run(verify(signed(), PLAIN, now=NOW), lambda _: other.public_key)


def test_two_valid_signatures_of_one_message_are_both_accepted() -> None:
    """CR-21: nothing is signed again to compare."""
    first, second = signed(created=NOW), signed(created=NOW)
    assert first != second
    assert judge(first).covered == judge(second).covered


@pytest.mark.parametrize(
    "change",
    [
        lambda m: dataclasses.replace(m, method="HEAD"),
        lambda m: with_fields(m, m.fields.without("x").adding(("x", "2"))),
        lambda m: with_fields(m, m.fields.adding(("X", "1"))),
        lambda m: with_fields(m, m.fields.without("x").adding(("x", ""))),
    ],
)
def test_a_changed_component_is_refused(change: Any) -> None:
    with refused(Reason.SIGNATURE_INVALID):
        judge(change(signed()))


def test_a_stripped_component_is_refused() -> None:
    """SB-11"""
    message = signed()
    with refused(Reason.COMPONENT_ABSENT):
        judge(with_fields(message, message.fields.without("x")))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('("@method" "x")', '("x" "@method")'),
        ('("@method" "x")', '("@method")'),
        ('("@method" "x")', '("@method" "x" "authorization")'),
        ("created=1000000", "created=1000001"),
        ('nonce="n"', 'nonce="N"'),
        (';nonce="n"', ""),
        (';nonce="n"', ';nonce="n";more'),
        ('created=1000000;nonce="n"', 'nonce="n";created=1000000'),
        ("sig1", "sig2"),
    ],
)
def test_changed_metadata_is_refused(old: str, new: str) -> None:
    """RF-12: components, parameters and the order of both are signed."""
    message = signed(created=NOW, nonce="n")
    text = message.fields.combined("signature-input") or ""
    assert old in text
    fields = message.fields.without("signature-input").adding(("Signature-Input", text.replace(old, new)))
    with refused(Reason.SIGNATURE_LABEL_UNPAIRED if old == "sig1" else Reason.SIGNATURE_INVALID):
        judge(with_fields(message, fields))


def test_a_signature_may_be_relabelled() -> None:
    """LB-05: the label means nothing."""
    message = signed()
    lines = [
        (name, value.replace("sig1=", "other=") if name.startswith("Signature") else value)
        for name, value in message.fields
    ]
    assert judge(with_fields(message, Fields(lines))).label == "other"


def test_a_message_without_a_signature_is_refused() -> None:
    with refused(Reason.SIGNATURE_MISSING):
        judge(REQUEST)


def test_a_signature_is_selected_by_label_and_tag() -> None:
    """LB-04, LB-06: by its tag whatever the label is, compared exactly."""
    message = sign(signed(tag="a"), KEY, [], {"tag": "b"}, label="sig2")
    found = parse_signatures(message.fields)
    assert select_signature(found, Requirements(tag="b")).label == "sig2"
    assert select_signature(found, Requirements(label="sig1")).input.text("tag") == "a"
    for missing in (
        Requirements(tag="A"),
        Requirements(tag=""),
        Requirements(label="sig3"),
        Requirements(label="sig1", tag="b"),
    ):
        with refused(Reason.SIGNATURE_MISSING):
            select_signature(found, missing)
    for ambiguous in (PLAIN,):
        with refused(Reason.SIGNATURE_AMBIGUOUS):
            select_signature(found, ambiguous)


def test_two_signatures_with_one_tag_are_ambiguous() -> None:
    """LB-01, HS-39: no "any of them is valid"."""
    with refused(Reason.SIGNATURE_AMBIGUOUS):
        judge(sign(signed(tag="t"), KEY, [], {"tag": "t"}, label="sig2"), Requirements(tag="t"))


def test_a_strange_signature_beside_ours_does_not_matter() -> None:
    """LB-02, LB-03: it is neither verified nor enough."""
    message = signed(tag="t")
    beside = message.fields.adding(("Signature-Input", 'x=("zzz");tag="other"'), ("Signature", "x=:AAAA:"))
    assert judge(with_fields(message, beside), Requirements(tag="t")).label == "sig1"
    with refused(Reason.COMPONENT_ABSENT):
        judge(with_fields(message, beside), Requirements(tag="other"))


def test_required_components_are_required_exactly() -> None:
    """SB-01, SB-02, SB-33, RF-17: another parameter makes it another component."""
    requirements = Requirements(components=(C("@method"), C("x")))
    judge(signed(), requirements)
    for components in ([], ["x"], ["@method"], ["@method", "authorization"]):
        with refused(Reason.COMPONENT_NOT_COVERED):
            judge(signed(components), requirements)
    bs = Fields([("Signature-Input", 'a=("@method" "x";bs)'), ("Signature", "a=:AAAA:")])
    with refused(Reason.COMPONENT_NOT_COVERED):
        judge(with_fields(REQUEST, bs), requirements)


def test_components_are_required_when_the_message_has_them() -> None:
    """SB-02"""
    requirements = Requirements(components_if_present=(C("authorization"), C("content-type")))
    judge(signed(["authorization"]), requirements)
    with refused(Reason.COMPONENT_NOT_COVERED):
        judge(signed(), requirements)


def test_components_of_the_request_are_required_when_it_has_them() -> None:
    requirements = Requirements(components_if_present=(C('"x";req'), C('"y";req')))
    covered = sign(Response(status=200), KEY, ["@status", '"x";req'], {}, request=REQUEST)
    judge(covered, requirements, request=REQUEST)
    bare = sign(Response(status=200), KEY, ["@status"], {})
    with refused(Reason.COMPONENT_NOT_COVERED):
        judge(bare, requirements, request=REQUEST)
    judge(bare, requirements)  # without the request nobody knows


def test_parameters_are_required_and_forbidden() -> None:
    """CR-01, CR-02, TM-01, TM-02: by name."""
    requirements = Requirements(parameters=("created", "nonce"), forbidden_parameters=("alg", "keyid"))
    judge(signed(created=NOW, nonce="n"), requirements)
    with refused(Reason.PARAMETER_MISSING):
        judge(signed(created=NOW), requirements)
    for forbidden in ({"keyid": ""}, {"alg": "ecdsa-p256-sha256"}):
        with refused(Reason.PARAMETER_FORBIDDEN):
            judge(signed(created=NOW, nonce="n", **forbidden), requirements)


def test_parameters_that_the_application_knows_have_their_types() -> None:
    judge(signed(mine="a"), Requirements(parameter_types={"mine": str}))
    with refused(Reason.PARAMETER_TYPE):
        judge(signed(mine=1), Requirements(parameter_types={"mine": str}))


def test_all_violations_are_reported_together() -> None:
    requirements = Requirements(
        components=(C("@path"),), parameters=("nonce",), forbidden_parameters=("keyid",), max_age=timedelta(seconds=1)
    )
    with pytest.raises(Refused) as caught:
        judge(signed(keyid="k", expires=1), requirements)
    assert [each.reason for each in caught.value.violations] == [
        Reason.COMPONENT_NOT_COVERED,
        Reason.PARAMETER_MISSING,
        Reason.PARAMETER_FORBIDDEN,
        Reason.SIGNATURE_EXPIRED,
        Reason.PARAMETER_MISSING,
    ]
    assert caught.value.reason is Reason.COMPONENT_NOT_COVERED


@pytest.mark.parametrize("leeway", [0, 30, 120])
def test_the_times_have_exact_bounds(leeway: int) -> None:
    """TM-03, TM-04, HS-33: now equal to expires is too late."""
    requirements = Requirements(leeway=timedelta(seconds=leeway), max_age=timedelta(seconds=100))
    message = signed(created=NOW, expires=NOW + 50)
    judge(message, requirements, now=NOW - leeway)
    judge(message, requirements, now=NOW + 49 + leeway)
    with refused(Reason.SIGNATURE_NOT_YET_VALID):
        judge(message, requirements, now=NOW - leeway - 1)
    with refused(Reason.SIGNATURE_EXPIRED):
        judge(message, requirements, now=NOW + 50 + leeway)
    old = signed(created=NOW)
    judge(old, requirements, now=NOW + 100 + leeway)
    with refused(Reason.SIGNATURE_TOO_OLD):
        judge(old, requirements, now=NOW + 101 + leeway)
    with refused(Reason.PARAMETER_MISSING):
        judge(signed(), requirements)


def test_a_life_has_an_exact_bound() -> None:
    """TM-05, TM-06, HS-11, HS-32"""
    requirements = Requirements(max_lifetime=timedelta(seconds=60))
    judge(signed(created=NOW, expires=NOW + 60), requirements)
    judge(signed(created=NOW), requirements)
    judge(signed(expires=NOW + 61), requirements)
    with refused(Reason.SIGNATURE_LIFETIME):
        judge(signed(created=NOW, expires=NOW + 61), requirements)
    judge(signed(created=NOW, expires=NOW + 1))
    for expires in (NOW, NOW - 1):
        with refused(Reason.SIGNATURE_LIFETIME):
            judge(signed(created=NOW, expires=expires))


@pytest.mark.parametrize("created", [999_999_999_999_999, -999_999_999_999_999])
def test_a_time_beyond_all_calendars_is_refused_and_no_exception(created: int) -> None:
    """SB-28"""
    requirements = Requirements(max_age=timedelta(seconds=60))
    with refused(Reason.SIGNATURE_NOT_YET_VALID if created > 0 else Reason.SIGNATURE_TOO_OLD):
        judge(signed(created=created), requirements)
    with refused(Reason.SIGNATURE_EXPIRED if created < 0 else Reason.SIGNATURE_LIFETIME):
        judge(signed(created=NOW, expires=created), Requirements(max_lifetime=timedelta(seconds=60)))


@pytest.mark.parametrize("seconds", [-1, 121, 3600])
def test_a_leeway_is_at_most_two_minutes(seconds: int) -> None:
    """TM-12"""
    with pytest.raises(ConfigurationError, match="leeway"):
        Requirements(leeway=timedelta(seconds=seconds))


def test_algorithms_can_be_narrowed() -> None:
    """CR-08, RF-18"""
    judge(signed(), Requirements(algorithms=frozenset({ES256})))
    for allowed in (frozenset({EDDSA}), frozenset[Any]()):
        with refused(Reason.ALGORITHM_NOT_ALLOWED):
            judge(signed(), Requirements(algorithms=allowed))


@pytest.mark.parametrize("alg", ["ed25519", "hmac-sha256", "ES256", "none", "", "rsa-v1_5-sha256", "ECDSA-P256-SHA256"])
def test_an_alg_that_is_not_the_keys_is_refused(alg: str) -> None:
    """CR-03, CR-08, CR-09, CR-15, RF-16: the key decides."""
    message = signed(alg="ecdsa-p256-sha256")
    judge(message)
    text = (message.fields.combined("signature-input") or "").replace("ecdsa-p256-sha256", alg)
    with refused(Reason.ALGORITHM_MISMATCH):
        judge(with_fields(message, message.fields.without("signature-input").adding(("Signature-Input", text))))


def test_requirements_come_before_the_key_and_the_key_before_the_base() -> None:
    """LB-10: nothing is looked up for, and no cryptography spent on, what is refused anyway."""

    def nobody(_: NeedKey) -> object:
        raise AssertionError("asked")

    with refused(Reason.PARAMETER_MISSING):
        run(verify(signed(), Requirements(parameters=("nonce",)), now=NOW), nobody)
    with refused(Reason.TOO_MANY_SIGNATURES):
        two = sign(signed(), KEY, [], {}, label="b")
        run(verify(two, PLAIN, now=NOW, limits=Limits(max_signatures=1)), nobody)


def test_only_verification_makes_a_verified_signature() -> None:
    with pytest.raises(TypeError, match="verify"):
        VerifiedSignature(label="a", key=KEY.public_key, components=(), covered={}, parameters={})


def test_what_was_verified_cannot_be_changed() -> None:
    result = judge(signed(created=NOW))
    with pytest.raises(TypeError):
        result.covered["x"] = "2"  # type: ignore[index]  # that it is read-only is the point
    with pytest.raises(TypeError):
        result.parameters["created"] = 2  # type: ignore[index]  # the same
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.label = "another"  # type: ignore[misc]  # the same
    assert "GET" not in repr(result)
    assert "label='sig1'" in repr(result)
