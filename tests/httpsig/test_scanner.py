"""The fast reader of canonical fields reads what the parser of structured fields reads, and nothing else."""

from __future__ import annotations

import string
from typing import Any

import http_sf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wimse.errors import Refused
from wimse.httpsig import DEFAULT_FIELD_TYPES, DEFAULT_LIMITS, ComponentIdentifier, Fields, Limits, parse_signatures
from wimse.httpsig import signatures as module
from wimse.httpsig.coverage import CoveredComponents
from wimse.httpsig.parameters import PARAMETER_TYPES
from wimse.httpsig.scanner import scan_signatures

keys = st.text(alphabet=string.ascii_lowercase + string.digits + "_-.*", min_size=1, max_size=6).filter(
    lambda key: key[0] in string.ascii_lowercase + "*"
)
strings = st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
values = st.booleans() | st.integers(-(10**15) + 1, 10**15 - 1) | strings | st.binary(max_size=4)
names = st.sampled_from(["@method", "@path", "@query", "content-type", "date", "x"])
components = st.lists(st.tuples(names, st.dictionaries(keys, st.just(True) | strings, max_size=2)), max_size=5)
inputs = st.dictionaries(keys, st.tuples(components, st.dictionaries(keys, values, max_size=5)), min_size=1, max_size=3)
noise = st.sampled_from(list(' \t,;:=()"\\?@%*_.-09azAZ/+\x00\xe9'))


def fields_of(signature_input: str, signature: str) -> Fields:
    return Fields([("Signature-Input", signature_input), ("Signature", signature)])


def written(drawn: dict[str, Any]) -> tuple[str, str]:
    return str(http_sf.ser(drawn)), ", ".join(f"{label}=:YWJj:" for label in drawn)


def without_scanner(fields: Fields) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "scan_signatures", lambda *_: None)
        return parse_signatures(fields)


def seen(parse: Any, fields: Fields) -> Any:
    """Everything that a caller can see of the result."""
    try:
        parsed = parse(fields)
    except Refused as refused:
        return refused.reason
    good = [
        (
            each.label,
            each.value,
            each.input.serialized,
            tuple(each.input.components),
            list(each.input.parameters.items()),
        )
        for each in parsed
    ]
    types = [[type(value) for _, value in each[4]] for each in good]
    return good, types, {label: each.reason for label, each in parsed.malformed.items()}


@given(inputs)
def test_what_is_written_is_read_alike(drawn: dict[str, Any]) -> None:
    fields = fields_of(*written(drawn))
    assert seen(parse_signatures, fields) == seen(without_scanner, fields)


@settings(max_examples=400)
@given(inputs, st.data())
def test_what_is_written_and_then_damaged_is_read_alike(drawn: dict[str, Any], data: st.DataObject) -> None:
    texts = list(written(drawn))
    for _ in range(data.draw(st.integers(1, 3))):
        which = data.draw(st.integers(0, 1))
        text = texts[which]
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 2))
        texts[which] = text[:at] + data.draw(st.just("") | noise) + text[at + cut :]
    try:
        fields = fields_of(*texts)
    except Refused:
        return
    assert seen(parse_signatures, fields) == seen(without_scanner, fields)


CANONICAL = 'sig1=("@method" "x";req;name="a b");created=1;expires=-17;nonce="a;b=c, d";tag="t";flag;off=?0;empty=""'


def scanned(text: str, signature: str = "sig1=:YWJj:", limits: Limits = DEFAULT_LIMITS) -> Any:
    return scan_signatures(text, signature, PARAMETER_TYPES, limits)


def test_the_canonical_form_is_read_fast() -> None:
    ((label, metadata, value),) = scanned(CANONICAL)
    assert (label, value) == ("sig1", b"abc")
    assert metadata.serialized == CANONICAL.partition("=")[2]
    assert list(metadata.parameters.items()) == [
        ("created", 1),
        ("expires", -17),
        ("nonce", "a;b=c, d"),
        ("tag", "t"),
        ("flag", True),
        ("off", False),
        ("empty", ""),
    ]


@pytest.mark.parametrize(
    "text",
    [
        'sig1=( "@method")',
        'sig1=("@method" )',
        'sig1=("@method"  "x")',
        'sig1=("@method"); created=1',
        'sig1=("@method");created=01',
        'sig1=("@method");created=-0',
        'sig1=("@method");created=1.0',
        'sig1=("@method");created=1000000000000000',
        'sig1=("@method");created="1"',
        'sig1=("@method");nonce=n',
        'sig1=("@method");nonce="a\\"b"',
        'sig1=("@method");flag=?1',
        'sig1=("@method");a=:YWJj:',
        'sig1=("@method");a=1;a=2',
        'sig1=("@Method")',
        "sig1=(method)",
        'sig1=("@method";x=1)',
        'sig1=("@method";req=?1)',
        'sig1=("@method"),sig2=()',
        'sig1=("@method"), ',
        'sig1=("@method"),',
        "sig1",
        "sig1=1",
        'sig1=("@method") ',
        ' sig1=("@method")',
        'SIG1=("@method")',
        'sig1=("@method")\t',
        'sig1=("\xe9")',
    ],
)
def test_everything_else_is_left_to_the_parser(text: str) -> None:
    assert scanned(text) is None


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "sig2=:YWJj:",
        "sig1=:YWJj:, sig1=:YWJj:",
        "sig1=:YWJ:",
        "sig1=:YWJj",
        "sig1=:YR==:",
        "sig1=YWJj",
        "sig1=:YWJj:,sig2=:YWJj:",
        "sig1=:YWJj: ",
        "sig1=:YWJj:;a",
    ],
)
def test_signatures_that_do_not_fit_are_left_to_the_parser(signature: str) -> None:
    """SB-25, SB-29"""
    assert scanned("sig1=()", signature) is None
    assert scanned("sig1=()", "sig1=:YQ==:") is not None


@pytest.mark.parametrize(
    "limits",
    [Limits(max_signature_field_bytes=20), Limits(max_components=1), Limits(max_parameters=1)],
)
def test_what_exceeds_a_limit_is_left_to_the_parser(limits: Limits) -> None:
    assert scanned(CANONICAL, limits=limits) is None
    both = scanned("a=(), b=()", "a=:YWJj:, b=:YWJj:", Limits(max_signatures=1))
    assert both is None


def test_lists_that_differ_in_the_order_of_parameters_stay_two() -> None:
    """RF-01: equal identifiers, and two spellings that are signed as they are."""
    one, other = (CoveredComponents.of([text]) for text in ('"x";req;name="a"', '"x";name="a";req'))
    assert one == other
    assert (one.serialized, other.serialized) == ('("x";req;name="a")', '("x";name="a";req)')
    assert CoveredComponents.of(one) is one
    assert one.has(ComponentIdentifier.parse('"x";name="a";req'))
    assert one.missing((ComponentIdentifier.parse("y"),)) == (ComponentIdentifier.parse("y"),)


def test_what_is_kept_of_lists_is_bounded() -> None:
    covered = CoveredComponents.of(["@method"])
    there = tuple(covered)
    assert [covered.missing(there) for _ in range(2)] == [(), ()]
    required = [(ComponentIdentifier.parse(f"x{each}"),) for each in range(100)]
    assert [covered.missing(each) for each in required] == required
    assert [covered.missing(each) for each in required] == required
    for each in range(100):
        types = DEFAULT_FIELD_TYPES.with_fields({f"x-{each}": "list"})
        assert covered.plan(types).names == ("@method",)
    long = "sig1=(" + " ".join(f'"x{"y" * 40}{each}"' for each in range(40)) + ")"
    assert len(scanned(long)[0][1].components) == 40
