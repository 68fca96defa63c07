from __future__ import annotations

from datetime import timedelta
from typing import Any

import http_sf
import pytest

from tests.refusals import refused
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig import (
    ComponentIdentifier,
    CoveredComponents,
    Fields,
    Request,
    Requirements,
    Response,
    SignatureInput,
    VerifiedSignature,
    content_digest,
    sign,
    verify_message,
    with_fields,
)
from wimse.keys import EDDSA, ES256, PrivateKey

KEY = PrivateKey.generate()
NOW = 1_000_000
CONTENT = b'{"application": "a1"}'
C = ComponentIdentifier.parse


def request(*lines: tuple[str, str], target: str = "/?a=1") -> Request:
    return Request(method="POST", target=target, fields=Fields(lines))


def judge(message: Request | Response, requirements: Requirements, **more: Any) -> VerifiedSignature:
    return verify_message(message, requirements, lambda _: KEY.public_key, now=NOW, **more)


def signed(parameters: dict[str, object], components: tuple[str, ...] = ("@method",)) -> Request:
    return sign(request(), KEY, components, parameters)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"v": 1}, None),
        ({}, Reason.PARAMETER_MISSING),
        ({"v": 2}, Reason.PARAMETER_VALUE),
        ({"v": True}, Reason.PARAMETER_VALUE),
        ({"v": "1"}, Reason.PARAMETER_VALUE),
        ({"v": 1.0}, Reason.PARAMETER_VALUE),
    ],
)
def test_a_parameter_has_the_value_that_is_required(found: dict[str, object], reason: Reason | None) -> None:
    """RF-17: of that type too."""
    requirements = Requirements(parameter_values={"v": 1})
    if reason is None:
        judge(signed(found), requirements)
    else:
        with refused(reason):
            judge(signed(found), requirements)


def test_a_token_is_not_the_string_of_the_same_letters() -> None:
    token = http_sf.Token("a")
    judge(signed({"v": token}), Requirements(parameter_values={"v": token}))
    with refused(Reason.PARAMETER_VALUE):
        judge(signed({"v": token}), Requirements(parameter_values={"v": "a"}))


@pytest.mark.parametrize(
    ("tag", "reason"),
    [("a", None), ("b", None), ("c", Reason.PARAMETER_VALUE), (None, Reason.PARAMETER_MISSING)],
)
def test_a_tag_is_one_of_those_accepted(tag: str | None, reason: Reason | None) -> None:
    """RF-17"""
    message, requirements = signed({} if tag is None else {"tag": tag}), Requirements(tags=frozenset({"a", "b"}))
    if reason is None:
        judge(message, requirements)
    else:
        with refused(reason):
            judge(message, requirements)


def test_an_algorithm_that_is_not_allowed_is_told_with_the_other_violations() -> None:
    """RF-16, RF-17"""
    requirements = Requirements(algorithms=frozenset({EDDSA}), parameters=("nonce",))
    with pytest.raises(Refused) as caught:
        judge(signed({"alg": "ecdsa-p256-sha256"}), requirements)
    assert [each.reason for each in caught.value.violations] == [Reason.PARAMETER_MISSING, Reason.ALGORITHM_NOT_ALLOWED]
    with refused(Reason.ALGORITHM_NOT_ALLOWED):
        judge(signed({}), Requirements(algorithms=frozenset({EDDSA})))
    judge(signed({"alg": "ecdsa-p256-sha256"}), Requirements(algorithms=frozenset({ES256})))


def test_every_kind_of_violation_is_reported_together_and_once() -> None:
    """RF-17"""
    requirements = Requirements(
        components=(C("@path"),),
        components_if_present=(C("@query"), C("x")),
        cover_content=True,
        parameters=("nonce", "created"),
        forbidden_parameters=("keyid",),
        parameter_values={"v": 1, "nonce": "n"},
        tags=frozenset({"a"}),
        algorithms=frozenset({EDDSA}),
        max_age=timedelta(seconds=1),
    )
    message = sign(
        request(("X", "1")),
        KEY,
        ["@method"],
        {"keyid": "k", "v": 2, "tag": "b", "expires": 1, "alg": KEY.algorithm.http_name},
    )
    with pytest.raises(Refused) as caught:
        judge(message, requirements, content=CONTENT)
    assert [(each.reason.code, each.detail) for each in caught.value.violations] == [
        ("component_not_covered", "@path is not covered"),
        ("component_not_covered", "@query is not covered"),
        ("component_not_covered", "x is not covered"),
        ("component_not_covered", "content-digest is not covered"),
        ("parameter_missing", "the parameter nonce is missing"),
        ("parameter_missing", "the parameter created is missing"),
        ("parameter_forbidden", "the parameter keyid must not be used"),
        ("parameter_value", "the parameter v does not have the value that is required"),
        ("parameter_value", "the tag is not among those accepted"),
        ("algorithm_not_allowed", "the parameter alg is not among those allowed"),
        ("signature_expired", "the signature has expired"),
    ]


@pytest.mark.parametrize(
    ("identifier", "target", "lines", "present"),
    [
        ('"@query-param";name="a"', "/?a=1", [], True),
        ('"@query-param";name="a"', "/?a=1&a=2", [], True),
        ('"@query-param";name="a"', "/?b=1", [], False),
        ('"@query-param";name="a"', "/", [], False),
        ("@authority", "/", [], False),
        ("@path", "*", [], False),
        ("@path", "/", [], True),
        ("@status", "/", [], True),
        ("x", "/", [("X", "")], True),
        ("x", "/", [], False),
        ('"x";bs', "/", [], False),
    ],
)
def test_what_is_there_must_be_covered(
    identifier: str, target: str, lines: list[tuple[str, str]], present: bool
) -> None:
    """RF-17, SB-02: also a component that has no one value."""
    message = sign(request(*lines, target=target), KEY, ["@method"], {})
    requirements = Requirements(components_if_present=(C(identifier),))
    if "bs" in identifier:
        # Until such a component can be read it counts as there: better refused than not covered.
        present = _refuses(identifier, message)
    if present:
        with refused(Reason.COMPONENT_NOT_COVERED):
            judge(message, requirements)
    else:
        judge(message, requirements)


def _refuses(identifier: str, message: Request) -> bool:
    from wimse.httpsig import component_value

    with pytest.raises(Refused) as caught:
        component_value(C(identifier), message)
    return caught.value.reason is not Reason.COMPONENT_ABSENT


def with_content(*components: str, content: bytes = CONTENT) -> Request:
    digested = request(("Content-Digest", content_digest(content)))
    return sign(digested, KEY, components, {})


def test_content_is_covered_through_its_digest() -> None:
    result = judge(with_content("content-digest"), Requirements(cover_content=True), content=CONTENT)
    assert result.content == CONTENT
    assert "a1" not in repr(result)


@pytest.mark.parametrize("content", [b"", b"x", CONTENT + b" "])
def test_other_content_is_refused(content: bytes) -> None:
    for cover_content in (True, False):
        with refused(Reason.DIGEST_MISMATCH):
            judge(with_content("content-digest"), Requirements(cover_content=cover_content), content=content)


def test_content_that_is_not_covered_is_refused_or_not_handed_on() -> None:
    """RF-17"""
    for message in (with_content("@method"), sign(request(), KEY, ["@method"], {})):
        with refused(Reason.COMPONENT_NOT_COVERED):
            judge(message, Requirements(cover_content=True), content=CONTENT)
        assert judge(message, Requirements(), content=CONTENT).content is None
        judge(message, Requirements(cover_content=True), content=b"")


def test_a_digest_of_the_request_does_not_cover_the_content_of_the_response() -> None:
    asked = with_content("@method")
    answer = Response(status=200, fields=Fields([("Content-Digest", content_digest(CONTENT))]))
    message = sign(answer, KEY, ["@status", '"content-digest";req'], {}, request=asked)
    with refused(Reason.COMPONENT_NOT_COVERED):
        judge(message, Requirements(cover_content=True), request=asked, content=CONTENT)
    assert judge(message, Requirements(), request=asked, content=CONTENT).content is None


def test_content_that_is_to_be_covered_must_be_given() -> None:
    with pytest.raises(ConfigurationError, match="content"):
        judge(with_content("content-digest"), Requirements(cover_content=True))


def test_a_digest_that_cannot_be_used_is_refused_when_the_content_is_given() -> None:
    broken = sign(request(("Content-Digest", "md5=:AAAA:")), KEY, ["content-digest"], {})
    with refused(Reason.DIGEST_UNUSABLE):
        judge(broken, Requirements(), content=CONTENT)
    assert judge(broken, Requirements()).content is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_age": timedelta(seconds=-1)},
        {"max_lifetime": timedelta(seconds=-1)},
        {"parameters": ("a",), "forbidden_parameters": ("a",)},
        {"parameter_values": {"a": 1}, "forbidden_parameters": ("a",)},
        {"tag": "a", "tags": frozenset({"b"})},
        {"tag": "a", "tags": frozenset[str]()},
    ],
)
def test_requirements_that_nothing_can_meet_are_a_mistake(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Requirements(**wrong)


def test_what_is_asked_for_by_default() -> None:
    """TM-12: half a minute between two clocks; and no age at all can be asked for."""
    assert Requirements().leeway == timedelta(seconds=30)
    none = Requirements(max_age=timedelta(0), max_lifetime=timedelta(0), leeway=timedelta(0))
    judge(signed({"created": NOW}), none)
    with refused(Reason.SIGNATURE_TOO_OLD):
        judge(signed({"created": NOW - 1}), none)


@pytest.mark.parametrize("value", ["1", True, 1.5, b"1", None])
@pytest.mark.parametrize("name", ["created", "expires"])
def test_a_time_that_is_no_integer_is_none_whoever_let_it_in(name: str, value: object) -> None:
    """SB-27: the check's own look at the type, below that of the reader."""
    metadata = SignatureInput.as_signed(CoveredComponents.of(["@method"]), {"created": NOW, name: value}, "")
    Requirements().check(metadata, request(), NOW)
    if name == "created":
        with refused(Reason.PARAMETER_MISSING):
            Requirements(max_age=timedelta(seconds=1)).check(metadata, request(), NOW)


def test_the_types_of_the_specification_cannot_be_changed() -> None:
    """SB-27"""
    text = Fields([("Signature-Input", 'a=();created="1"'), ("Signature", "a=:AAAA:")])
    with refused(Reason.PARAMETER_TYPE):
        judge(with_fields(request(), text), Requirements(parameter_types={"created": str}))


def test_a_component_is_required_with_its_parameters_in_any_order() -> None:
    """SB-33, RF-17: exactly that identifier, which the order of its parameters does not change."""
    metadata = SignatureInput((C('"a";req;key="k"'),))
    Requirements(components=(C('"a";key="k";req'),)).check(metadata, request(), NOW)
    for other in ('"a";req', '"a";key="k"', "a", '"a";key="K";req'):
        with refused(Reason.COMPONENT_NOT_COVERED):
            Requirements(components=(C(other),)).check(metadata, request(), NOW)


def test_nothing_covered_is_nothing_required() -> None:
    """SB-01: an empty list is refused as soon as anything is required."""
    message = sign(request(), KEY, [], {})
    assert judge(message, Requirements()).covered == {}
    with refused(Reason.COMPONENT_NOT_COVERED):
        judge(message, Requirements(components=(C("@method"),)))


def test_an_application_takes_values_from_what_was_signed() -> None:
    message = sign(request(("X", "1"), ("Y", "2")), KEY, ["@method", "x"], {"created": NOW, "mine": "m"})
    result = judge(message, Requirements())
    assert (result.value_of("@method"), result.value_of(C("x"))) == ("POST", "1")
    assert (result.parameters["mine"], result.key) == ("m", KEY.public_key)
    for other in ("y", '"x";req', "@path"):
        with refused(Reason.COMPONENT_NOT_COVERED):
            result.value_of(other)
