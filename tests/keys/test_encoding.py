from __future__ import annotations

import time

import pytest

from tests.refusals import refused
from wimse.errors import Reason
from wimse.keys import b64url_decode, b64url_encode, parse_json_object


@pytest.mark.parametrize(("data", "text"), [(b"", ""), (b"\xfb", "-w"), (b"\xff\xff", "__8"), (b"abc", "YWJj")])
def test_base64url_is_written_without_padding(data: bytes, text: str) -> None:
    assert b64url_encode(data) == text
    assert b64url_decode(text, "it") == data


@pytest.mark.parametrize(
    "text",
    [
        "YQ==",  # padding
        "Y Q",
        "YQ\n",
        "+w",  # the other alphabet
        "/w",
        "YQ.",
        "\u00e9AAA",
        "A",  # no length of base64
        "AAAAA",
        "YR",  # bits that are not zero
        "YWK",
    ],
)
def test_any_other_spelling_of_base64url_is_refused(text: str) -> None:
    """WT-05: foreign characters, the standard alphabet, padding and trailing bits."""
    with refused(Reason.BASE64_MALFORMED):
        b64url_decode(text, "it")


def test_a_json_object_is_read() -> None:
    text = '{"a": [1, -2.5, true, null, "x\\u00e9"], "b": {"c": {}}, "d": 1e3}'
    assert parse_json_object(text.encode(), "it") == {
        "a": [1, -2.5, True, None, "x\u00e9"],
        "b": {"c": {}},
        "d": 1000.0,
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b'"a"',
        b"null",
        b"{} {}",
        b"{}x",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":"\n"}',
        b"\xef\xbb\xbf{}",  # a byte order mark
        b'{"a":"\xff"}',
        b"\xff\xfe{\x00}\x00",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":-1e999}',
        b'{"a":' + b"1" * 400 + b".5}",
        b'{"a":12345678901234567890}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"a":["\\ud800"]}',
        b'{"a":{"b":"\\ud800"}}',
    ],
)
def test_what_readers_disagree_about_is_not_json_here(data: bytes) -> None:
    """WT-31: a byte order mark, NaN and Infinity, lone surrogates, integers of thousands of digits."""
    with refused(Reason.JSON_MALFORMED):
        parse_json_object(data, "it")


@pytest.mark.parametrize(
    "data", [b'{"a":1,"a":1}', b'{"a":1,"\\u0061":2}', b'{"a":{"b":1,"b":2}}', b'{"a":[{"":1,"":2}]}']
)
def test_a_member_that_occurs_twice_is_refused_at_any_depth(data: bytes) -> None:
    """WT-30: the first reader takes the first one, the second the last."""
    with refused(Reason.JSON_DUPLICATE_MEMBER):
        parse_json_object(data, "it")


def test_sixteen_levels_are_read_and_seventeen_are_not() -> None:
    """WT-31: never a RecursionError."""

    def nested(levels: int) -> bytes:
        return b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)

    assert parse_json_object(nested(16), "it")
    with refused(Reason.JSON_TOO_DEEP):
        parse_json_object(nested(17), "it")
    with refused(Reason.JSON_TOO_DEEP):
        parse_json_object(b'{"a":' + b"[" * 60_000, "it")


def test_brackets_within_strings_are_no_depth() -> None:
    text = b'{"a":"' + b'[{\\"' * 100 + b'"}'
    assert parse_json_object(text, "it") == {"a": '[{"' * 100}


def test_closed_brackets_do_not_count() -> None:
    assert len(parse_json_object(b'{"a":[' + b",".join([b"[]"] * 50) + b"]}", "it")) == 1


@pytest.mark.parametrize("tail", [b'\\"' * 32_000, b'"' * 32_001, b"\\" * 60_001, b'\\"' * 20_000 + b"\\"])
def test_an_unterminated_string_is_refused_in_linear_time(tail: bytes) -> None:
    # In quadratic time this took a minute.
    started = time.process_time()
    with refused(Reason.JSON_MALFORMED):
        parse_json_object(b'{"a":"' + tail, "it")
    assert time.process_time() - started < 1


def test_the_limit_of_size_is_exact() -> None:
    assert parse_json_object(b"{}  ", "it", max_bytes=4) == {}
    with refused(Reason.DOCUMENT_TOO_LARGE):
        parse_json_object(b"{}   ", "it", max_bytes=4)
    assert parse_json_object(b"{}" + b" " * 65_534, "it") == {}
    with refused(Reason.DOCUMENT_TOO_LARGE):
        parse_json_object(b"{}" + b" " * 65_535, "it")


def test_the_limit_of_digits_is_exact() -> None:
    assert parse_json_object(b'{"a":1234567890123456789}', "it") == {"a": 1234567890123456789}
    assert parse_json_object(b'{"a":1.7976931348623157e308}', "it") == {"a": 1.7976931348623157e308}
