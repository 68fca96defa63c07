"""Trailers: apart from the head (RFC 9421 §2.1.4), and read from a chunked body only when asked."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refused
from wimse.errors import Reason, Refused
from wimse.httpsig import (
    ComponentIdentifier,
    Fields,
    Limits,
    Message,
    Request,
    Requirements,
    Response,
    component_value,
    parse_http1,
    parse_signatures,
    run,
    sign,
    verify,
)
from wimse.keys import EDDSA, PrivateKey

KEY = PrivateKey.generate(EDDSA)
RESPONSE = Response(
    status=200, fields=Fields([("X", "head")]), trailers=Fields([("x", "tail"), ("Y", "1"), ("y", "2")])
)
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def value(text: str, message: Message = RESPONSE, request: Request | None = None) -> str:
    return component_value(ComponentIdentifier.parse(text), message, request)


def test_head_and_trailers_are_never_combined() -> None:
    """SB-35, RF-07"""
    assert value("x") == "head"
    assert value('"x";tr') == "tail"
    assert value('"y";tr') == "1, 2"
    assert value('"y";bs;tr') == ":MQ==:, :Mg==:"
    with refused(Reason.COMPONENT_ABSENT):
        value("y")
    with refused(Reason.COMPONENT_ABSENT):
        value('"x";tr', Response(status=200, fields=RESPONSE.fields))


def test_both_are_covered_side_by_side() -> None:
    """RF-07"""
    signed = sign(RESPONSE, KEY, ["x", '"x";tr'], {})
    assert signed.trailers == RESPONSE.trailers
    verified = run(verify(signed, Requirements(), now=0), lambda _: KEY.public_key)
    assert dict(verified.covered) == {"x": "head", "x;tr": "tail"}
    moved = Response(status=200, fields=Fields([*signed.fields, ("x", "tail")]))
    with refused(Reason.COMPONENT_ABSENT):
        run(verify(moved, Requirements(), now=0), lambda _: KEY.public_key)


def test_the_trailers_of_the_request_can_be_covered() -> None:
    """RF-13"""
    request = Request(method="POST", target="/", trailers=Fields([("x", "asked")]))
    assert value('"x";tr;req', RESPONSE, request) == "asked"
    assert value('"x";req;tr', RESPONSE, request) == "asked"
    with refused(Reason.COMPONENT_ABSENT):
        value('"x";req', RESPONSE, request)


@pytest.mark.parametrize("text", ['"d";sf;tr', '"d";key="a";tr'])
def test_trailers_can_be_structured(text: str) -> None:
    message = Response(status=200, trailers=Fields([("priority", "a=(1   2)")]))
    assert value(text.replace('"d"', '"priority"'), message) in ("a=(1 2)", "(1 2)")


def test_a_signature_in_trailers_is_none() -> None:
    """SB-36: the signature fields are read from the head only."""
    signed = sign(RESPONSE, KEY, ["x"], {})
    moved = Response(status=200, fields=RESPONSE.fields, trailers=signed.fields.without("x"))
    assert parse_signatures(moved.fields) == ()
    with refused(Reason.SIGNATURE_MISSING):
        run(verify(moved, Requirements(), now=0), lambda _: KEY.public_key)


def test_a_trailer_is_required_when_the_trailers_have_it() -> None:
    required = Requirements(components_if_present=(ComponentIdentifier.parse('"y";tr'),))
    with refused(Reason.COMPONENT_NOT_COVERED):
        run(verify(sign(RESPONSE, KEY, ["x"], {}), required, now=0), lambda _: KEY.public_key)
    in_head = Response(status=200, fields=Fields([("x", "1"), ("y", "2")]))
    run(verify(sign(in_head, KEY, ["x"], {}), required, now=0), lambda _: KEY.public_key)


def test_a_chunked_body_stays_as_it_stands_unless_asked() -> None:
    data = HEAD + b"1\r\na\r\n0\r\nX: y\r\n\r\n"
    read = parse_http1(data)
    assert read.content == b"1\r\na\r\n0\r\nX: y\r\n\r\n"
    assert read.body is None
    assert read.message.trailers == Fields()


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_a_chunked_body_is_decoded_when_asked(newline: bytes) -> None:
    data = newline.join(
        b"POST / HTTP/1.1|transfer-encoding: Chunked||4;a=b|HTTP|0A |0123456789|0|"
        b"Expires: Wed,|  9 Nov|Expires: now||".split(b"|")
    )
    read = parse_http1(data, decode_chunked=True)
    assert read.content == b"HTTP0123456789"
    assert read.message.trailers.values("expires") == ["Wed, 9 Nov", "now"]
    assert "expires" not in read.message.fields
    assert read.to_bytes() == data
    assert read.adding(("A", "b")).message.trailers == read.message.trailers


@pytest.mark.parametrize("body", [b"0\r\n\r\n", b"000\r\n\r\n", b"0;x\n\n"])
def test_a_body_without_trailers_is_decoded(body: bytes) -> None:
    read = parse_http1(HEAD + body, decode_chunked=True)
    assert (read.content, read.message.trailers) == (b"", Fields())


def test_a_body_that_is_not_chunked_stays_as_it_stands() -> None:
    read = parse_http1(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n0\r\n\r\n", decode_chunked=True)
    assert read.content == b"0\r\n\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"x\r\n",
        b"-1\r\n\r\n",
        b"+0\r\n\r\n",
        b"0x1\r\na\r\n0\r\n\r\n",
        b"1\r\nab\r\n0\r\n\r\n",
        b"2\r\na\r\n0\r\n\r\n",
        b"1\r\na\r\n",
        b"1\r\na0\r\n\r\n",
        b"ffffffffffffffff\r\na\r\n0\r\n\r\n",
        b"00000000000000001\r\na\r\n0\r\n\r\n",
        b"0\r\n",
        b"0\r\nX: y\r\n",
        b"0\r\n\r\nmore",
        b"0\r\nX: y\r\n\r\nmore",
        b"0;" + b"x" * 1_025 + b"\r\n\r\n",
    ],
)
def test_chunks_that_are_malformed_are_refused(body: bytes) -> None:
    with refused(Reason.MESSAGE_MALFORMED):
        parse_http1(HEAD + body, decode_chunked=True)


@pytest.mark.parametrize(
    "line", [b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding:"]
)
def test_another_coding_is_refused(line: bytes) -> None:
    with refused(Reason.MESSAGE_MALFORMED):
        parse_http1(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n0\r\n\r\n", decode_chunked=True)


def test_two_ways_to_say_where_the_content_ends_are_refused() -> None:
    with refused(Reason.MESSAGE_MALFORMED):
        parse_http1(HEAD[:-2] + b"Content-Length: 5\r\n\r\n0\r\n\r\n", decode_chunked=True)


@pytest.mark.parametrize("line", [b"no colon", b"@method: GET", b" folded", b"a: \0"])
def test_a_malformed_trailer_is_refused(line: bytes) -> None:
    """SB-12, SB-14"""
    with refused(Reason.FIELD_MALFORMED):
        parse_http1(HEAD + b"0\r\n" + line + b"\r\n\r\n", decode_chunked=True)


def test_the_limit_of_trailers_is_exact() -> None:
    limits, body = Limits(max_fields=2), HEAD + b"0\r\na: b\r\na: b\r\n"
    assert len(parse_http1(body + b"\r\n", decode_chunked=True, limits=limits).message.trailers) == 2
    with refused(Reason.TOO_MANY_FIELDS):
        parse_http1(body + b"a: b\r\n\r\n", decode_chunked=True, limits=limits)


@given(st.binary() | st.text(alphabet="0123aAF;\r\n: x").map(str.encode))
def test_any_chunked_body_is_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(Refused):
        read = parse_http1(HEAD + body, decode_chunked=True)
        assert read.to_bytes() == HEAD + body


@given(st.lists(st.binary(min_size=1)), st.booleans())
def test_what_was_chunked_is_what_is_read(chunks: list[bytes], upper: bool) -> None:
    sizes = [f"{len(chunk):X}" if upper else f"{len(chunk):x}" for chunk in chunks]
    body = b"".join(size.encode() + b"\r\n" + chunk + b"\r\n" for size, chunk in zip(sizes, chunks, strict=True))
    assert parse_http1(HEAD + body + b"0\r\n\r\n", decode_chunked=True).content == b"".join(chunks)
