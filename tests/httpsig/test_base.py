from __future__ import annotations

import pytest

from tests.refusals import refused
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig import (
    ComponentIdentifier,
    CoveredComponents,
    Fields,
    Request,
    Response,
    SignatureInput,
    signature_base,
)

REQUEST = Request(method="GET", target="/a?b", authority="h", fields=Fields([("X", " 1 "), ("y", "2"), ("X", "3")]))


def base(components: list[str], message: Request | Response = REQUEST, request: Request | None = None) -> bytes:
    return signature_base(SignatureInput.build(components, {"created": 1}), message, request).data


def test_a_base_has_a_line_for_each_component_and_one_for_the_parameters() -> None:
    """RF-12: the last line is @signature-params, without a line feed behind it."""
    assert base(["@method", "x", '"@query-param";name="b"']) == (
        b'"@method": GET\n"x": 1, 3\n"@query-param";name="b": \n'
        b'"@signature-params": ("@method" "x" "@query-param";name="b");created=1'
    )


def test_an_empty_list_has_one_line() -> None:
    assert base([]) == b'"@signature-params": ();created=1'


def test_the_values_are_handed_out_by_the_names_that_people_write() -> None:
    made = signature_base(SignatureInput.build(["@status", '"@method";req'], {}), Response(status=204), REQUEST)
    assert made.covered == {"@status": "204", "@method;req": "GET"}


def test_a_duplicate_is_refused_even_when_nobody_built_it() -> None:
    """SB-03, SB-04, RF-01"""
    for pair in (("x", "x"), ('"x";a;b', '"x";b;a'), ("@method", '"@method"')):
        metadata = SignatureInput(tuple(ComponentIdentifier.parse(each) for each in pair))
        with refused(Reason.COMPONENT_DUPLICATED):
            signature_base(metadata, REQUEST)


def test_one_bad_component_spoils_the_base() -> None:
    """RF-14, SB-11"""
    with refused(Reason.COMPONENT_ABSENT):
        base(["@method", "z"])
    with refused(Reason.COMPONENT_UNKNOWN):
        base(["@method", "@signature-params"])


def test_a_base_outside_ascii_is_refused_whoever_let_it_in() -> None:
    """SB-21: the last step's own check, below those of values and parameters."""
    metadata = SignatureInput.as_signed(CoveredComponents.of(["@method"]), {}, '("@method");tag="\u00e9"')
    with refused(Reason.COMPONENT_VALUE_INVALID):
        signature_base(metadata, REQUEST)


def test_the_refusal_names_the_component_that_is_not_ascii() -> None:
    """RF-12, SB-21: and not its value."""
    message = Request(method="GET", target="/", fields=Fields([("A", "1"), ("B", "caf\u00e9"), ("C", "\u00e9")]))
    with pytest.raises(Refused) as caught:
        base(["@method", "a", "b", "c"], message)
    assert caught.value.reason is Reason.COMPONENT_VALUE_INVALID
    assert caught.value.detail == "the value of b is not ASCII"


def test_a_list_knows_the_names_of_its_components() -> None:
    covered = CoveredComponents.of(["@method", '"x";bs', '"x";key="a"'])
    assert covered.names == {"@method", "x"}
    assert covered.has(ComponentIdentifier.parse('"x";bs'))
    assert not covered.has(ComponentIdentifier.parse("x"))


@pytest.mark.parametrize("name", ["caf\u00e9", "a\nb"])
def test_a_name_that_cannot_be_written_is_our_own_mistake(name: str) -> None:
    """SB-21"""
    with pytest.raises(ConfigurationError, match="component"):
        CoveredComponents.of([ComponentIdentifier(name)])


def test_the_base_is_built_from_the_message_at_hand_each_time() -> None:
    """SB-39: nothing is kept from one message to the next."""
    metadata = SignatureInput.build(["@method"], {})
    first = signature_base(metadata, REQUEST).data
    assert signature_base(metadata, Request(method="PUT", target="/")).data != first
    assert signature_base(metadata, REQUEST).data == first


@pytest.mark.parametrize("lines", [["a, b", "c"], ["a", "b, c"], ["a, b, c"], [" a ", "b\t", " c"]])
def test_lines_that_are_joined_by_a_comma_and_a_space_are_one_value(lines: list[str]) -> None:
    """SB-16, SB-18: a hop may merge them so, and change the space around them."""
    request = Request(method="GET", target="/", fields=Fields([("x", line) for line in lines]))
    assert signature_base(SignatureInput.build(["x"], {}), request).covered == {"x": "a, b, c"}


def test_lines_that_are_joined_otherwise_are_another_value() -> None:
    """SB-18"""
    request = Request(method="GET", target="/", fields=Fields([("x", "a,b")]))
    assert signature_base(SignatureInput.build(["x"], {}), request).covered == {"x": "a,b"}
