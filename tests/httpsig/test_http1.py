from __future__ import annotations

import pytest

from tests.refusals import refused
from wimse.errors import Reason
from wimse.httpsig import Limits, Request, Response, parse_http1


def test_a_request_is_read() -> None:
    data = b"POST /a?b HTTP/1.1\r\nHost: example.com\r\nX-A:  1 \r\n\r\nbody\r\n\r\nmore"
    read = parse_http1(data)
    assert isinstance(read.message, Request)
    assert (read.message.method, read.message.target, read.message.scheme) == ("POST", "/a?b", "https")
    assert read.message.authority == "example.com"
    assert list(read.message.fields) == [("Host", "example.com"), ("X-A", "1")]
    assert read.content == b"body\r\n\r\nmore"
    assert read.to_bytes() == data


@pytest.mark.parametrize("line", [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.1 200", b"HTTP/2 200"])
def test_a_response_is_read(line: bytes) -> None:
    read = parse_http1(line + b"\n\nbody")
    assert read.message == Response(status=200)
    assert read.content == b"body"


def test_a_head_alone_is_read() -> None:
    read = parse_http1(b"GET / HTTP/1.0\r\nA: b\r\n", scheme="http")
    assert read.content == b""
    assert isinstance(read.message, Request)
    assert (read.message.authority, read.message.scheme) == ("", "http")
    assert read.to_bytes() == b"GET / HTTP/1.0\r\nA: b\r\n\r\n"


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_lines_are_added_at_the_end_of_the_head(newline: bytes) -> None:
    read = parse_http1(newline.join([b"GET / HTTP/1.1", b"A: b", b"", b"x"])).adding(("C", "d"), ("E", "\xff"))
    assert read.to_bytes() == newline.join([b"GET / HTTP/1.1", b"A: b", b"C: d", b"E: \xff", b"", b"x"])
    assert read.message.fields.combined("c") == "d"


def test_a_head_of_one_line_gets_crlf() -> None:
    assert parse_http1(b"GET / HTTP/1.1").adding(("A", "b")).to_bytes() == b"GET / HTTP/1.1\r\nA: b\r\n\r\n"


def test_a_folded_line_becomes_one_with_a_space() -> None:
    """SB-15: RFC 9421 §2.1 step 3."""
    read = parse_http1(b"GET / HTTP/1.1\r\nA: b \t\r\n\t  c\r\n d\r\n\r\n")
    assert read.message.fields.combined("a") == "b c d"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET / a HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET / http/1.1",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000",
        b"HTTP/1.1 099 x",
        b"G@T / HTTP/1.1",
        b"GET /\xe9 HTTP/1.1",
        b"HTTP/1.1 \xb2\xb2\xb2",
    ],
)
def test_a_first_line_of_neither_form_is_refused(line: bytes) -> None:
    with refused(Reason.MESSAGE_MALFORMED):
        parse_http1(line + b"\r\n\r\n")


@pytest.mark.parametrize(
    "line",
    [b" folded: nothing", b"no colon", b": no name", b"a b: c", b"@method: GET", b"a : b", b"a: \0", b"a: b\rc"],
)
def test_a_malformed_field_line_is_refused(line: bytes) -> None:
    """SB-12, SB-14: also a space before the colon (RFC 9112 §5.1) and a CR alone."""
    with refused(Reason.FIELD_MALFORMED):
        parse_http1(b"GET / HTTP/1.1\r\n" + line + b"\r\n\r\n")


def test_a_second_host_is_refused() -> None:
    with refused(Reason.FIELD_DUPLICATED):
        parse_http1(b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n")


def test_a_host_that_is_no_authority_is_refused() -> None:
    with refused(Reason.MESSAGE_MALFORMED):
        parse_http1(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")


def test_the_limit_of_fields_is_exact() -> None:
    limits = Limits(max_fields=3)
    head = b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 3
    assert len(parse_http1(head + b"\r\n", limits=limits).message.fields) == 3
    with refused(Reason.TOO_MANY_FIELDS):
        parse_http1(head + b"A: b\r\n\r\n", limits=limits)


def test_the_limit_of_a_line_is_exact() -> None:
    limits = Limits(max_field_bytes=10, max_signature_field_bytes=10)
    parse_http1(b"GET / HTTP/1.1\r\nA: 3456789\r\n\r\n", limits=limits)
    with refused(Reason.FIELD_TOO_LARGE):
        parse_http1(b"GET / HTTP/1.1\r\nA: 34567890\r\n\r\n", limits=limits)
    with refused(Reason.FIELD_TOO_LARGE):  # folded lines count together
        parse_http1(b"GET / HTTP/1.1\r\nA: 345\r\n 67890\r\n\r\n", limits=limits)


def test_continuation_lines_count_as_lines() -> None:
    """SB-38: they would be put together again and again."""
    with refused(Reason.TOO_MANY_FIELDS):
        parse_http1(b"GET / HTTP/1.1\r\nA: b\r\n" + b" c\r\n" * 128 + b"\r\n")
    folded = parse_http1(b"GET / HTTP/1.1\r\nA: b\r\n" + b" c\r\n" * 127 + b"\r\n")
    assert len(folded.message.fields) == 1
