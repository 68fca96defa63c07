from __future__ import annotations

import pytest

from tests.refusals import refused
from wimse.errors import ConfigurationError, Reason
from wimse.httpsig import (
    DEFAULT_LIMITS,
    ComponentIdentifier,
    Fields,
    Limits,
    Request,
    Response,
    component_value,
    with_fields,
)


@pytest.mark.parametrize("name", ["", "@method", "@path", "a b", "a:", "a\n", "\u00e9", 'a"', "a;b", "(a)"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    """SB-12: no field can pose as a derived component."""
    with refused(Reason.FIELD_MALFORMED):
        Fields([(name, "x")])


@pytest.mark.parametrize("char", ["\r", "\n", "\0", "\x01", "\x0b", "\x1f", "\x7f", "\u0100", "\u2028"])
def test_a_control_character_in_a_value_is_refused(char: str) -> None:
    """SB-14, RF-02: a line feed would forge a line of the signature base."""
    for value in (char, f"a{char}", f"{char}a", f"a{char}b"):
        with refused(Reason.FIELD_MALFORMED):
            Fields([("a", value)])


def test_bytes_are_taken_as_they_are() -> None:
    fields = Fields.from_bytes([(b"A", b"\xff\x80"), (b"b", b"\t x ")])
    assert list(fields) == [("A", "\xff\x80"), ("b", "\t x ")]
    with refused(Reason.FIELD_MALFORMED):
        Fields.from_bytes([(b"a", b"x\n")])


def test_lines_of_one_name_are_joined_in_order_and_without_surrounding_space() -> None:
    fields = Fields([("Cache-Control", " a\t"), ("x", ""), ("CACHE-control", "b, c")])
    assert fields.values("cache-control") == ["a", "b, c"]
    assert fields.combined("cache-control") == "a, b, c"
    assert fields.combined("x") == ""
    assert fields.combined("y") is None
    assert fields.values("y") == []
    assert "cache-control" in fields
    assert "Cache-Control" not in fields


def test_fields_are_changed_by_making_others() -> None:
    fields = Fields([("A", "1"), ("b", "2")])
    assert list(fields.without("a")) == [("b", "2")]
    assert list(fields.adding(("c", "3"))) == [("A", "1"), ("b", "2"), ("c", "3")]
    assert len(fields) == 2
    assert fields == Fields([("A", "1"), ("b", "2")])
    assert hash(fields) == hash(Fields([("A", "1"), ("b", "2")]))
    assert fields != Fields([("a", "1"), ("b", "2")])
    assert fields != [("A", "1"), ("b", "2")]
    with refused(Reason.FIELD_MALFORMED):
        fields.adding(("c", "\n"))


def test_fields_show_their_names_only() -> None:
    assert repr(Fields([("Authorization", "secret")])) == "Fields(Authorization)"


@pytest.mark.parametrize("method", ["", "GET ", "G\nET", "GÉT", "a(b)"])
def test_a_method_is_a_token(method: str) -> None:
    with refused(Reason.MESSAGE_MALFORMED):
        Request(method=method, target="/")


@pytest.mark.parametrize("target", ["", " ", "/a b", "/\n", "/\u00e9", "/\0", "/\x7f"])
def test_a_target_has_visible_ascii_only(target: str) -> None:
    """SB-14: nothing that ends or forges the request line."""
    with refused(Reason.MESSAGE_MALFORMED):
        Request(method="GET", target=target)


@pytest.mark.parametrize("scheme", ["", "1http", "http:", "ht tp", "http\n"])
def test_a_scheme_has_its_form(scheme: str) -> None:
    with refused(Reason.MESSAGE_MALFORMED):
        Request(method="GET", target="/", scheme=scheme)


@pytest.mark.parametrize("authority", [" ", "a b", "a\n", "\u00e9", "a\0"])
def test_an_authority_has_visible_ascii_only(authority: str) -> None:
    with refused(Reason.MESSAGE_MALFORMED):
        Request(method="GET", target="/", authority=authority)


@pytest.mark.parametrize("status", [-1, 0, 99, 1000])
def test_a_status_has_three_digits(status: int) -> None:
    with refused(Reason.MESSAGE_MALFORMED):
        Response(status=status)


def test_a_status_at_either_end_is_taken() -> None:
    assert (Response(status=100).status, Response(status=999).status) == (100, 999)


def test_other_fields_make_another_message() -> None:
    request = Request(method="GET", target="/")
    changed = with_fields(request, Fields([("a", "b")]))
    assert component_value(ComponentIdentifier("a"), changed) == "b"
    assert len(request.fields) == 0


@pytest.mark.parametrize(
    "name",
    [
        "max_fields",
        "max_field_bytes",
        "max_signature_field_bytes",
        "max_signatures",
        "max_components",
        "max_parameters",
        "max_digests",
    ],
)
def test_every_limit_is_at_least_one(name: str) -> None:
    assert getattr(Limits(**{name: 1}), name) == 1
    assert getattr(DEFAULT_LIMITS, name) >= 8
    for value in (0, -1):
        with pytest.raises(ConfigurationError, match=name):
            Limits(**{name: value})
