from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refused
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig import (
    DEFAULT_FIELD_TYPES,
    Fields,
    Limits,
    Message,
    Request,
    Response,
    SignatureRequest,
    parse_accept_signature,
    request_signatures,
)


def response(*values: str) -> Response:
    """A response that asks for the signature of the next request."""
    return Response(status=401, fields=Fields(("Accept-Signature", value) for value in values))


def request(*values: str) -> Request:
    """A request that asks for the signature of its response."""
    return Request(method="GET", target="/", fields=Fields(("Accept-Signature", value) for value in values))


def test_the_example_of_the_rfc_is_read() -> None:
    """RF-20: §5.1"""
    (asked,) = parse_accept_signature(
        response(
            'sig1=("@method" "@target-uri" "@authority" "content-digest" "cache-control");'
            'keyid="test-key-rsa-pss";created;tag="app-123"'
        )
    )
    assert asked.label == "sig1"
    assert [str(each) for each in asked.components] == [
        "@method",
        "@target-uri",
        "@authority",
        "content-digest",
        "cache-control",
    ]
    assert dict(asked.parameters) == {"keyid": "test-key-rsa-pss", "created": True, "tag": "app-123"}
    assert asked.serialized.endswith('"cache-control");keyid="test-key-rsa-pss";created;tag="app-123"')


@pytest.mark.parametrize("message", [request(), response(), response("")])
def test_nothing_is_asked_without_the_field(message: Message) -> None:
    assert parse_accept_signature(message) == ()


def test_several_lines_are_one_field() -> None:
    found = parse_accept_signature(response('a=("@method");created', 'b=("@path");expires;nonce="n";alg="ed25519"'))
    assert [each.label for each in found] == ["a", "b"]
    assert dict(found[1].parameters) == {"expires": True, "nonce": "n", "alg": "ed25519"}


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("a", Reason.SIGNATURE_FIELD_MALFORMED),
        ("a=1", Reason.SIGNATURE_FIELD_MALFORMED),
        ('a=("@method"', Reason.SIGNATURE_FIELD_MALFORMED),
        ('("@method")', Reason.SIGNATURE_FIELD_MALFORMED),
        ("a=(method)", Reason.SIGNATURE_FIELD_MALFORMED),
        ("a=(1)", Reason.SIGNATURE_FIELD_MALFORMED),
        ('a=("@method");tag="\xe9"', Reason.SIGNATURE_FIELD_MALFORMED),
        ('a=("@method"), a=("@path")', Reason.SIGNATURE_LABEL_DUPLICATED),
        ('a=("@method");tag="x";tag="y"', Reason.PARAMETER_DUPLICATED),
        ('a=("@method";req;req)', Reason.PARAMETER_DUPLICATED),
        ('a=("@method" "@method")', Reason.COMPONENT_DUPLICATED),
        ('a=("priority";key="u" "priority";sf;key="u")', Reason.COMPONENT_DUPLICATED),
        ('a=("Date")', Reason.COMPONENT_UNKNOWN),
        ('a=("@foo")', Reason.COMPONENT_UNKNOWN),
        ('a=("@signature-params")', Reason.COMPONENT_UNKNOWN),
        ('a=("date";zzz)', Reason.COMPONENT_PARAMETER_UNKNOWN),
        ('a=("date";x=1)', Reason.COMPONENT_PARAMETER_UNKNOWN),
        ('a=("date";sf)', Reason.COMPONENT_NOT_APPLICABLE),
        ('a=("priority";bs;sf)', Reason.COMPONENT_NOT_APPLICABLE),
        ('a=("@method");created=1618884473', Reason.PARAMETER_TYPE),
        ('a=("@method");created=?0', Reason.PARAMETER_TYPE),
        ('a=("@method");expires=?0', Reason.PARAMETER_TYPE),
        ('a=("@method");expires=1', Reason.PARAMETER_TYPE),
        ('a=("@method");created="now"', Reason.PARAMETER_TYPE),
        ('a=("@method");nonce', Reason.PARAMETER_TYPE),
        ('a=("@method");nonce=:AAAA:', Reason.PARAMETER_TYPE),
        ('a=("@method");keyid=key', Reason.PARAMETER_TYPE),
        ('a=("@method");alg=1', Reason.PARAMETER_TYPE),
        ('a=("@method");tag=?1', Reason.PARAMETER_TYPE),
        ('a=("@method"), b=("@foo")', Reason.COMPONENT_UNKNOWN),
    ],
)
def test_what_is_malformed_is_refused_whole(field: str, reason: Reason) -> None:
    """RF-20, SB-23, SB-24, SB-26, SB-27 for this field: one bad member refuses all."""
    with refused(reason):
        parse_accept_signature(response(field))


@pytest.mark.parametrize("component", ['"@status"', '"@method";req', '"date";req', '"priority";key="u";req'])
def test_a_response_cannot_ask_a_request_for_what_it_does_not_have(component: str) -> None:
    """RF-20: §5; the target is the client's next request."""
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        parse_accept_signature(response(f"a=({component})"))
    assert parse_accept_signature(request(f"a=({component})"))


@pytest.mark.parametrize("component", ['"@method"', '"@path"', '"@query-param";name="a"', '"@target-uri"'])
def test_a_request_cannot_ask_a_response_for_what_it_does_not_have(component: str) -> None:
    """RF-20: §5; the target is the response to this request."""
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        parse_accept_signature(request(f"a=({component})"))
    assert parse_accept_signature(request(f"a=({component};req)"))
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        parse_accept_signature(request('a=("@status";req)'))


def test_further_parameters_have_the_types_that_the_application_says() -> None:
    field = 'a=("@method");x="1"'
    assert parse_accept_signature(response(field))[0].parameters["x"] == "1"
    assert parse_accept_signature(response(field), extension_types={"x": str})
    with refused(Reason.PARAMETER_TYPE):
        parse_accept_signature(response(field), extension_types={"x": bool})
    with refused(Reason.PARAMETER_TYPE):  # and cannot loosen those of the RFC
        parse_accept_signature(response('a=("@method");created=1'), extension_types={"created": int})


def test_the_limits_are_exact() -> None:
    """SB-38"""
    field = 'a=("@method" "@path");x;y, b=()'
    limits = Limits(max_signatures=2, max_components=2, max_parameters=2, max_signature_field_bytes=len(field))
    assert len(parse_accept_signature(response(field), limits=limits)) == 2
    for name, reason in [
        ("max_signatures", Reason.TOO_MANY_SIGNATURES),
        ("max_components", Reason.TOO_MANY_COMPONENTS),
        ("max_parameters", Reason.TOO_MANY_PARAMETERS),
    ]:
        with refused(reason):
            parse_accept_signature(response(field), limits=Limits(**{name: 1}))
    with refused(Reason.FIELD_TOO_LARGE):
        parse_accept_signature(response(field), limits=Limits(max_signature_field_bytes=len(field) - 1))


def test_what_is_asked_is_what_is_read() -> None:
    """RF-20"""
    types = DEFAULT_FIELD_TYPES.with_fields({"d": "dictionary"})
    wanted = SignatureRequest.build(
        ["@method", '"d";key="a"'],
        label="one",
        expires=True,
        nonce="n",
        alg="ed25519",
        keyid="k",
        tag="t",
        parameters={"x": True},
    )
    other = SignatureRequest.build(["date"], label="two", created=False)
    made = request_signatures(Response(status=401), [wanted, other], field_types=types)
    assert made.fields.combined("accept-signature") == (
        'one=("@method" "d";key="a");created;expires;keyid="k";alg="ed25519";nonce="n";tag="t";x, two=("date")'
    )
    read = parse_accept_signature(made, field_types=types)
    assert [(each.label, each.components, dict(each.parameters)) for each in read] == [
        (each.label, each.components, dict(each.parameters)) for each in (wanted, other)
    ]
    more = request_signatures(made, [SignatureRequest.build([], label="three")], field_types=types)
    assert [each.label for each in parse_accept_signature(more, field_types=types)] == ["one", "two", "three"]


def test_only_what_applies_can_be_asked_for() -> None:
    """RF-20: the sender MUST include only identifiers that fit the target."""
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        request_signatures(response(), [SignatureRequest.build(["@status"])])
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        request_signatures(request(), [SignatureRequest.build(["@method"])])
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        request_signatures(request(), [SignatureRequest.build(['"date";sf'])])


def test_a_label_is_asked_for_once() -> None:
    one = SignatureRequest.build(["date"])
    with refused(Reason.SIGNATURE_LABEL_DUPLICATED):
        request_signatures(request(), [one, one])
    with refused(Reason.SIGNATURE_LABEL_DUPLICATED):
        request_signatures(request_signatures(request(), [one]), [one])
    with pytest.raises(ConfigurationError):
        request_signatures(request(), [])


def test_what_no_field_can_hold_cannot_be_asked_for() -> None:
    for label in ("", "A", "a b", "\u00e9"):
        with pytest.raises(ConfigurationError):
            SignatureRequest.build(["date"], label=label)
    for text in ("\u00e9", "\n"):
        with pytest.raises(ConfigurationError):
            SignatureRequest.build(["date"], tag=text)
    with pytest.raises(ConfigurationError):
        SignatureRequest.build(["date"], tag=1)  # type: ignore[arg-type]
    for parameters in ({"A": True}, {"x": object()}, {"created": True}, {"nonce": "n"}):
        with pytest.raises(ConfigurationError):
            SignatureRequest.build(["date"], parameters=parameters)
    with refused(Reason.COMPONENT_DUPLICATED):
        SignatureRequest.build(["date", "date"])


@given(st.text(alphabet='abs=("@method" ;req)created,?01"\xe9') | st.text(alphabet=st.characters(max_codepoint=0xFF)))
def test_any_field_is_read_or_refused(field: str) -> None:
    for message in (request, response):
        with contextlib.suppress(Refused):
            for each in parse_accept_signature(message(field)):
                assert each.label in field
