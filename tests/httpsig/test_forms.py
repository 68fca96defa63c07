"""Forms that were learnt read what the other readers read, and come from signatures that verified."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.httpsig.test_scanner import fields_of, inputs, keys, noise, seen, strings, without_scanner, written
from tests.refusals import refused
from wimse.errors import Reason
from wimse.httpsig import DEFAULT_LIMITS, Fields, Limits, Request, Requirements, parse_signatures, sign, verify_message
from wimse.httpsig.forms import KnownForms
from wimse.keys import ES256, PrivateKey

KEY, STRANGER = PrivateKey.generate(ES256), PrivateKey.generate(ES256)
NOW = 1_800_000_000
VALUE = "a=:YWJj:"

marks = noise.filter(str.isprintable)
common = st.dictionaries(keys, st.just(True) | st.integers(-(10**15) + 1, 10**15 - 1) | strings, max_size=5)


def learnt(*inputs: str) -> KnownForms:
    forms = KnownForms()
    for each in inputs:
        for signature in parse_signatures(fields_of(each, f"{each.partition('=')[0]}=:YWJj:")):
            forms.learn(signature, DEFAULT_LIMITS)
    return forms


def agrees(forms: KnownForms, fields: Fields) -> bool:
    """Whether the forms read the message at all; that they read it as the parser does is asserted."""
    read = forms.read(fields, DEFAULT_LIMITS)
    if read is None:
        return False
    assert seen(lambda _: type(parse_signatures(fields))([read]), fields) == seen(without_scanner, fields)
    return True


@given(inputs, common)
def test_what_was_learnt_from_is_read_alike(drawn: dict[str, Any], other: dict[str, Any]) -> None:
    signature_input, signature = written(drawn)
    forms = learnt(signature_input)
    agrees(forms, fields_of(signature_input, signature))
    label, (components, parameters) = next(iter(drawn.items()))
    changed = {name: other.get(name, value) for name, value in parameters.items()}
    agrees(forms, fields_of(*written({label: (components, changed)})))


@settings(max_examples=400)
@given(st.tuples(keys, common), st.data())
def test_what_is_damaged_is_read_alike_or_not_at_all(drawn: tuple[str, dict[str, Any]], data: st.DataObject) -> None:
    label, parameters = drawn
    texts = list(written({label: ([("@method", {}), ("x", {"key": "a"})], parameters)}))
    forms = learnt(texts[0])
    for _ in range(data.draw(st.integers(0, 2))):
        which = data.draw(st.integers(0, 1))
        at = data.draw(st.integers(0, len(texts[which])))
        texts[which] = (
            texts[which][:at] + data.draw(st.just("") | marks) + texts[which][at + data.draw(st.integers(0, 2)) :]
        )
    agrees(forms, fields_of(texts[0], texts[1]))


def test_a_form_is_read_whatever_its_values_are() -> None:
    forms = learnt('a=("@method");created=1;nonce="n";flag')
    assert agrees(forms, fields_of('a=("@method");created=-20;nonce="";flag', VALUE))
    assert agrees(forms, fields_of('a=("@method");created=0;nonce="a, b=(;)";flag', VALUE))


@pytest.mark.parametrize(
    ("signature_input", "signature"),
    [
        ('a=("@method");created=1;nonce="n"', VALUE),
        ('a=("@method");created=1;nonce="n";flag;more', VALUE),
        ('a=("@method");created=1;nonce="n";flag=?0', VALUE),
        ('a=("@method");created=1;nonce="n";flag;created=2', VALUE),
        ('a=("@method");nonce="n";created=1;flag', VALUE),
        ('a=("@method");created=01;nonce="n";flag', VALUE),
        ('a=("@method");created=1000000000000000;nonce="n";flag', VALUE),
        ('a=("@method");created="1";nonce="n";flag', VALUE),
        ('a=("@method");created=1;nonce="\\"";flag', VALUE),
        ('a=("@path");created=1;nonce="n";flag', VALUE),
        ('b=("@method");created=1;nonce="n";flag', "b=:YWJj:"),
        ('a=("@method");created=1;nonce="n";flag', "a=:YWJk:;x"),
        ('a=("@method");created=1;nonce="n";flag', "a=:YWJ:"),
        ('a=("@method");created=1;nonce="n";flag', "a=:YWI=:=:"),
        ('a=("@method");created=1;nonce="n";flag', "a=:YWJ=:"),
        ('a=("@method");created=1;nonce="n";flag', "b=:YWJj:"),
        ('a=("@method");created=1;nonce="n";flag', "a=:YWJj:, b=:YWJj:"),
        ('a=("@method");created=1;nonce="n";flag, b=();created=1', VALUE),
        ('a=("@method");created=1;nonce="n";flag', "a=:YWJ\u00e9:"),
    ],
)
def test_what_has_another_form_is_left_to_the_other_readers(signature_input: str, signature: str) -> None:
    """SB-23, SB-24, SB-27, SB-29: all that they refuse they still get to see."""
    forms = learnt('a=("@method");created=1;nonce="n";flag')
    assert forms.read(fields_of(signature_input, signature), DEFAULT_LIMITS) is None


@pytest.mark.parametrize("missing", ["Signature", "Signature-Input"])
def test_a_missing_field_is_left_to_the_other_readers(missing: str) -> None:
    forms = learnt('a=("@method");created=1')
    both = fields_of('a=("@method");created=1', VALUE)
    assert forms.read(both, DEFAULT_LIMITS) is not None
    assert forms.read(both.without(missing.lower()), DEFAULT_LIMITS) is None


@pytest.mark.parametrize(
    "unusual",
    ['a=("@method");created=1;x=1.5', 'a=("@method");x=:YQ==:', 'a=("@method");x=?0', 'a=("x";key=")");created=1'],
)
def test_what_no_regular_expression_here_tells_is_not_learnt(unusual: str) -> None:
    assert learnt(unusual).read(fields_of(unusual, VALUE), DEFAULT_LIMITS) is None


def test_other_limits_are_for_the_other_readers() -> None:
    """SB-38: what was within one verifier's limits may be above another's."""
    text = 'a=("@method" "@path");created=1'
    forms = learnt(text)
    strict = Limits(max_components=1)
    assert forms.read(fields_of(text, VALUE), strict) is None
    forms.learn(parse_signatures(fields_of("b=();created=1", "b=:YWJj:"))[0], strict)
    assert forms.read(fields_of("b=();created=1", "b=:YWJj:"), strict) is None
    assert forms.read(fields_of(text, VALUE), DEFAULT_LIMITS) is not None


@pytest.mark.parametrize("longer", ["signature-input", "signature"])
def test_a_field_above_its_limit_is_left_to_the_other_readers(longer: str) -> None:
    """SB-38"""
    limits = Limits(max_signature_field_bytes=200)
    small = fields_of('a=("@method");nonce="n"', VALUE)
    forms = KnownForms()
    forms.learn(parse_signatures(small, limits=limits)[0], limits)
    assert forms.read(small, limits) is not None
    long_input, long_value = f'a=("@method");nonce="{"n" * 200}"', f"a=:{'YWJj' * 60}:"
    fields = (
        fields_of(long_input, VALUE)
        if longer == "signature-input"
        else fields_of('a=("@method");nonce="n"', long_value)
    )
    assert forms.read(fields, limits) is None


def test_the_number_of_forms_is_bounded() -> None:
    forms = learnt(*(f'a=("@method");p{number}=1' for number in range(40)))
    known = [
        number
        for number in range(40)
        if forms.read(fields_of(f'a=("@method");p{number}=2', VALUE), DEFAULT_LIMITS) is not None
    ]
    assert known == list(range(16))


def message() -> Request:
    return Request(method="GET", target="/", fields=Fields([("X", "1")]))


def signed(key: PrivateKey, nonce: str) -> Request:
    request = sign(message(), key, ["@method", "x"], {"created": NOW, "nonce": nonce}, label="a")
    return Request(method="GET", target="/", fields=Fields(tuple(request.fields)))


def test_only_signatures_that_verify_teach_a_form() -> None:
    requirements = Requirements()
    with refused(Reason.SIGNATURE_INVALID):
        verify_message(signed(STRANGER, "1"), requirements, lambda _: KEY.public_key, now=NOW)
    assert requirements.forms.read(signed(KEY, "2").fields, DEFAULT_LIMITS) is None
    verify_message(signed(KEY, "3"), requirements, lambda _: KEY.public_key, now=NOW)
    assert requirements.forms.read(signed(KEY, "4").fields, DEFAULT_LIMITS) is not None


def test_a_signature_of_a_known_form_is_judged_as_ever() -> None:
    requirements = Requirements(label="a")
    verify_message(signed(KEY, "1"), requirements, lambda _: KEY.public_key, now=NOW)
    verified = verify_message(signed(KEY, "2"), requirements, lambda _: KEY.public_key, now=NOW)
    assert verified.parameters == {"created": NOW, "nonce": "2"}
    assert verified.covered == {"@method": "GET", "x": "1"}
    with refused(Reason.SIGNATURE_INVALID):
        verify_message(signed(STRANGER, "3"), requirements, lambda _: KEY.public_key, now=NOW)
    with refused(Reason.SIGNATURE_NOT_YET_VALID):
        verify_message(signed(KEY, "4"), requirements, lambda _: KEY.public_key, now=NOW - 31)
    fields = signed(KEY, "5").fields
    altered = Fields([(name, re.sub('nonce="5"', 'nonce="6"', value)) for name, value in fields])
    with refused(Reason.SIGNATURE_INVALID):
        verify_message(
            Request(method="GET", target="/", fields=altered), requirements, lambda _: KEY.public_key, now=NOW
        )


def test_nothing_is_learnt_under_other_limits_than_the_first() -> None:
    """SB-38: else a form that is too large for one caller's limits would be read for it."""
    strict, text = Limits(max_components=1), 'a=("@method" "@path");created=1'
    forms = KnownForms()
    forms.learn(parse_signatures(fields_of("b=();created=1", "b=:YWJj:"), limits=strict)[0], strict)
    forms.learn(parse_signatures(fields_of(text, VALUE))[0], DEFAULT_LIMITS)
    assert forms.read(fields_of("b=();created=2", "b=:YWJj:"), strict) is not None
    assert forms.read(fields_of(text, VALUE), strict) is None
