"""The signing transports: what goes over the wire, and which answers are believed. Both libraries, both ways."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import httpx2
import pytest

from tests.clients.support import (
    TLS,
    WAYS,
    Recorded,
    Way,
    authenticated,
    on_the_wire,
    raw_server,
    signed_answer,
    signed_head,
)
from tests.refusals import refused
from tests.servers.support import CLIENT, DOMAIN, client_authenticator, expired_source
from wimse.clients.httpx import AsyncSigningTransport, SigningTransport, async_client, client
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.httpsig import Fields, Response
from wimse.testing import InMemoryTrustDomain

every_way = pytest.mark.parametrize("way", WAYS, ids=str)
LENIENT = client_authenticator(required=False)


def get(url: str, **more: Any) -> tuple[str, str, dict[str, Any]]:
    return "GET", url, more


def post(url: str, content: Any = b"hello", **more: Any) -> tuple[str, str, dict[str, Any]]:
    return "POST", url, {"content": content, **more}


# ------------------------------------------------------------------------------------------------------ on the wire


@every_way
@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("", b"/"),
        ("?", b"/"),
        ("/a?", b"/a"),
        ("/a?b=c;d&e=+%20%2f", b"/a?b=c%3Bd&e=+%20%2F"),
        ("/%7euser/caf%c3%a9/é", b"/~user/caf%C3%A9/%C3%A9"),
        ("/a/../b/%2e/c", b"/b/c"),
        ("/a;v=1/(b)'!$&*+,=:@", b"/a;v=1/(b)'!$&*+,=:@"),
        ("/{a}|^`?q=[1]{}|^`\\'#fragment", b"/%7Ba%7D%7C%5E%60?q=%5B1%5D%7B%7D%7C%5E%60%5C'"),
    ],
)
def test_what_is_signed_is_what_is_sent(way: Way, url: str, target: bytes) -> None:
    with raw_server() as server:
        (response,) = way.send(get(server.origin + url))
    (recorded,) = server.recorded
    sent = recorded.request_line.split(b" ")[1]
    assert sent.replace(b"%27", b"'") == target  # one of the libraries escapes an apostrophe before we see it
    _, _, caller = authenticated(recorded, server.origin)
    path, mark, query = sent.partition(b"?")
    assert caller.covered["@path"] == path.decode()
    assert caller.covered["@query"] == "?" + (query.decode() if mark else "")
    assert response.content == b"answer"
    assert response.extensions["wimse"].identity == DOMAIN.identity("/server")
    assert "network_stream" not in response.extensions


@every_way
@pytest.mark.parametrize("path", ["/a%2Fb", "/a%5Cb", "/a%00", "/a[1]", "/a//b", "//a"])
def test_a_target_without_a_safe_form_is_not_sent(way: Way, path: str) -> None:
    with raw_server() as server, pytest.raises(ConfigurationError):
        way.send(get(server.origin + path))
    assert server.recorded == []


@every_way
def test_the_content_that_is_digested_is_the_content_that_is_sent(way: Way) -> None:
    """CL-10: an iterator is read once, before; what its buffer becomes afterwards changes nothing."""
    buffer = bytearray(b"first")

    def parts() -> Iterator[bytes]:
        yield bytes(buffer)
        buffer[:] = b"other"
        yield b" part"

    async def async_parts() -> AsyncIterator[bytes]:
        for part in parts():
            yield part

    with raw_server() as server:
        way.send(
            post(server.origin, async_parts() if way.asynchronous else parts()),
            ("PUT", server.origin, {"json": {"a": 1}}),
            ("POST", server.origin, {"data": {"a": "b"}}),
            ("POST", server.origin, {"files": {"a": b"b"}}),
            ("POST", server.origin, {}),
            ("DELETE", server.origin, {}),
        )
    first, put, form, multipart, empty, delete = server.recorded
    assert first.content == b"first part"
    for recorded in (first, put, form, multipart):
        assert recorded.values("content-length") == [str(len(recorded.content))]
        _, _, caller = authenticated(recorded, server.origin)
        assert caller.covered["content-digest"] == recorded.values("content-digest")[0]
    assert empty.values("content-length") == ["0"]
    assert delete.values("content-length") == []


@every_way
def test_the_callers_own_signature_fields_are_replaced(way: Way) -> None:
    """CL-11."""
    own = {
        "Signature": "a=:AAAA:",
        "signature-input": 'a=("@path")',
        "WORKLOAD-IDENTITY-TOKEN": "a.b.c",
        "Content-Digest": "sha-256=:AAAA:",
        "Accept-Encoding": "gzip",
        "Content-Length": "999",
    }
    with raw_server() as server:
        way.send(post(server.origin, headers=own))
    (recorded,) = server.recorded
    for name in own:
        assert len(recorded.values(name.lower())) == 1
    assert recorded.values("accept-encoding") == ["identity;q=1, *;q=0"]
    assert recorded.values("content-length") == ["5"]
    authenticated(recorded, server.origin)


@every_way
@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\0"])
def test_a_field_with_a_line_break_is_not_signed(way: Way, value: str) -> None:
    """CL-12."""
    with raw_server() as server, refused(Reason.FIELD_MALFORMED):
        way.send(get(server.origin, headers={"X-Own": value}))
    assert server.recorded == []


@every_way
def test_a_signed_response_is_always_asked_for(way: Way) -> None:
    """RS-17."""
    with raw_server() as server:
        way.send(get(server.origin))
    assert server.recorded[0].values("signature-input")[0].count(";wimse-sign-response") == 1


@every_way
def test_an_accept_signature_of_the_server_asks_in_vain(way: Way) -> None:
    """RS-13."""

    def respond(recorded: Recorded) -> bytes:
        field = ("Accept-Signature", 'a=("cookie" "x-own");nonce="chosen-by-the-server"')
        return on_the_wire(signed_head(recorded, 200, b"answer", field), b"answer")

    with raw_server(respond) as server:
        way.send(get(server.origin), get(server.origin, headers={"X-Own": "1"}))
    written = server.recorded[1].values("signature-input")[0]
    assert "x-own" not in written
    assert "chosen-by-the-server" not in written


@every_way
def test_the_host_is_what_is_sent(way: Way) -> None:
    with raw_server() as server:
        way.send(get(server.origin, headers={"Host": "orders.example"}))
    authenticated(server.recorded[0], "http://orders.example")


@every_way
def test_a_second_host_is_not_sent(way: Way) -> None:
    with raw_server() as server, pytest.raises(ConfigurationError, match="Host"):
        way.send(get(server.origin, headers=[("Host", "a.example"), ("Host", "b.example")]))
    assert server.recorded == []


# ------------------------------------------------------------------------------------------------------- every hop


@every_way
def test_every_hop_and_every_repetition_is_signed_anew(way: Way) -> None:
    """RS-14, RP-15: a redirect to another origin gets a signature for that origin, and not the first one's."""
    with raw_server() as other:

        def respond(recorded: Recorded) -> bytes:
            head = signed_head(recorded, 307, b"", ("Location", f"{other.origin}/there?x;y"))
            return on_the_wire(head, b"")

        with raw_server(respond) as server:
            responses = way.send(post(f"{server.origin}/here"), post(f"{server.origin}/here"), follow_redirects=True)
    callers = [authenticated(each, server.origin)[2] for each in server.recorded]
    callers += [authenticated(each, other.origin)[2] for each in other.recorded]
    assert [each.covered["@path"] for each in callers] == ["/here", "/here", "/there", "/there"]
    assert [each.content for each in other.recorded] == [b"hello", b"hello"]
    assert len({each.nonce for each in callers}) == 4
    assert len({each.signature.parameters["wimse-aud"] for each in callers}) == 2
    assert all(each.extensions["wimse"] for each in responses)
    for hops in (server.recorded, other.recorded):
        assert all(len(each.values("signature")) == 1 for each in hops)


@every_way
def test_redirects_are_not_followed_unasked(way: Way) -> None:
    """RS-14."""
    respond = lambda recorded: on_the_wire(signed_head(recorded, 307, b"", ("Location", "/there")), b"")  # noqa: E731
    with raw_server(respond) as server:
        (response,) = way.send(get(server.origin))
    assert response.status_code == 307
    assert len(server.recorded) == 1


@every_way
def test_a_redirect_away_from_tls_is_not_followed(way: Way) -> None:
    """CL-09."""
    respond = lambda recorded: on_the_wire(signed_head(recorded, 307, b"", ("Location", "http://a.example")), b"")  # noqa: E731
    with raw_server(respond) as server, pytest.raises(ConfigurationError, match="https"):
        way.send(get(server.origin), follow_redirects=True)


@every_way
@pytest.mark.parametrize("url", ["http://a.example", "http://128.0.0.1", "http://localhost.a.example", "ftp://a"])
def test_without_tls_nothing_is_sent(way: Way, url: str) -> None:
    """CL-09."""
    with pytest.raises(ConfigurationError, match="https"):
        way.send(get(url))


@every_way
def test_plain_text_is_for_this_machine_and_for_those_who_say_so(way: Way) -> None:
    inner = way.library.MockTransport(lambda _: way.library.Response(200))
    for url in ("http://127.9.9.9", "http://localhost", "http://[::1]", "https://a.example"):
        way.send(get(url), authenticator=LENIENT, inner=inner)
    way.send(get("http://a.example"), authenticator=LENIENT, inner=inner, allow_plaintext=True)


@every_way
def test_another_target_behind_our_back_is_refused(way: Way) -> None:
    with raw_server() as server, pytest.raises(ConfigurationError, match="target"):
        way.send(get(server.origin, extensions={"target": b"/admin"}))
    assert server.recorded == []


@every_way
def test_an_expired_credential_signs_nothing(way: Way) -> None:
    """CL-05."""
    with raw_server() as server, pytest.raises(Unavailable) as caught:
        way.send(get(server.origin), authenticator=client_authenticator(expired_source()))
    assert caught.value.reason is Reason.CREDENTIAL_EXPIRED
    assert server.recorded == []


# ----------------------------------------------------------------------------------------- which answers are believed


def changed(
    recorded: Recorded, *, status: int = 200, content: bytes = b"answer", drop: str = "", by: Any = None
) -> bytes:
    head = signed_head(recorded, source=by) if by else signed_head(recorded)
    return on_the_wire(Response(status=status, fields=head.fields.without(drop)), content)


def stranger() -> Any:
    return InMemoryTrustDomain("spiffe://evil.example").source("/server", now=int(time.time()), lifetime=3600)


IMPOSTOR = DOMAIN.source("/impostor", now=int(time.time()), lifetime=3600)
UNSIGNED = Response(status=502, fields=Fields())


@every_way
@pytest.mark.parametrize(
    ("respond", "reason"),
    [
        # RS-01, RS-12
        (lambda _: on_the_wire(UNSIGNED, b"bad gateway"), Reason.RESPONSE_UNSIGNED),
        (lambda r: changed(r, drop="workload-identity-token"), Reason.WIT_MISSING),
        (lambda r: changed(r, status=403), Reason.SIGNATURE_INVALID),  # RS-08
        (lambda r: changed(r, content=b"Answer"), Reason.DIGEST_MISMATCH),
        (lambda r: changed(r, content=b""), Reason.DIGEST_MISMATCH),
        (lambda r: changed(r, drop="content-digest"), Reason.COMPONENT_ABSENT),
        (lambda r: on_the_wire(signed_head(r, 200, b""), b"answer"), Reason.DIGEST_MISSING),  # RS-11
        (lambda r: changed(r, by=IMPOSTOR), Reason.IDENTITY_UNEXPECTED),  # ID-15, RS-10
        (lambda r: changed(r, by=stranger()), Reason.TRUST_DOMAIN_UNKNOWN),  # RS-10
        (lambda r: on_the_wire(signed_head(r), b"answer", length=16 * 1024 * 1024 + 1), Reason.BODY_TOO_LARGE),
    ],
)
def test_another_answer_is_refused(way: Way, respond: Any, reason: Reason) -> None:
    """RS-01, RS-08, RS-10, RS-11, RS-12, ID-15: and nothing of it is handed on."""
    with raw_server(respond) as server, refused(reason):
        way.send(get(server.origin))


@every_way
def test_an_unsigned_answer_of_a_proxy_names_its_status(way: Way) -> None:
    """RS-12."""
    with raw_server(lambda _: on_the_wire(UNSIGNED, b"")) as server, pytest.raises(Refused, match="502") as caught:
        way.send(get(server.origin))
    assert caught.value.reason is Reason.RESPONSE_UNSIGNED


@every_way
def test_the_answer_to_another_request_is_refused(way: Way) -> None:
    """RS-03, RS-05, RS-09, HT-24: replayed by a cache, to the same caller or to another one."""
    first: list[bytes] = []

    def respond(recorded: Recorded) -> bytes:
        first.append(signed_answer(recorded))
        return first[0]

    with raw_server(respond) as server, refused(Reason.REQUEST_NONCE_MISMATCH):
        way.send(get(f"{server.origin}/a"), get(f"{server.origin}/a"))
    first.clear()
    with raw_server(respond) as server, refused(Reason.SIGNATURE_INVALID):
        way.send(get(f"{server.origin}/a"), get(f"{server.origin}/b"))


def test_the_answers_of_two_requests_at_once_are_not_swapped() -> None:
    """RS-04: both are refused."""
    both = threading.Barrier(2)
    answers: dict[str, bytes] = {}

    def respond(recorded: Recorded) -> bytes:
        me = recorded.values("x-me")[0]
        answers[me] = signed_answer(recorded)
        both.wait(5)
        return answers["b" if me == "a" else "a"]

    async def two(origins: dict[str, str]) -> list[Any]:
        transport = AsyncSigningTransport(httpx2.AsyncHTTPTransport(verify=TLS), client_authenticator())
        async with httpx2.AsyncClient(transport=transport) as both_at_once:
            calls = [
                both_at_once.get(origin, headers={"X-Me": me, "Host": "one.example"}) for me, origin in origins.items()
            ]
            return await asyncio.gather(*calls, return_exceptions=True)

    with raw_server(respond) as a, raw_server(respond) as b:
        outcomes = asyncio.run(two({"a": a.origin, "b": b.origin}))
    assert [each.reason for each in outcomes] == [Reason.REQUEST_NONCE_MISMATCH] * 2


@every_way
def test_where_no_signature_is_required_an_unsigned_answer_has_no_sender(way: Way) -> None:
    """RS-07: accepted, and the caller can tell."""
    with raw_server(lambda _: on_the_wire(Response(status=200), b"plain")) as server:
        (response,) = way.send(get(server.origin), authenticator=LENIENT)
    assert response.content == b"plain"
    assert response.extensions.get("wimse") is None


@every_way
def test_a_voluntary_signature_must_be_good(way: Way) -> None:
    """RS-06."""
    with raw_server(lambda r: changed(r, status=201)) as server, refused(Reason.SIGNATURE_INVALID):
        way.send(get(server.origin), authenticator=LENIENT)


@every_way
@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_an_answer_without_content(way: Way, method: str, status: int) -> None:
    """DG-25."""

    def respond(recorded: Recorded) -> bytes:
        return on_the_wire(signed_head(recorded, status, b""), b"", length=999)

    with raw_server(respond) as server:
        (response,) = way.send((method, server.origin, {}))
    assert response.status_code == status
    assert response.content == b""
    assert response.extensions["wimse"]


@every_way
def test_content_is_limited_while_it_is_read(way: Way) -> None:
    def respond(recorded: Recorded) -> bytes:
        head = on_the_wire(signed_head(recorded, 200, b"x" * 64), b"").replace(b"Content-Length: 0\r\n", b"")
        return head + b"x" * 64  # until the connection ends

    with raw_server(respond) as server, refused(Reason.BODY_TOO_LARGE):
        way.send(get(server.origin), max_body_bytes=63)
    with raw_server(respond) as server:
        (response,) = way.send(get(server.origin), max_body_bytes=64)
    assert len(response.content) == 64


@every_way
def test_the_digest_is_that_of_the_bytes_as_they_came(way: Way) -> None:
    """DG-16: the library undoes the coding after they were verified."""
    squeezed = gzip.compress(b"plain")

    def respond(recorded: Recorded) -> bytes:
        return on_the_wire(signed_head(recorded, 200, squeezed, ("Content-Encoding", "gzip")), squeezed)

    with raw_server(respond) as server:
        (response,) = way.send(get(server.origin))
    assert response.content == b"plain"


@every_way
def test_content_that_was_squeezed_on_the_way_is_refused(way: Way) -> None:
    """DG-15."""

    def respond(recorded: Recorded) -> bytes:
        head = signed_head(recorded, 200, b"plain")
        fields = head.fields.adding(("Content-Encoding", "gzip"))
        return on_the_wire(Response(status=200, fields=fields), gzip.compress(b"plain"))

    with raw_server(respond) as server, refused(Reason.DIGEST_MISMATCH):
        way.send(get(server.origin))


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize(
    ("method", "status", "headers", "reason"),
    [
        ("GET", 200, {"content-length": "7"}, Reason.MESSAGE_MALFORMED),
        ("GET", 200, {"content-length": "x"}, Reason.MESSAGE_MALFORMED),
        ("GET", 200, [("content-length", "6"), ("content-length", "7")], Reason.MESSAGE_MALFORMED),
        ("GET", 204, {}, Reason.MESSAGE_MALFORMED),
        ("HEAD", 200, {}, Reason.MESSAGE_MALFORMED),
        ("GET", 200, {"x": "a\nb"}, Reason.FIELD_MALFORMED),
    ],
)
def test_other_transports_are_not_believed_either(
    library: Any, method: str, status: int, headers: Any, reason: Reason
) -> None:
    """What a socket's parser would refuse, a transport of another kind may let through."""

    def handler(_: Any) -> Any:
        return library.Response(status, headers=headers, stream=library.ByteStream(b"answer"))

    with refused(reason):
        Way(library, asynchronous=False).send((method, "https://a.example", {}), inner=library.MockTransport(handler))


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_refused_answer_is_closed(library: Any) -> None:
    closed: list[bool] = []

    class Stream(library.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            yield b"x" * 100

        def close(self) -> None:
            closed.append(True)

    inner = library.MockTransport(lambda _: library.Response(200, stream=Stream()))
    with refused(Reason.BODY_TOO_LARGE):
        Way(library, asynchronous=False).send(get("https://a.example"), inner=inner, max_body_bytes=10)
    assert closed == [True]


# -------------------------------------------------------------------------------------------------- the small print


@every_way
def test_the_environment_does_not_lead_requests_elsewhere(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """CL-08."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    with raw_server() as server:
        way.send(get(server.origin))
        rule = client_authenticator()._server
        with client(CLIENT, server=rule) as ready:
            assert ready.get(server.origin).extensions["wimse"]
            assert not ready.trust_env

        async def call() -> None:
            async with async_client(CLIENT, server=rule, timeout=5) as ready:
                assert (await ready.get(server.origin)).extensions["wimse"]

        asyncio.run(call())


@pytest.mark.parametrize("make", [client, async_client])
@pytest.mark.parametrize(
    "options", [{"mounts": {}}, {"transport": None}, {"trust_env": True}, {"verify": False}, {"verify": "/ca.pem"}]
)
def test_options_that_lead_past_the_signature_are_refused(make: Any, options: dict[str, Any]) -> None:
    """CL-08, CL-09."""
    with pytest.raises(ConfigurationError):
        make(CLIENT, server=client_authenticator()._server, **options)


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "httpx2", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'wimse\[httpx2\]'"):
        client(CLIENT, server=client_authenticator()._server)


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        SigningTransport(httpx2.HTTPTransport(verify=TLS), client_authenticator(), max_body_bytes=0)


def test_one_transport_serves_many_threads() -> None:
    outcomes: list[Any] = []
    with raw_server() as server:
        transport = SigningTransport(httpx2.HTTPTransport(verify=TLS), client_authenticator())
        with httpx2.Client(transport=transport) as shared:

            def call(number: int) -> None:
                outcomes.append(shared.post(server.origin, content=str(number)).extensions["wimse"])

            threads = [threading.Thread(target=call, args=(number,)) for number in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert len(outcomes) == 16
    assert len({authenticated(each, server.origin)[2].nonce for each in server.recorded}) == 16
