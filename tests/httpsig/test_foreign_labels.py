"""Labels that are malformed beside one that is good: each matters to whoever chooses it, and to nobody else."""

from __future__ import annotations

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refused
from wimse.errors import Reason
from wimse.httpsig import (
    Fields,
    Limits,
    ParsedSignatures,
    Request,
    Requirements,
    parse_signatures,
    select_signature,
    sign,
    verify_message,
    with_fields,
)
from wimse.httpsig.signatures import _members
from wimse.keys import PrivateKey

KEY = PrivateKey.generate()
GOOD = sign(Request(method="GET", target="/"), KEY, ["@method"], {"tag": "mine", "keyid": "k"}, label="good")
MINE = Requirements(tag="mine")


def beside(signature_input: str | None, signature: str | None = "bad=:AAAA:", message: Request = GOOD) -> Request:
    """The message with a second label."""
    lines = [("Signature-Input", signature_input), ("Signature", signature)]
    return with_fields(message, message.fields.adding(*((name, value) for name, value in lines if value is not None)))


def label_of(message: Request, requirements: Requirements = MINE) -> str:
    return verify_message(message, requirements, lambda _: KEY.public_key, now=0).label


MALFORMED = [
    ("bad=1", "bad=:AAAA:", Reason.SIGNATURE_FIELD_MALFORMED),
    ("bad", "bad=:AAAA:", Reason.SIGNATURE_FIELD_MALFORMED),
    ('bad="x"', "bad=:AAAA:", Reason.SIGNATURE_FIELD_MALFORMED),
    ("bad=(x)", "bad=:AAAA:", Reason.SIGNATURE_FIELD_MALFORMED),
    ('bad=("x" 1)', "bad=:AAAA:", Reason.SIGNATURE_FIELD_MALFORMED),
    ("bad=()", "bad", Reason.SIGNATURE_FIELD_MALFORMED),
    ("bad=()", "bad=AAAA", Reason.SIGNATURE_FIELD_MALFORMED),
    ("bad=()", "bad=:AB==:", Reason.SIGNATURE_FIELD_MALFORMED),
    ("bad=()", "bad=:AA:", Reason.SIGNATURE_FIELD_MALFORMED),
    ("bad=()", "bad=(:AAAA:)", Reason.SIGNATURE_FIELD_MALFORMED),
    ("bad=()", None, Reason.SIGNATURE_LABEL_UNPAIRED),
    (None, "bad=:AAAA:", Reason.SIGNATURE_LABEL_UNPAIRED),
    ('bad=();created="1"', "bad=:AAAA:", Reason.PARAMETER_TYPE),
    ("bad=();keyid=k", "bad=:AAAA:", Reason.PARAMETER_TYPE),
    ("bad=();a;a", "bad=:AAAA:", Reason.PARAMETER_DUPLICATED),
    ('bad=("x";req;req)', "bad=:AAAA:", Reason.PARAMETER_DUPLICATED),
    ("bad=()", "bad=:AAAA:;a;a", Reason.PARAMETER_DUPLICATED),
    ('bad=("X")', "bad=:AAAA:", Reason.COMPONENT_UNKNOWN),
    ('bad=("@")', "bad=:AAAA:", Reason.COMPONENT_UNKNOWN),
    ('bad=("x";key=1)', "bad=:AAAA:", Reason.COMPONENT_PARAMETER_UNKNOWN),
    ("bad=(" + " ".join(f'"a{n}"' for n in range(65)) + ")", "bad=:AAAA:", Reason.TOO_MANY_COMPONENTS),
    ("bad=()" + "".join(f";a{n}" for n in range(17)), "bad=:AAAA:", Reason.TOO_MANY_PARAMETERS),
]


@pytest.mark.parametrize(("signature_input", "signature", "reason"), MALFORMED)
def test_a_malformed_label_does_not_take_the_good_one_down(
    signature_input: str | None, signature: str | None, reason: Reason
) -> None:
    """LB-02, SB-24 to SB-27, SB-29, RF-19: it is fatal to whoever chooses it, or chooses anything, only."""
    message = beside(signature_input, signature)
    found = parse_signatures(message.fields)
    assert [each.label for each in found] == ["good"]
    assert [(name, each.reason) for name, each in found.malformed.items()] == [("bad", reason)]
    assert found.labels == {"good", "bad"}
    for wanted in (MINE, Requirements(label="good"), Requirements(predicate=lambda each: each.label == "good")):
        assert label_of(message, wanted) == "good"
    for wanted in (Requirements(label="bad"), Requirements()):
        with refused(reason):
            label_of(message, wanted)


@pytest.mark.parametrize(("signature_input", "signature", "reason"), MALFORMED)
def test_the_order_of_labels_does_not_matter(
    signature_input: str | None, signature: str | None, reason: Reason
) -> None:
    first = beside(signature_input, signature, Request(method="GET", target="/"))
    message = with_fields(first, Fields([*first.fields, *GOOD.fields]))
    assert label_of(message) == "good"
    with refused(reason):
        label_of(message, Requirements(label="bad"))


@pytest.mark.parametrize(
    ("parameters", "signature", "reason"),
    [
        (';tag="mine"', "bad=1", Reason.SIGNATURE_FIELD_MALFORMED),
        (';tag="mine"', None, Reason.SIGNATURE_LABEL_UNPAIRED),
        (";tag=mine", "bad=:AAAA:", Reason.PARAMETER_TYPE),
        (';tag=%"mine"', "bad=:AAAA:", Reason.PARAMETER_TYPE),
        (";tag=:bWluZQ==:", "bad=:AAAA:", Reason.PARAMETER_TYPE),
        (';tag="mine";created=?1', "bad=:AAAA:", Reason.PARAMETER_TYPE),
        (';tag="mine";tag="other"', "bad=:AAAA:", Reason.PARAMETER_DUPLICATED),
        (';tag="other";tag="mine"', "bad=:AAAA:", Reason.PARAMETER_DUPLICATED),
        (';tag="other";a;tag=mine', None, Reason.PARAMETER_DUPLICATED),
        (';tag="mine"', "bad=:AAAA:;a;a", Reason.PARAMETER_DUPLICATED),
    ],
)
def test_a_malformed_label_with_the_tag_asked_for_is_refused_and_not_passed_over(
    parameters: str, signature: str | None, reason: Reason
) -> None:
    """LB-01, LB-03, SB-24: whichever of two values some reader takes."""
    with refused(reason):
        label_of(beside(f"bad=(){parameters}", signature))
    with refused(reason):  # nor does a predicate, which cannot be asked, let it through
        label_of(beside(f"bad=(){parameters}", signature), Requirements(tag="mine", predicate=lambda _: False))


@pytest.mark.parametrize(
    "parameters",
    [
        "",
        ';tag="other"',
        ";tag=other",
        ";tag=?1",
        ";tag=1",
        ';tag="Mine"',
        ';tag="other";tag="another"',
        ";tag",
        ";mine",
    ],
)
def test_a_malformed_label_with_another_tag_is_passed_over(parameters: str) -> None:
    """LB-02"""
    assert label_of(beside(f"bad=1{parameters}")) == "good"


def test_a_value_with_quotes_is_found_where_it_stands_twice() -> None:
    tag = 'a"b\\c'
    good = sign(Request(method="GET", target="/"), KEY, ["@method"], {"tag": tag})
    written = http_sf.ser(tag)
    with refused(Reason.PARAMETER_DUPLICATED):
        label_of(beside(f'bad=();tag={written};tag="x"', message=good), Requirements(tag=tag))


def test_when_nothing_else_fits_a_label_that_might_gives_the_reason() -> None:
    """SB-25, SB-27: more helpful than that there is none."""
    alone = Request(method="GET", target="/")
    with refused(Reason.SIGNATURE_LABEL_UNPAIRED):
        label_of(beside(None, message=alone))
    with refused(Reason.PARAMETER_TYPE):
        label_of(beside("bad=();tag=5", message=alone))
    with refused(Reason.SIGNATURE_FIELD_MALFORMED):
        label_of(beside("bad=1", message=alone), Requirements(predicate=lambda _: True))
    for another in ("bad=1", 'bad=1;tag="other"'):
        with refused(Reason.SIGNATURE_MISSING):
            label_of(beside(another, message=alone))


def test_a_malformed_label_is_selected_by_keyid_as_by_tag() -> None:
    wanted = Requirements(keyid="k")
    assert label_of(beside('bad=1;keyid="other"'), wanted) == "good"
    with refused(Reason.SIGNATURE_FIELD_MALFORMED):
        label_of(beside('bad=1;keyid="k"'), wanted)
    assert label_of(beside('bad=1;keyid="k"'), Requirements(keyid="k", tag="mine")) == "good"


@pytest.mark.parametrize(
    ("signature_input", "signature", "reason"),
    [
        ("!", "bad=:AAAA:", Reason.SIGNATURE_FIELD_MALFORMED),
        ("bad=(", "bad=:AAAA:", Reason.SIGNATURE_FIELD_MALFORMED),
        ('bad=("x', "bad=:AAAA:", Reason.SIGNATURE_FIELD_MALFORMED),
        ("bad=()", "bad=:AA", Reason.SIGNATURE_FIELD_MALFORMED),
        ("", None, Reason.SIGNATURE_FIELD_MALFORMED),
        ("good=()", None, Reason.SIGNATURE_LABEL_DUPLICATED),
        (None, "good=:AAAA:", Reason.SIGNATURE_LABEL_DUPLICATED),
        (", ".join(f"a{n}=()" for n in range(8)), None, Reason.TOO_MANY_SIGNATURES),
        (None, ", ".join(f"a{n}=:AAAA:" for n in range(8)), Reason.TOO_MANY_SIGNATURES),
        ('bad=("' + "x" * 16_384 + '")', None, Reason.FIELD_TOO_LARGE),
    ],
)
def test_what_concerns_the_whole_is_refused_as_a_whole(
    signature_input: str | None, signature: str | None, reason: Reason
) -> None:
    """SB-22, SB-23, SB-38; RFC 9651 §4.2: a syntax error takes the field down, wherever it is."""
    with refused(reason):
        label_of(beside(signature_input, signature))


def test_labels_of_both_fields_count_together() -> None:
    """SB-38"""
    fields = Fields([("Signature-Input", "a=(), b=()"), ("Signature", "c=:AAAA:, d=:AAAA:")])
    assert len(parse_signatures(fields, limits=Limits(max_signatures=4)).labels) == 4
    with refused(Reason.TOO_MANY_SIGNATURES):
        parse_signatures(fields, limits=Limits(max_signatures=3))


def test_a_new_signature_needs_a_label_that_no_malformed_one_has() -> None:
    """RF-19"""
    with refused(Reason.SIGNATURE_LABEL_DUPLICATED):
        sign(beside("bad=1"), KEY, [], {}, label="bad")


def test_a_refusal_is_made_anew_each_time() -> None:
    malformed = parse_signatures(beside("bad=1").fields).malformed["bad"]
    assert malformed.refusal() is not malformed.refusal()
    assert "bad=1" not in repr(malformed)


def test_a_plain_tuple_has_no_malformed_ones() -> None:
    found = parse_signatures(beside("bad=1").fields)
    assert found == tuple(found)
    assert select_signature(tuple(found), Requirements()).label == "good"
    assert ParsedSignatures().labels == set()


DISPLAYED = st.text(alphabet="ab,\\( ;").map(lambda text: f'%"{text}"')
ITEMS = (
    st.text(alphabet='ab,"\\( ;)%').map(lambda text: str(http_sf.ser(text)))
    | st.binary(max_size=5).map(lambda data: str(http_sf.ser(data)))
    | DISPLAYED
    | st.sampled_from(["1", "a%", "a:b/c", "1.5", "?1", "*", "@1"])
)
PARAMETERS = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), ITEMS), max_size=3).map(
    lambda pairs: "".join(f"; {name}={value}" for name, value in pairs)
)
ONE = st.tuples(ITEMS, PARAMETERS).map("".join)
MEMBERS = st.tuples(ONE | st.lists(ONE, max_size=3).map(lambda each: f"( {'  '.join(each)} )"), PARAMETERS).map("".join)
DICTIONARIES = st.lists(st.tuples(st.sampled_from([",", ", ", " ,\t"]), MEMBERS), min_size=1, max_size=6)


@given(DICTIONARIES)
def test_the_text_of_a_member_is_the_text_of_that_member(members: list[tuple[str, str]]) -> None:
    """Whatever commas stand within quotes: each piece parses to what its label has in the whole."""
    text = "".join(f"{comma}k{number}={member}" for number, (comma, member) in enumerate(members)).lstrip(", \t")
    whole = http_sf.parse(text.encode("ascii"), tltype="dictionary")
    pieces = _members(text, Limits())
    assert isinstance(whole, dict)
    assert len(pieces) == len(whole)
    for (label, value), piece in zip(whole.items(), pieces, strict=True):
        assert http_sf.parse(piece.encode("ascii"), tltype="dictionary") == {label: value}


@given(DICTIONARIES, st.integers(0), st.integers(0, 2), st.sampled_from(',";()%\\ a='))
def test_what_parses_is_cut_into_as_many_pieces_as_it_has_members(
    members: list[tuple[str, str]], at: int, drop: int, put: str
) -> None:
    """Also after a change of a character, as far as it still parses."""
    text = "".join(f"{comma}k{number}={member}" for number, (comma, member) in enumerate(members)).lstrip(", \t")
    at %= len(text)
    text = text[:at] + put + text[at + drop :]
    try:
        whole = http_sf.parse(text.encode("ascii"), tltype="dictionary", on_duplicate_key=_raise)
    except (http_sf.StructuredFieldError, LookupError):
        return
    assert isinstance(whole, dict)
    assert len(_members(text, Limits())) == max(len(whole), 1)


def _raise(_: str, kind: str) -> None:
    if kind == "dictionary":
        raise LookupError


@pytest.mark.parametrize("label", ["aaa", "zzz"])
def test_a_malformed_label_is_asked_for_by_its_own_name_only(label: str) -> None:
    """LB-02"""
    message = beside(f"{label}=1", f"{label}=:AAAA:")
    good = label_of(message)
    assert label_of(message, Requirements(label=good)) == good
    with refused(Reason.SIGNATURE_FIELD_MALFORMED):
        label_of(message, Requirements(label=label))
