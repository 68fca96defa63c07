"""How answers leave: signed for the request they answer, or replaced, and never a success without its signature."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.refusals import refused
from tests.servers.support import (
    DOMAIN,
    SERVER,
    Exchange,
    Recorder,
    assert_problem,
    assert_refused,
    authenticator,
    call,
    client_authenticator,
    expired_source,
    scope_of,
    signed,
)
from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.servers.asgi import WimseMiddleware

LENIENT = client_authenticator(required=False)
START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"x"}


def is_signed(exchange: Exchange) -> bool:
    return exchange.header(b"signature") is not None


async def test_the_answer_is_signed_for_its_request() -> None:
    sent = signed()
    exchange = await call(scope_of(sent), app=Recorder(chunks=(b"an", b"", b"swer")))
    peer = exchange.verified(sent)
    assert peer is not None
    assert peer.identity == DOMAIN.identity("/server")
    assert set(peer.covered) >= {"@status", "content-digest", "content-type", "workload-identity-token"}
    assert "date" not in peer.covered
    assert exchange.header(b"content-length") == b"6"
    assert len(exchange.sent) == 2
    with refused(Reason.REQUEST_NONCE_MISMATCH):
        exchange.verified(signed())


async def test_an_answer_is_signed_also_where_nobody_asked() -> None:
    sent = signed(client=LENIENT)
    exchange = await call(scope_of(sent))
    assert exchange.verified(sent, LENIENT) is not None


async def test_every_status_is_signed() -> None:
    for status in (201, 301, 404, 500):
        sent = signed()
        exchange = await call(scope_of(sent), app=Recorder(status=status))
        assert exchange.status == status
        assert exchange.verified(sent) is not None


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_an_answer_without_content_has_no_digest(method: str, status: int) -> None:
    """DG-25: whatever the application sent, and with the length that it declared of the other answer."""
    sent = signed(method, "/orders", b"", fields=())
    headers = [(b"content-length", b"6")]
    exchange = await call(scope_of(sent), [b""], app=Recorder(status=status, headers=headers))
    assert exchange.body == b""
    assert exchange.header(b"content-digest") is None
    assert exchange.header(b"content-length") == (None if status == 204 else b"6")
    assert exchange.verified(sent) is not None


async def test_what_the_application_says_of_signatures_and_length_is_replaced() -> None:
    own = [
        (b"Signature", b"a=:AAAA:"),
        (b"signature-input", b'a=("@status")'),
        (b"workload-identity-token", b"x"),
        (b"content-digest", b"sha-256=:AAAA:"),
        (b"content-length", b"999"),
        (b"transfer-encoding", b"chunked"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
    ]
    sent = signed()
    exchange = await call(scope_of(sent), app=Recorder(headers=own))
    assert exchange.verified(sent) is not None  # header() saw that each is there once
    assert exchange.header(b"content-length") == b"6"
    assert exchange.header(b"transfer-encoding") is None
    assert [value for name, value in exchange.headers if name == b"set-cookie"] == [b"a=1", b"b=2"]
    sent = signed(client=LENIENT)
    exchange = await call(scope_of(sent), app=Recorder(headers=own), sign_all=False)
    names = {name.lower() for name, _ in exchange.headers}
    assert not names & {b"signature", b"signature-input", b"workload-identity-token"}


# --------------------------------------------------------------------------------- what had to be signed and cannot


CANNOT: list[list[dict[str, Any]]] = [
    [START, {**BODY, "body": b"x" * 11}],
    [START, {**BODY, "body": b"x" * 6, "more_body": True}, {**BODY, "body": b"x" * 6, "more_body": True}, BODY],
    [{**START, "trailers": True}, BODY, {"type": "http.response.trailers", "headers": []}],
    [START, {"type": "http.response.pathsend", "path": "/etc/hostname"}],
    [START, {"type": "http.response.zerocopysend", "file": 0}],
    [{"type": "http.response.debug", "info": {}}, START, BODY],
    [{**START, "headers": [(b"x", b"a\nb")]}, BODY],
]


@pytest.mark.parametrize("messages", CANNOT)
async def test_an_answer_that_had_to_be_signed_and_cannot_be_becomes_a_501(messages: list[dict[str, Any]]) -> None:
    """RS-02, RS-18, HS-29: before its first byte has gone out."""
    exchange = await call(scope_of(signed()), app=Recorder(messages=messages), max_response_bytes=10)
    assert_problem(exchange, 501, "unavailable")
    assert not is_signed(exchange)
    assert len(exchange.sent) == 2


@pytest.mark.parametrize("messages", [each for each in CANNOT if each[0]["type"] == START["type"]])
async def test_where_nobody_asked_it_goes_out_unsigned(messages: list[dict[str, Any]]) -> None:
    exchange = await call(scope_of(signed(client=LENIENT)), app=Recorder(messages=messages), max_response_bytes=10)
    assert not any(name == b"signature" for message in exchange.sent for name, _ in message.get("headers", ()))
    assert [m["type"] for m in exchange.sent if m["type"] != BODY["type"]] == [
        m["type"] for m in messages if m["type"] != BODY["type"]
    ]
    content = b"".join(m.get("body", b"") for m in exchange.sent)
    assert content == b"".join(m.get("body", b"") for m in messages)
    ends = [m.get("more_body", False) for m in exchange.sent if m["type"] == BODY["type"]]
    assert not any(ends[-1:])


@pytest.mark.parametrize("source", [None, expired_source()])
async def test_a_server_that_cannot_sign_says_so_before_it_acts(source: Any) -> None:
    """RS-02, CL-05."""
    assert_refused(await call(scope_of(signed()), source=source), 501, "unavailable")


class LosingSource:
    """A source that loses its credential while the application works."""

    def __init__(self) -> None:
        self.calls = 0

    def snapshot(self) -> Any:
        self.calls += 1
        if self.calls > 1:
            raise Unavailable(Reason.CREDENTIAL_EXPIRED, "lost")
        return SERVER.snapshot()


async def test_a_credential_that_is_lost_on_the_way_is_no_success(caplog: pytest.LogCaptureFixture) -> None:
    """RS-02."""
    with caplog.at_level(logging.WARNING, "wimse.servers.asgi"):
        exchange = await call(scope_of(signed()), source=LosingSource())
    assert_problem(exchange, 501, "unavailable")
    assert exchange.called
    assert "credential_expired" in caplog.text


@pytest.mark.parametrize("source", [None, expired_source()])
async def test_without_a_credential_the_others_are_answered_unsigned(source: Any) -> None:
    exchange = await call(scope_of(signed(client=LENIENT)), source=source)
    assert (exchange.status, exchange.body, is_signed(exchange)) == (200, b"answer", False)


async def test_an_application_without_end_is_stopped() -> None:
    """RS-18: one that streams on is told that nobody listens, and one that waits, that its caller is gone."""
    seen: list[Any] = []

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(START)
        try:
            while True:
                await send({**BODY, "more_body": True})
        except OSError as error:
            seen.extend([error, await receive()])
        await send(BODY)

    wrapped = WimseMiddleware(app, authenticator=authenticator(), source=SERVER, max_response_bytes=100)
    exchange = await call(scope_of(signed()), middleware=lambda _: wrapped)
    assert_problem(exchange, 501, "unavailable")
    assert isinstance(seen[0], OSError)
    assert seen[1] == {"type": "http.disconnect"}
    assert exchange.received == 1  # told by us: the server would let it wait


async def test_streams_flow_where_signing_is_for_those_who_ask() -> None:
    """The first part is sent before the second is made."""
    first_sent = asyncio.Event()
    sent: list[Any] = []

    async def app(_: Any, __: Any, send: Any) -> None:
        await send(START)
        await send({**BODY, "more_body": True})
        await asyncio.wait_for(first_sent.wait(), 5)
        await send(BODY)

    async def send(message: Any) -> None:
        sent.append(message)
        if message.get("body"):
            first_sent.set()

    async def receive() -> Any:
        return {"type": "http.request", "body": b"hello"}

    wrapped = WimseMiddleware(app, authenticator=authenticator(), source=SERVER, sign_all=False)
    await wrapped(scope_of(signed(client=LENIENT)), receive, send)
    assert len(sent) == 3


async def test_the_application_is_not_offered_what_would_bypass_the_signature() -> None:
    """RS-18: a framework then sends the file as a body."""
    exchange = await call(scope_of(signed()))
    assert exchange.app.scopes[0]["extensions"] == {"tls": {}}
    exchange = await call(scope_of(signed(client=LENIENT)), sign_all=False)
    assert "http.response.pathsend" in exchange.app.scopes[0]["extensions"]


async def test_an_application_that_fails_is_the_servers_affair() -> None:
    async def failing(_: Any, __: Any, send: Any) -> None:
        await send(START)
        raise ZeroDivisionError

    async def silent(_: Any, __: Any, send: Any) -> None:
        await send(START)
        await send({**BODY, "more_body": True})

    for app, error in ((failing, ZeroDivisionError), (silent, ConfigurationError)):
        sent: list[Any] = []

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"hello"}

        wrapped = WimseMiddleware(app, authenticator=authenticator(), source=SERVER)
        with pytest.raises(error):
            await wrapped(scope_of(signed()), receive, send)
        assert sent == []  # not one byte of what was not complete


async def test_refusals_are_unsigned() -> None:
    exchange = await call(scope_of(signed()), [b"other"])
    assert not is_signed(exchange)
    assert exchange.header(b"workload-identity-token") is None
