"""The whole way: httpx2 and httpx, sync and async, to granian with the middleware and back."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.clients.support import TLS, WAYS, Way
from tests.refusals import refused
from tests.servers.support import CLIENT, DOMAIN, client_authenticator, lines_of, served, signed
from wimse.authentication import ClientAuthenticator, any_trusted, expect
from wimse.clients.httpx import AsyncSigningTransport
from wimse.errors import Reason

every_way = pytest.mark.parametrize("way", WAYS, ids=str)
LENIENT = client_authenticator(required=False)


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with served() as origin:
        yield origin


@pytest.fixture(scope="module")
def other_origin() -> Iterator[str]:
    with served() as origin:
        yield origin


def calls(origin: str) -> list[str]:
    found: list[str] = httpx2.get(f"{origin}/calls", trust_env=False, verify=TLS).json()
    return found


def over_http(origin: str) -> ClientAuthenticator:
    """Signs for `origin`, and asks for nothing in return."""
    return ClientAuthenticator(
        CLIENT, server=expect(any_trusted), audience=lambda r: origin + r.target, require_signed_response=False
    )


def raw(origin: str, data: bytes, *, then: bytes = b"") -> bytes:
    """All that the server says to `data`, on a connection that the server closes."""
    host, port = urlsplit(origin).hostname, urlsplit(origin).port
    with socket.create_connection((host, port), 5) as connection:
        connection.sendall(data)
        if then:
            connection.sendall(then)
        said = b""
        while chunk := connection.recv(65_536):
            said += chunk
        return said


def head(method: str, target: str, lines: list[tuple[bytes, bytes]]) -> bytes:
    first = f"{method} {target} HTTP/1.1\r\nConnection: close\r\n".encode()
    return first + b"".join(name + b": " + value + b"\r\n" for name, value in lines) + b"\r\n"


@every_way
def test_a_call_and_its_answer(way: Way, origin: str) -> None:
    url = f"{origin}/orders/%7ea/b%20c?x=1;2"
    (response,) = way.send(("POST", url, {"content": b"hello", "headers": {"X-Kept": "1"}}))
    seen = response.json()
    assert seen["identity"] == "spiffe://example.org/client"
    assert seen["target"] == "/orders/~a/b%20c?x=1%3B2"
    assert seen["audience"] == f"{origin}/orders/~a/b%20c"
    assert seen["body"] == "hello"
    assert ["x-kept", "1"] in seen["headers"]
    assert response.extensions["wimse"].identity == DOMAIN.identity("/server")
    assert response.status_code == 200


@every_way
def test_a_redirect_to_another_server(way: Way, origin: str, other_origin: str) -> None:
    """RS-14."""
    url = f"{origin}/redirect?{other_origin}/there"
    responses = way.send(
        ("POST", url, {"content": b"hello"}), ("POST", url, {"content": b"hello"}), follow_redirects=True
    )
    seen = [each.json() for each in responses]
    assert [each["audience"] for each in seen] == [f"{other_origin}/there"] * 2
    assert seen[0]["nonce"] != seen[1]["nonce"]
    assert all(each.history[0].extensions["wimse"] for each in responses)


@every_way
def test_answers_of_every_kind(way: Way, origin: str) -> None:
    """DG-16, DG-25, RS-18: also a file, which the server would else send by itself."""
    gzipped, file, nothing, only_head, limit = way.send(
        ("GET", f"{origin}/gzip", {}),
        ("GET", f"{origin}/file", {}),
        ("GET", f"{origin}/no-content", {}),
        ("HEAD", f"{origin}/orders", {}),
        ("GET", f"{origin}/big?100000", {}),
    )
    assert (gzipped.content, file.content) == (b"squeezed", b"from a file")
    assert (nothing.status_code, only_head.status_code, len(limit.content)) == (204, 200, 100_000)
    assert all(each.extensions["wimse"] for each in (gzipped, file, nothing, only_head, limit))


@every_way
def test_an_answer_too_large_to_sign(way: Way, origin: str) -> None:
    """RS-02, RS-18."""
    with refused(Reason.RESPONSE_UNSIGNED):
        way.send(("GET", f"{origin}/big?100001", {}))
    (response,) = way.send(("GET", f"{origin}/big?100001", {}), authenticator=LENIENT)
    assert (response.status_code, len(response.content)) == (200, 100_001)
    assert response.extensions.get("wimse") is None


@every_way
def test_a_body_too_large_is_not_read(way: Way, origin: str) -> None:
    before = calls(origin)
    (response,) = way.send(("POST", f"{origin}/a", {"content": b"x" * 100_001}), authenticator=LENIENT)
    assert (response.status_code, response.json()["reason"]) == (413, "limit")
    assert calls(origin) == before


def test_http_2(origin: str) -> None:
    """HT-17: the same over the other version, with the authority in its own place."""

    async def call() -> Any:
        inner = httpx2.AsyncHTTPTransport(verify=TLS, http1=False, http2=True)
        async with httpx2.AsyncClient(transport=AsyncSigningTransport(inner, client_authenticator())) as client:
            return await client.post(f"{origin}/a?b", content=b"hello")

    response = asyncio.run(call())
    assert response.http_version == "HTTP/2"
    assert response.extensions["wimse"]


def test_an_unsigned_request_is_refused_before_its_body_is_asked_for(origin: str) -> None:
    """DG-24: no 100 Continue."""
    before = calls(origin)
    lines = [(b"host", b"a"), (b"expect", b"100-continue"), (b"content-length", b"5")]
    said = raw(origin, head("POST", "/a", lines))
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"100 Continue" not in said
    assert json.loads(said.partition(b"\r\n\r\n")[2])["reason"] == "wit"
    assert calls(origin) == before


def test_each_of_two_pipelined_requests_is_judged(origin: str) -> None:
    """HT-03: an unsigned one behind a signed one."""
    before = calls(origin)
    authority = urlsplit(origin).netloc
    sent = signed("GET", "/first", b"", fields=(), client=over_http(origin), authority=authority)
    first = head("GET", "/first", lines_of(sent)).replace(b"Connection: close\r\n", b"")
    said = raw(origin, first, then=head("GET", "/second", [(b"host", authority.encode())]))
    assert said.count(b"HTTP/1.1 200 ") == 1
    assert said.count(b"HTTP/1.1 400 ") == 1
    assert calls(origin) == [*before, "/first"]


def test_the_same_bytes_twice(origin: str) -> None:
    """RP-15: what a proxy repeats is refused, as the client never does it."""
    before = calls(origin)
    sent = signed("GET", "/once", b"", fields=(), client=over_http(origin), authority=urlsplit(origin).netloc)
    data = head("GET", "/once", lines_of(sent))
    assert raw(origin, data).startswith(b"HTTP/1.1 200 ")
    assert raw(origin, data).startswith(b"HTTP/1.1 400 ")
    assert calls(origin) == [*before, "/once"]


def test_a_websocket_is_refused(origin: str) -> None:
    """HT-22, MW-01."""
    upgrade = [
        (b"host", b"a"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
    ]
    data = head("GET", "/calls", upgrade).replace(b"Connection: close", b"Connection: upgrade")
    with socket.create_connection((urlsplit(origin).hostname, urlsplit(origin).port), 5) as connection:
        connection.sendall(data)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 403 ")
