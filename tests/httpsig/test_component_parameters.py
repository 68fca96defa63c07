"""`sf`, `key`, `bs` and their company: RFC 9421 §2.1.1 to §2.1.3, §2.4, §2.5 step 2.4."""

from __future__ import annotations

import contextlib
import time

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refused
from wimse.errors import Reason, Refused
from wimse.httpsig import (
    DEFAULT_FIELD_TYPES,
    ComponentIdentifier,
    Fields,
    Request,
    Requirements,
    Response,
    SignatureInput,
    component_value,
    make_signature,
    resolver_for,
    run,
    sign,
    signature_base,
    verify,
)
from wimse.keys import EDDSA, PrivateKey

TYPES = DEFAULT_FIELD_TYPES.with_fields({"d": "dictionary", "l": "list", "i": "item"})
KEY = PrivateKey.generate(EDDSA)


def request_with(*lines: tuple[str, str]) -> Request:
    return Request(method="GET", target="/p?q=1", authority="h", fields=Fields(lines))


def value(text: str, *lines: str) -> str:
    """The component's value when its field has these lines."""
    identifier = ComponentIdentifier.parse(text)
    request = request_with(*((identifier.name, line) for line in lines))
    return component_value(identifier, request, field_types=TYPES)


@pytest.mark.parametrize(
    ("text", "lines", "expected"),
    [
        ('"d";sf', ["a=1,    b=2;x=1;y=2,   c=(a   b   c)"], "a=1, b=2;x=1;y=2, c=(a b c)"),
        ('"d";sf', ["a=?1, b;x=?1"], "a, b;x"),
        ('"d";sf', ["a=1", " b=2 ", "c"], "a=1, b=2, c"),
        ('"d";sf', [""], ""),
        ('"l";sf', ["a,\tb , (c   d);e"], "a, b, (c d);e"),
        ('"l";sf', ["a", "b"], "a, b"),
        ('"i";sf', ["  1.50;  a"], "1.5;a"),
        ('"i";sf', [":YQ:"], ":YQ==:"),
        ('"i";sf', ["@1659578233"], "@1659578233"),
        ('"i";sf', ['%"%c3%bc"'], '%"%c3%bc"'),
        ('"i";sf', ["-0"], "0"),
    ],
)
def test_sf_is_the_strict_form_of_the_combined_lines(text: str, lines: list[str], expected: str) -> None:
    """RF-04"""
    assert value(text, *lines) == expected


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('"d";sf', ["a=1,"]),
        ('"d";sf', ["a=1", ""]),
        ('"d";sf', ["A=1"]),
        ('"d";sf', ["a=(1"]),
        ('"l";sf', ["a b"]),
        ('"i";sf', [""]),
        ('"i";sf', ["a", "b"]),
        ('"i";sf', ["@999999999999999"]),
        ('"i";sf', ["1.2345"]),
        ('"i";sf', ['"\xe9"']),
        ('"d";key="a"', ["a=1, ("]),
        ('"d";key="a"', ["a=\xff"]),
    ],
)
def test_a_value_that_is_not_of_its_fields_type_is_refused(text: str, lines: list[str]) -> None:
    """SB-32, RF-14"""
    with refused(Reason.COMPONENT_VALUE_INVALID):
        value(text, *lines)


@pytest.mark.parametrize("name", ["x", "date", "set-cookie", "cache-control"])
def test_sf_on_a_field_of_unknown_type_is_refused(name: str) -> None:
    """SB-31: also when its value could be read as some structured field."""
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        value(f'"{name}";sf', "a")


@pytest.mark.parametrize("name", ["x", "l", "i"])
def test_key_on_a_field_that_is_no_dictionary_is_refused(name: str) -> None:
    """SB-32"""
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        value(f'"{name}";key="a"', "a=1")


def test_the_types_are_those_of_the_call() -> None:
    """SB-31: what one application knows, another does not, whatever was asked before."""
    identifier = ComponentIdentifier.parse('"d";sf')
    assert component_value(identifier, request_with(("d", "a")), field_types=TYPES) == "a"
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        component_value(identifier, request_with(("d", "a")))
    assert component_value(identifier, request_with(("d", "a")), field_types=TYPES.with_fields({"d": "item"})) == "a"


@pytest.mark.parametrize(
    ("key", "expected"), [("a", "1"), ("d", "?1"), ("b", "2;x=1;y=2"), ("c", "(a b c)"), ("e", "?1;z"), ("f", "()")]
)
def test_key_is_one_member_with_its_parameters(key: str, expected: str) -> None:
    """RF-05"""
    lines = ["a=1, b=2;x=1;y=2", "c=(a   b    c), d", "e;z, f=()"]
    assert value(f'"d";key="{key}"', *lines) == expected
    assert value(f'"d";key="{key}";sf', *lines) == expected
    assert value(f'"d";sf;key="{key}"', *lines) == expected


@pytest.mark.parametrize("key", ["b", "", "A", "a ", "1", "a=1"])
def test_a_member_that_is_absent_is_refused(key: str) -> None:
    """SB-32, RF-05"""
    with refused(Reason.COMPONENT_ABSENT):
        value(f'"d";key="{key}"', "a=1")


@pytest.mark.parametrize("text", ['"d";sf', '"d";key="a"', '"d";key="b"'])
@pytest.mark.parametrize("lines", [["a=2, a=1, b"], ["a=2", "a=1, b"], ["b, a;x=1;x=2"], ["b, a=(c;x;x)"]])
def test_a_duplicate_in_a_structured_field_is_refused(text: str, lines: list[str]) -> None:
    """SB-24's rule for covered fields: were the last one to win, a line put in front would change no signature."""
    with refused(Reason.COMPONENT_VALUE_INVALID):
        value(text, *lines)


def test_a_line_put_in_front_of_a_covered_dictionary_spoils_the_signature() -> None:
    signed = sign(request_with(("d", "a=1")), KEY, ['"d";key="a"'], {}, field_types=TYPES)
    forged = Request(method="GET", target="/p?q=1", authority="h", fields=Fields([("d", "a=2"), *signed.fields]))
    flow = verify(forged, Requirements(), now=0, field_types=TYPES)
    with refused(Reason.COMPONENT_VALUE_INVALID):
        run(flow, lambda _: KEY.public_key)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["value, with, lots", "of, commas"], ":dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:"),
        (["value, with, lots, of, commas"], ":dmFsdWUsIHdpdGgsIGxvdHMsIG9mLCBjb21tYXM=:"),
        ([""], "::"),
        (["", ""], "::, ::"),
        ([" a\t"], ":YQ==:"),
        (["\xff\xfe"], "://4=:"),
    ],
)
def test_bs_wraps_each_line_for_itself(lines: list[str], expected: str) -> None:
    """RF-06, SB-21: bytes outside ASCII are welcome only here."""
    assert value('"x";bs', *lines) == expected


def test_bs_tells_lines_apart_that_are_one_value_without_it() -> None:
    assert value("x", "a, b", "c") == value("x", "a", "b, c")
    assert value('"x";bs', "a, b", "c") != value('"x";bs', "a", "b, c")


@pytest.mark.parametrize(
    "text", ['"d";bs;sf', '"d";sf;bs', '"d";bs;key="a"', '"d";key="a";bs', '"d";bs;sf;key="a"', '"d";bs;sf;req;tr']
)
def test_bs_goes_with_neither_sf_nor_key(text: str) -> None:
    """SB-08"""
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        resolver_for(ComponentIdentifier.parse(text), TYPES)


@pytest.mark.parametrize("name", ["@method", "@target-uri", "@path", "@query", "@authority", "@status"])
@pytest.mark.parametrize("parameter", ["sf", 'key="a"', "bs", "tr", 'name="a"', "req;sf", "zzz"])
def test_a_derived_component_has_none_of_a_fields_parameters(name: str, parameter: str) -> None:
    """SB-07, RF-08"""
    with refused(Reason.COMPONENT_PARAMETER_UNKNOWN):
        resolver_for(ComponentIdentifier.parse(f'"{name}";{parameter}'), TYPES)


@pytest.mark.parametrize("parameter", ["sf", 'key="a"', "bs", "tr"])
def test_a_query_parameter_has_none_either(parameter: str) -> None:
    """SB-07"""
    with refused(Reason.COMPONENT_PARAMETER_UNKNOWN):
        resolver_for(ComponentIdentifier.parse(f'"@query-param";name="q";{parameter}'), TYPES)


@pytest.mark.parametrize("text", ['"d";sf', '"d";key="a"', '"x";bs', '"x"', '"x";tr', '"d";key="a";tr'])
def test_an_absent_field_is_refused_with_every_parameter(text: str) -> None:
    """SB-11"""
    with refused(Reason.COMPONENT_ABSENT):
        component_value(ComponentIdentifier.parse(text), request_with(("y", "1")), field_types=TYPES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [('"d";sf;req', "a, b=2"), ('"d";req;key="b"', "2"), ('"d";bs;req', ":YSwgIGI9Mg==:"), ('"d";req', "a,  b=2")],
)
def test_req_goes_with_each_of_them(text: str, expected: str) -> None:
    """RF-13"""
    request = request_with(("d", "a,  b=2"))
    response = Response(status=200, fields=Fields([("d", "other")]))
    identifier = ComponentIdentifier.parse(text)
    assert component_value(identifier, response, request, field_types=TYPES) == expected
    with refused(Reason.COMPONENT_NOT_APPLICABLE):  # SB-09
        component_value(identifier, request, request, field_types=TYPES)


@pytest.mark.parametrize("text", ['"d";sf;sf', '"d";key="a";key="b"', '"d";req;req', '"d";bs;x;bs'])
def test_a_parameter_that_occurs_twice_is_refused(text: str) -> None:
    """SB-24 for components"""
    with refused(Reason.PARAMETER_DUPLICATED):
        ComponentIdentifier.parse(text)


def test_a_parameter_that_occurs_twice_is_refused_whoever_built_it() -> None:
    with refused(Reason.PARAMETER_DUPLICATED):
        resolver_for(ComponentIdentifier("d", (("key", "a"), ("key", "b"))), TYPES)


@pytest.mark.parametrize(
    "pair",
    [
        ['"d";key="a"', '"d";key="a"'],
        ['"d";key="a";req', '"d";req;key="a"'],
        ['"d";key="a"', '"d";key="a";sf'],
        ['"d";sf;key="a"', '"d";key="a"'],
        ['"d";sf;key="a";req', '"d";key="a";req'],
    ],
)
def test_a_key_is_covered_once(pair: list[str]) -> None:
    """SB-03, SB-04, RF-01, RF-05: sf beside key says nothing, and makes no second component of it."""
    with refused(Reason.COMPONENT_DUPLICATED):
        SignatureInput.build(pair, {})
    with refused(Reason.COMPONENT_DUPLICATED):
        metadata = SignatureInput(tuple(ComponentIdentifier.parse(each) for each in pair))
        signature_base(metadata, request_with(("d", "a")), field_types=TYPES)


def test_different_parameters_make_different_components() -> None:
    request = request_with(("d", "a,  b=1"))
    texts = ['"d"', '"d";sf', '"d";bs', '"d";key="a"', '"d";key="b"']
    made = make_signature(request, KEY, texts, {}, field_types=TYPES)
    assert list(made.base.covered.values()) == ["a,  b=1", "a, b=1", ":YSwgIGI9MQ==:", "?1", "1"]


def test_the_order_of_parameters_is_kept_in_the_base() -> None:
    """RF-01: equal, and still written as it came."""
    request = request_with(("d", "a"))
    for text in ('"d";sf;key="a"', '"d";key="a";sf'):
        made = make_signature(request, KEY, [text], {}, field_types=TYPES)
        assert made.base.data == f'{text}: ?1\n"@signature-params": ({text})'.encode()


def test_what_is_signed_with_parameters_verifies_with_the_same_types_only() -> None:
    signed = sign(request_with(("d", "a=1,b"), ("x", "\xff")), KEY, ['"d";sf', '"x";bs'], {}, field_types=TYPES)
    verified = run(verify(signed, Requirements(), now=0, field_types=TYPES), lambda _: KEY.public_key)
    assert dict(verified.covered) == {"d;sf": "a=1, b", "x;bs": ":/w==:"}
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        run(verify(signed, Requirements(), now=0), lambda _: KEY.public_key)


def test_a_resolver_is_kept_and_reads_each_message_anew() -> None:
    """SB-39: what is kept knows no message."""
    resolve = resolver_for(ComponentIdentifier.parse('"d";key="a"'), TYPES)
    assert resolve is resolver_for(ComponentIdentifier.parse('"d";key="a"'), TYPES)
    assert resolve(request_with(("d", "a=1")), None) == "1"
    assert resolve(request_with(("d", "a=2")), None) == "2"


def test_many_keys_of_a_large_field_take_linear_time() -> None:
    """SB-38: the field is parsed once for all of them, and the query for all of its parameters."""
    names = [f"k{number}" for number in range(64)]
    large = ", ".join(f"{name}={number}" for number, name in enumerate(names)) + f', z="{"x" * 400_000}"'
    query = "&".join(names) + "&" + "&".join(f"z{number}={'%41' * 100}" for number in range(900))
    request = Request(method="GET", target=f"/?{query}", fields=Fields([("d", large)]))
    texts = [f'"d";key="{name}"' for name in names] + [f'"@query-param";name="{name}"' for name in names]
    metadata = SignatureInput.build(texts, {})
    began = time.perf_counter()
    signature_base(metadata, request, field_types=TYPES)
    assert time.perf_counter() - began < 1.0


tokens = st.text(alphabet='ab=1,;()? ":*@%-.\t\xe9', max_size=30)


@given(st.sampled_from(["dictionary", "list", "item"]), st.lists(tokens, min_size=1, max_size=3))
def test_sf_gives_a_form_that_is_its_own_strict_form_or_refuses(kind: str, lines: list[str]) -> None:
    types = DEFAULT_FIELD_TYPES.with_fields({"x": kind})
    identifier = ComponentIdentifier.parse('"x";sf')
    with contextlib.suppress(Refused):
        once = component_value(identifier, request_with(*(("x", line) for line in lines)), field_types=types)
        assert component_value(identifier, request_with(("x", once)), field_types=types) == once


@given(st.lists(st.text(alphabet=st.characters(max_codepoint=0xFF, exclude_categories=["Cc"])), min_size=1))
def test_bs_can_be_undone_line_by_line(lines: list[str]) -> None:
    """RF-06: by the structured fields' own parser."""
    wrapped = value('"x";bs', *lines)
    parsed = http_sf.parse(wrapped.encode("ascii"), tltype="list")
    assert [item[0].decode("latin-1") for item in parsed] == [line.strip(" \t") for line in lines]  # type: ignore[union-attr,index]


@given(st.text(alphabet='"adxsfkeybrtq;=@-? '), st.text())
def test_any_identifier_is_resolved_or_refused(text: str, other: str) -> None:
    for each in (text, f'"d";{text}', f'"@query-param";{text}', other):
        with contextlib.suppress(Refused):
            component_value(ComponentIdentifier.parse(each), request_with(("d", "a")), field_types=TYPES)
