from __future__ import annotations

import time

import pytest

from tests.refusals import refused
from wimse.errors import ConfigurationError, Reason
from wimse.httpsig import (
    ComponentIdentifier,
    Fields,
    Limits,
    Requirements,
    SignatureInput,
    parse_signatures,
    select_signature,
)

OK = "sig1=:AAAA:"


def parse(signature_input: str, signature: str = OK, **limits: int) -> SignatureInput:
    fields = Fields([("Signature-Input", signature_input), ("Signature", signature)])
    found = parse_signatures(
        fields,
        limits=Limits(**limits),
        extension_types={"wimse-aud": str, "wimse-req-nonce": str, "wimse-sign-response": bool},
    )
    return select_signature(found, Requirements()).input


def test_a_message_without_signatures_has_none() -> None:
    assert parse_signatures(Fields()) == ()
    assert parse_signatures(Fields([("Signature-Input", ""), ("Signature", "")])) == ()


def test_what_was_signed_is_read_and_written_the_same() -> None:
    """SB-30, RF-12: the order of parameters stays; only white space between items goes."""
    read = parse('sig1=( "b"  "a";req;x="y" );tag="t";created=1;flag;expires=2;q=1.0;t=tok;b=:AA==:;z=?0')
    assert read.serialized == '("b" "a";req;x="y");tag="t";created=1;flag;expires=2;q=1.0;t=tok;b=:AA==:;z=?0'
    assert (read.text("tag"), read.integer("created"), read.flag("flag")) == ("t", 1, True)
    assert (read.text("created"), read.integer("tag"), read.flag("z"), read.flag("none")) == (None, None, False, False)
    assert (read.text("none"), read.integer("none")) == (None, None)


def test_an_empty_list_of_components_is_read() -> None:
    # It covers nothing; what an application requires refuses it.
    assert parse("sig1=()").components == ()


def test_several_signatures_keep_the_order_of_signature_input() -> None:
    fields = Fields(
        [("Signature-Input", 'b=("@method")'), ("Signature-Input", "a=()"), ("Signature", "a=:AAAA:,\tb=:AQ==:")]
    )
    assert [(each.label, each.value) for each in parse_signatures(fields)] == [("b", b"\1"), ("a", b"\0\0\0")]


@pytest.mark.parametrize(
    "text",
    [
        "sig1",
        "sig1=",
        "sig1=1",
        'sig1="a"',
        "sig1=:AA==:",
        "sig1=(",
        'sig1=("a"',
        'sig1=("a)',
        'sig1=("a\\n")',
        'sig1=("a""b")',
        'sig1=("a"),',
        'sig1=("a") x',
        "sig1=(1)",
        "sig1=(a)",
        "sig1=(?1)",
        "sig1=(:AA==:)",
        "sig1=(());",
        'Sig1=("a")',
        '=("a")',
        'sig1=("a");A=1',
        'sig1=("a");created=1;;',
        'sig1=("a");nonce="a\\"',
        'sig1=("a");nonce="\xe9"',
        'sig1=("a\xe9")',
        'sig1=("a");created=@99999999999999999',
        'sig1=("a");created=1234567890123456',
    ],
)
def test_a_malformed_signature_input_is_refused(text: str) -> None:
    """SB-22, SB-26, SB-28: no escape gets out of its quotes, and a huge number is no exception."""
    with refused(Reason.SIGNATURE_FIELD_MALFORMED):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "sig1",
        "sig1=AAAA",
        'sig1="AAAA"',
        "sig1=1",
        "sig1=(:AAAA:)",
        "sig1=:AAAA",
        "sig1=:AA AA:",
        "sig1=:AA-_:",
        "sig1=:A:",
        "sig1=:AA:",
        "sig1=:AAA:",
        "sig1=:AB==:",
        "sig1=:AAB=:",
        "sig1=:====:",
        "sig1=:AA=A:",
        "sig1=?1",
        "sig1=:AAAA:,",
        "sig1=:\xe9:",
    ],
)
def test_a_signature_that_is_no_canonical_byte_sequence_is_refused(text: str) -> None:
    """SB-26, SB-29: bad padding, white space, the url alphabet, trailing bits."""
    with refused(Reason.SIGNATURE_FIELD_MALFORMED):
        parse('sig1=("a")', text)


@pytest.mark.parametrize(
    "lines",
    [
        [("Signature-Input", "sig1=(), sig1=()"), ("Signature", OK)],
        [("Signature-Input", "sig1=()"), ("Signature-Input", 'sig1=("a")'), ("Signature", OK)],
        [("Signature-Input", "sig1=()"), ("Signature", f"{OK}, sig1=:AAAB:")],
        [("Signature-Input", "sig1=()"), ("Signature", OK), ("signature", OK)],
    ],
)
def test_a_label_that_occurs_twice_is_refused(lines: list[tuple[str, str]]) -> None:
    """SB-23, RF-19: in one line or in two; structured fields would take the last."""
    with refused(Reason.SIGNATURE_LABEL_DUPLICATED):
        parse_signatures(Fields(lines))


@pytest.mark.parametrize(
    "text", ["sig1=();expires=1;expires=9", "sig1=();a;b;a", 'sig1=("x";req;req)', 'sig1=("x";name="a";name="b")']
)
def test_a_parameter_that_occurs_twice_is_refused(text: str) -> None:
    """SB-24: of a signature or of a component."""
    with refused(Reason.PARAMETER_DUPLICATED):
        parse(text)


@pytest.mark.parametrize(
    "lines",
    [
        [("Signature-Input", "sig1=()")],
        [("Signature", OK)],
        [("Signature-Input", "sig1=()"), ("Signature", "sig2=:AAAA:")],
        [("Signature-Input", "sig1=(), sig2=()"), ("Signature", OK)],
        [("Signature-Input", "sig1=()"), ("Signature", f"{OK}, sig2=:AAAB:")],
    ],
)
def test_a_label_in_only_one_field_is_refused(lines: list[tuple[str, str]]) -> None:
    """SB-25, RF-19"""
    with refused(Reason.SIGNATURE_LABEL_UNPAIRED):
        select_signature(parse_signatures(Fields(lines)), Requirements())


@pytest.mark.parametrize(
    "parameter",
    [
        *(f"{name}={value}" for name in ("created", "expires") for value in ('"1"', "1.0", "@1", "?1", "a", ":AA==:")),
        *(
            f"{name}={value}"
            for name in ("nonce", "tag", "alg", "keyid", "wimse-aud", "wimse-req-nonce")
            for value in ("1", "a", ":AA==:", "?1", '%"a"')
        ),
        *(f"wimse-sign-response={value}" for value in ("1", '"a"', "a")),
        "created",
        "nonce",
    ],
)
def test_a_parameter_of_the_wrong_type_is_refused(parameter: str) -> None:
    """SB-27, HS-13, AU-05: by type and not by what it would convert to."""
    with refused(Reason.PARAMETER_TYPE):
        parse(f"sig1=();{parameter}")


def test_parameters_of_the_right_type_are_taken() -> None:
    text = 'sig1=();created=-1;expires=999999999999999;nonce="";wimse-aud="a";wimse-sign-response=?0;other=1.5'
    assert parse(text).integer("expires") == 999_999_999_999_999
    assert parse(text).integer("created") == -1


def test_the_limits_are_exact() -> None:
    """SB-38"""
    text = 'sig1=("a" "b";x;y);p=1;q=2'
    assert len(parse(text, max_components=2, max_parameters=2, max_signature_field_bytes=len(text)).components) == 2
    with refused(Reason.TOO_MANY_COMPONENTS):
        parse(text, max_components=1)
    with refused(Reason.TOO_MANY_PARAMETERS):
        parse('sig1=("a" "b");p=1;q=2', max_parameters=1)
    with refused(Reason.TOO_MANY_PARAMETERS):
        parse('sig1=("a" "b";x;y);p=1', max_parameters=1)
    with refused(Reason.FIELD_TOO_LARGE):
        parse(text, max_signature_field_bytes=len(text) - 1)
    with refused(Reason.FIELD_TOO_LARGE):
        parse("sig1=()", "sig1=:" + "AAAA" * 3 + ":", max_signature_field_bytes=len("sig1=:AAAAAAAAAAAA:") - 1)
    two = Fields([("Signature-Input", "a=(), b=()"), ("Signature", "a=:AAAA:, b=:AAAA:")])
    assert len(parse_signatures(two, limits=Limits(max_signatures=2))) == 2
    with refused(Reason.TOO_MANY_SIGNATURES):
        parse_signatures(two, limits=Limits(max_signatures=1))


def test_the_default_limits_are_exact() -> None:
    """SB-38, LB-10: 64 components, 16 parameters, 8 labels, 16 KiB."""

    def labels(count: int) -> Fields:
        return Fields(
            [
                ("Signature-Input", ", ".join(f"s{number}=()" for number in range(count))),
                ("Signature", ", ".join(f"s{number}=:AAAA:" for number in range(count))),
            ]
        )

    def components(count: int) -> str:
        return "sig1=(" + " ".join(f'"a{number}"' for number in range(count)) + ")"

    def parameters(count: int) -> str:
        return "sig1=()" + "".join(f";p{number}" for number in range(count))

    assert len(parse_signatures(labels(8))) == 8
    assert len(parse(components(64)).components) == 64
    assert len(parse(parameters(16)).parameters) == 16
    with refused(Reason.TOO_MANY_SIGNATURES):
        parse_signatures(labels(9))
    with refused(Reason.TOO_MANY_COMPONENTS):
        parse(components(65))
    with refused(Reason.TOO_MANY_PARAMETERS):
        parse(parameters(17))
    with refused(Reason.FIELD_TOO_LARGE):
        parse('sig1=("' + "a" * 16_400 + '")')


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sig1=(" + '"a" ' * 4_000 + ")", Reason.TOO_MANY_COMPONENTS),
        (", ".join(f"s{number}=()" for number in range(1_500)), Reason.TOO_MANY_SIGNATURES),
        ("sig1=" + "(" * 16_000, Reason.TOO_MANY_COMPONENTS),
        ("sig1=()" + "".join(f";a{number}" for number in range(2_000)), Reason.TOO_MANY_PARAMETERS),
        ('sig1=("' + "\\\\" * 8_000, Reason.SIGNATURE_FIELD_MALFORMED),
        ("sig1=(" + '"a" ' * 10_000, Reason.FIELD_TOO_LARGE),
    ],
)
def test_a_large_signature_input_is_refused_quickly(text: str, reason: Reason) -> None:
    """SB-38: the bound is generous, for machines under load; quadratic time would be beyond it."""
    started = time.process_time()
    with refused(reason):
        parse(text)
    assert time.process_time() - started < 0.2


def test_metadata_is_built_from_text_and_identifiers() -> None:
    made = SignatureInput.build(["@method", ComponentIdentifier("a"), '"b";req'], {"created": 1, "tag": "t", "x": True})
    assert made.serialized == '("@method" "a" "b";req);created=1;tag="t";x'
    assert parse(f"sig1={made.serialized}") == made


@pytest.mark.parametrize("components", [["a", "a"], ["a", '"a"'], ['"a";x;y', '"a";y;x']])
def test_a_component_is_listed_once(components: list[str]) -> None:
    """SB-03, SB-04"""
    with refused(Reason.COMPONENT_DUPLICATED):
        SignatureInput.build(components, {})


@pytest.mark.parametrize(
    "parameters",
    [
        {"created": "1"},
        {"created": True},
        {"created": 1.0},
        {"nonce": 1},
        {"tag": b"t"},
        {"A": 1},
        {"": 1},
        {"x": None},
        {"x": object()},
        {"x": "\n"},
        {"x": "\u00e9"},
        {"x": 10**15},
        {"x": [1]},
    ],
)
def test_parameters_that_cannot_be_sent_are_our_own_mistake(parameters: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        SignatureInput.build(["a"], parameters)


def test_a_component_name_that_cannot_be_written_is_our_own_mistake() -> None:
    with pytest.raises(ConfigurationError):
        SignatureInput.build([ComponentIdentifier("a\n")], {})
