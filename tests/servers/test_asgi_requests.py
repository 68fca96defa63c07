"""What the middleware lets through, and what it refuses, before the application sees anything."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import time
from typing import Any

import pytest

from tests.servers.support import (
    DOMAIN,
    SERVER,
    Recorder,
    assert_refused,
    authenticator,
    call,
    client_authenticator,
    lines_of,
    requests_of,
    scope_of,
    signed,
)
from wimse.authentication import Authenticator, ExactAudience, any_trusted, exactly, member_of
from wimse.credentials import TrustDomain
from wimse.errors import ConfigurationError
from wimse.httpsig import Limits
from wimse.servers.asgi import WimseMiddleware
from wimse.stores import MemoryReplayStore
from wimse.testing import InMemoryTrustDomain


async def test_an_authenticated_request_reaches_the_application_with_its_identity() -> None:
    """HT-23: what an application acts on are the values that were signed."""
    sent = signed(fields=[("content-type", "text/plain"), ("x-tenant", "other")])
    exchange = await call(scope_of(sent), [b"he", b"", b"llo"])
    assert exchange.status == 200
    assert exchange.app.bodies == [b"hello"]
    assert exchange.caller.identity == DOMAIN.identity("/client")
    covered = exchange.caller.covered
    assert (covered["@path"], covered["@query"], covered["@method"]) == ("/orders", "?x=1", "POST")
    assert "x-tenant" not in covered
    assert "wimse" not in exchange.app.scopes[0].get("state", {})


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "HEAD", "TRACE", "DELETE", "PROPFIND"])
async def test_every_method_is_protected(method: str) -> None:
    """MW-01: deny by default, preflights included."""
    scope = scope_of(signed(method, "/orders", b""), headers=[(b"host", b"orders.example")])
    exchange = await call(scope, [b""])
    assert exchange.status == 400
    assert not exchange.called
    assert not (method == "HEAD" and exchange.body)


async def test_a_bearer_token_is_no_way_around_the_wit() -> None:
    """WT-08, WT-42: neither a WIT without proof nor another token beside a bad one is enough."""
    sent = signed(fields=[("authorization", "Bearer valid")])
    unsigned = [line for line in lines_of(sent) if not line[0].startswith(b"signature")]
    assert_refused(await call(scope_of(sent, headers=unsigned)), 400, "policy")
    broken = [(name, b"a.b.c" if name == b"workload-identity-token" else value) for name, value in lines_of(sent)]
    assert_refused(await call(scope_of(sent, headers=broken)), 400, "parse")


def without(sent: Any, *names: bytes) -> list[tuple[bytes, bytes]]:
    return [line for line in lines_of(sent) if line[0] not in names]


@pytest.mark.parametrize(
    ("removed", "added", "reason_class"),
    [
        ((b"workload-identity-token",), (), "wit"),
        ((b"signature", b"signature-input"), (), "policy"),
        ((b"signature",), (), "policy"),
        ((b"content-digest",), (), "base"),
        ((), ((b"host", b"other.example"),), "parse"),
        ((), ((b"content-length", b"5"), (b"content-length", b"6")), "parse"),
        ((), ((b"content-length", b"+5"),), "parse"),
        ((), ((b"content-length", b"6"),), "parse"),
        ((), ((b"x", b"a\nb"),), "parse"),
    ],
)
async def test_a_head_that_is_not_as_it_should_be_is_refused(
    removed: tuple[bytes, ...], added: tuple[tuple[bytes, bytes], ...], reason_class: str
) -> None:
    """DG-22: also content of another length than the head says."""
    sent = signed()
    scope = scope_of(sent, headers=[*without(sent, *removed), *added])
    assert_refused(await call(scope), 400, reason_class)


@pytest.mark.parametrize("chunks", [[b"hellO"], [b"hello", b"!"], [b""]])
async def test_other_content_than_was_signed_is_refused(chunks: list[bytes]) -> None:
    """DG-01, DG-13, DG-18, DG-20: nobody reads a byte of it."""
    assert_refused(await call(scope_of(signed()), chunks), 400, "digest")


async def test_content_behind_a_request_without_any_is_refused() -> None:
    """DG-12."""
    assert_refused(await call(scope_of(signed("GET", "/orders", b"", fields=())), [b"more"]), 400, "digest")


@pytest.mark.parametrize(
    "changes",
    [
        {"raw_path": b"/orders/"},
        {"raw_path": b"/%6Frders"},
        {"raw_path": b"/other", "path": "/orders"},
        {"query_string": b"x=2"},
        {"query_string": b"x=1&y"},
        {"query_string": b""},
        {"method": "PUT"},
    ],
)
async def test_the_target_and_method_are_the_ones_that_were_signed(changes: dict[str, Any]) -> None:
    """HT-05, HT-08: as they were sent, not as they were decoded."""
    assert_refused(await call(scope_of(signed(), **changes)), 400, "signature")


async def test_escapes_stay_as_they_are() -> None:
    """HT-05: an encoded slash is not a slash."""
    sent = signed("GET", "/a%2Fb", b"", fields=())
    assert (await call(scope_of(sent, path="/a/b"), [b""])).caller.covered["@path"] == "/a%2Fb"
    sent = signed("GET", "/a%2Fb", b"", fields=())
    assert_refused(await call(scope_of(sent, path="/a/b", raw_path=b"/a/b"), [b""]), 400, "signature")


async def test_a_host_cannot_change_the_path() -> None:
    """HT-06: CVE-2026-48710."""
    sent = signed("GET", "/admin", b"", fields=())
    headers = [(b"host", b"orders.example/public?x=") if name == b"host" else (name, v) for name, v in lines_of(sent)]
    exchange = await call(scope_of(sent, headers=headers), [b""])
    assert exchange.caller.covered["@path"] == "/admin"


async def test_a_path_that_hides_a_query_is_refused() -> None:
    """HT-06: what the router would see as path is no query to us."""
    sent = signed("GET", "/a?b", b"", fields=())
    assert_refused(await call(scope_of(sent, raw_path=b"/a?b", query_string=b""), [b""]), 400, "parse")


async def test_without_raw_path_nothing_is_verified() -> None:
    scope = scope_of(signed("GET", "/orders", b""))
    del scope["raw_path"]
    assert_refused(await call(scope, [b""], exempt=["/orders"]), 500, "configuration")


async def test_the_path_is_the_one_that_the_caller_sent() -> None:
    """HT-07: neither a mount point nor a proxy that strips a prefix changes what was signed."""
    sent = signed("GET", "/api/orders", b"", fields=())
    assert (await call(scope_of(sent, root_path="/api"), [b""])).status == 200
    sent = signed("GET", "/api/orders", b"", fields=())
    exchange = await call(scope_of(sent, path="/orders", raw_path=b"/orders"), [b""], path_prefix="/api")
    assert exchange.caller.covered["@path"] == "/api/orders"
    sent = signed("GET", "/api/orders", b"", fields=())
    assert_refused(await call(scope_of(sent, path="/orders", raw_path=b"/orders"), [b""]), 400, "signature")


@pytest.mark.parametrize("target", [b"*", b"orders.example:443", b""])
async def test_other_forms_of_target_are_refused(target: bytes) -> None:
    sent = signed("GET", "/orders", b"", fields=())
    exchange = await call(scope_of(sent, raw_path=target, query_string=b""), [b""])
    assert exchange.status == 400
    assert not exchange.called


async def test_forwarded_fields_decide_nothing() -> None:
    """HT-12: neither scheme, authority nor path are taken from them."""
    sent = signed()
    forged = [
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-host", b"evil.example"),
        (b"x-forwarded-prefix", b"/x"),
        (b"forwarded", b"host=evil.example"),
    ]
    assert (await call(scope_of(sent, headers=[*lines_of(sent), *forged]))).status == 200


@pytest.mark.parametrize("exempt", [False, True])
async def test_fields_that_pose_as_identity_or_change_the_request_are_removed(*, exempt: bool) -> None:
    """MW-09, HT-11, HT-12, HT-15."""
    sent = signed()
    posing = [
        (b"X-WIMSE-Subject", b"spiffe://example.org/admin"),
        (b"x-http-method-override", b"DELETE"),
        (b"x-original-url", b"/admin"),
        (b"X-Rewrite-Url", b"/admin"),
        (b"workload_identity_token", b"x"),
        (b"x_wimse_subject", b"x"),
    ]
    scope = scope_of(sent, headers=[*lines_of(sent), *posing, (b"x-kept", b"1"), (b"x-kept", b"2")], wimse="forged")
    exchange = await call(scope, exempt=["/orders"] if exempt else [])
    (seen,) = exchange.app.scopes
    assert seen["headers"] == [*lines_of(sent), (b"x-kept", b"1"), (b"x-kept", b"2")]
    if exempt:
        assert "wimse" not in seen
    else:
        assert exchange.caller.identity == DOMAIN.identity("/client")


async def test_a_removed_field_may_have_been_signed() -> None:
    """HT-15: an underscored name is another field, and no substitute for the real one."""
    sent = signed()
    headers = [
        (b"workload_identity_token", value) if name == b"workload-identity-token" else (name, value)
        for name, value in lines_of(sent)
    ]
    assert_refused(await call(scope_of(sent, headers=headers)), 400, "wit")


# ------------------------------------------------------------------------------------------------------- exempt


@pytest.mark.parametrize(
    ("raw_path", "passes"),
    [
        (b"/healthz", True),
        (b"/healthz/", False),
        (b"/healthz/../admin", False),
        (b"/healthz;x", False),
        (b"/healthz%3Fx", False),
        (b"/%68ealthz", False),
        (b"//healthz", False),
        (b"/HEALTHZ", False),
        (b"/", False),
        (b"/health", False),
    ],
)
async def test_exempt_paths_are_exact(raw_path: bytes, *, passes: bool) -> None:
    """MW-02."""
    scope = scope_of(signed("GET", "/healthz", b""), raw_path=raw_path, headers=[(b"host", b"orders.example")])
    exchange = await call(scope, [b""], exempt=["/healthz"])
    assert exchange.called is passes
    if passes:
        assert "wimse" not in exchange.app.scopes[0]
    else:
        assert exchange.status == 400


# ------------------------------------------------------------------------------------------------------- limits


async def test_a_declared_length_over_the_limit_is_refused_before_anything_is_read() -> None:
    """DG-21, DG-24."""
    sent = signed()
    scope = scope_of(sent, headers=[*lines_of(sent), (b"content-length", b"11")])
    exchange = await call(scope, max_body_bytes=10)
    assert_refused(exchange, 413, "limit")
    assert exchange.received == 0


async def test_content_over_the_limit_is_read_no_further() -> None:
    """DG-21: whatever was declared, or not."""
    exchange = await call(scope_of(signed(content=b"x" * 40)), [b"x" * 4] * 10, max_body_bytes=10)
    assert_refused(exchange, 413, "limit")
    assert exchange.received == 3


async def test_a_bomb_is_measured_and_handed_on_as_it_came() -> None:
    """DG-17: whoever undoes the coding knows who sent it, and sets the limit for it; nobody does so here."""
    bomb = gzip.compress(bytes(16_777_216))
    sent = signed(content=bomb, fields=[("content-encoding", "gzip")])
    exchange = await call(scope_of(sent), [bomb], max_body_bytes=len(bomb))
    assert (exchange.status, exchange.app.bodies) == (200, [bomb])
    assert_refused(await call(scope_of(sent), [bomb], max_body_bytes=len(bomb) - 1), 413, "limit")


async def test_content_at_the_limit_passes() -> None:
    assert (await call(scope_of(signed(content=b"x" * 10)), [b"x" * 10], max_body_bytes=10)).status == 200


@pytest.mark.parametrize(
    "added",
    [
        [(b"x", b"y")] * 128,
        [(b"x", b"y" * 8192)],
        [(b"traceparent", b"y" * 1_048_576)],
        [(b"workload-identity-token", b"y" * 65_536)],
        [(b"Signature", b"y" * 16_384)],
    ],
)
async def test_a_head_over_its_limits_is_refused_before_anything_is_read(added: list[tuple[bytes, bytes]]) -> None:
    """HT-20, MW-15."""
    sent = signed()
    exchange = await call(scope_of(sent, headers=[*lines_of(sent), *added]))
    assert_refused(exchange, 431, "limit")
    assert exchange.received == 0


async def test_limits_are_configured() -> None:
    sent = signed()
    assert_refused(await call(scope_of(sent), limits=Limits(max_fields=3)), 431, "limit")


@pytest.mark.parametrize("name", [b"workload-identity-token", b"signature", b"signature-input"])
async def test_nothing_is_read_without_credentials(name: bytes) -> None:
    """DG-24: before a server would say 100 Continue."""
    sent = signed()
    exchange = await call(scope_of(sent, headers=[*without(sent, name), (b"expect", b"100-continue")]))
    assert exchange.status == 400
    assert exchange.received == 0


async def test_a_caller_that_goes_away_gets_nothing() -> None:
    inbound: list[Any] = [{"type": "http.request", "body": b"he", "more_body": True}, {"type": "http.disconnect"}]
    exchange = await call(scope_of(signed()), inbound=inbound)
    assert exchange.sent == []
    assert not exchange.called


async def test_after_the_content_the_application_gets_nothing_but_the_end() -> None:
    """DG-18: what a server might send behind it was never verified."""
    got: list[Any] = []

    async def app(_: Any, receive: Any, send: Any) -> None:
        got.extend([await receive(), await receive()])
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    inbound: list[Any] = [*requests_of([b"hello"]), {"type": "http.request", "body": b"unverified", "more_body": False}]
    wrapped = WimseMiddleware(app, authenticator=authenticator(), source=SERVER)
    await call(scope_of(signed()), inbound=inbound, middleware=lambda _: wrapped)
    assert got == [{"type": "http.request", "body": b"hello", "more_body": False}, {"type": "http.disconnect"}]


async def test_trailers_are_not_fields_of_the_head() -> None:
    """SB-36, DG-23: nor of the application's head, where one would stand beside the fields that were verified."""
    late = (b"authorization", b"Bearer of-nobody")
    sent = signed()
    scope = scope_of(sent)
    app = Recorder()
    wrapped = WimseMiddleware(app, authenticator=authenticator(), source=SERVER)

    async def receive() -> Any:
        scope["headers"].append(late)
        return {"type": "http.request", "body": b"hello"}

    async def send(_: Any) -> None:
        pass

    await wrapped(scope, receive, send)
    assert late in scope["headers"]
    assert late not in app.scopes[0]["headers"]
    refused_app = Recorder()
    wrapped = WimseMiddleware(refused_app, authenticator=authenticator(), source=SERVER)
    sent = signed()
    for name in (b"signature", b"content-digest"):
        scope = scope_of(sent, headers=without(sent, name))
        (late,) = (line for line in lines_of(sent) if line[0] == name)
        await wrapped(scope, receive, send)
    assert refused_app.scopes == []


async def test_content_cannot_be_changed_after_it_was_verified() -> None:
    """DG-19."""
    buffer = bytearray(b"hello")

    def policy(_: Any) -> bool:
        buffer[:] = b"other"
        return True

    inbound = [{"type": "http.request", "body": buffer, "more_body": False}]
    exchange = await call(scope_of(signed()), inbound=inbound, authenticator=authenticator(policy=policy))
    assert exchange.app.bodies == [b"hello"]


# ---------------------------------------------------------------------------------- what authentication decides


async def test_a_valid_token_alone_exposes_no_identity() -> None:
    """WT-40: not to the policy either."""
    asked: list[Any] = []

    def policy(identity: Any) -> bool:
        asked.append(identity)
        return True

    exchange = await call(scope_of(signed(), method="PUT"), authenticator=authenticator(policy=policy))
    assert_refused(exchange, 400, "signature")
    assert asked == []


async def test_a_replay_is_refused() -> None:
    sent, judge = signed(), authenticator()
    assert (await call(scope_of(sent), authenticator=judge)).status == 200
    assert_refused(await call(scope_of(sent), authenticator=judge), 400, "replay")


async def test_another_recipients_request_is_refused() -> None:
    judge = Authenticator(
        bundles=DOMAIN.bundles, audience=ExactAudience("other"), replay=MemoryReplayStore(), policy=any_trusted
    )
    assert_refused(await call(scope_of(signed()), authenticator=judge), 400, "audience")


async def test_a_workload_that_may_not_call_gets_403() -> None:
    """MW-06: authenticated, not allowed; no challenge."""
    judge = authenticator(policy=exactly(DOMAIN.identity("/other")))
    assert_refused(await call(scope_of(signed()), authenticator=judge), 403, "authorization")


async def test_a_stranger_is_refused() -> None:
    stranger = InMemoryTrustDomain("spiffe://evil.example")
    client = client_authenticator(stranger.source("/client", now=int(time.time()), lifetime=3600))
    assert_refused(await call(scope_of(signed(client=client))), 400, "trust")


async def test_no_audience_does_not_start() -> None:
    """AU-06."""
    with pytest.raises(ConfigurationError):
        Authenticator(bundles=DOMAIN.bundles, audience=(), replay=MemoryReplayStore(), policy=any_trusted)


class BrokenStore:
    """A store with a fault."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def claim(self, *_: Any) -> bool:
        raise self.error


@pytest.mark.parametrize("error", [TimeoutError("secret"), MemoryError("secret"), ZeroDivisionError("secret")])
async def test_a_store_that_fails_closes(error: Exception) -> None:
    """MW-03."""
    exchange = await call(scope_of(signed()), authenticator=authenticator(replay=BrokenStore(error)))
    assert_refused(exchange, 503, "unavailable")
    assert b"secret" not in exchange.body


async def test_a_bundle_that_is_not_there_closes() -> None:
    """MW-11: not ready is closed."""

    async def lookup(_: TrustDomain) -> None:
        raise OSError("no such file")

    exchange = await call(scope_of(signed()), authenticator=authenticator(bundles=lookup))
    assert_refused(exchange, 503, "unavailable")


async def test_a_fault_while_authenticating_closes_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """MW-03, MW-07."""
    marker = "what-was-sent"

    def policy(_: Any) -> bool:
        raise KeyError(marker)

    with caplog.at_level(logging.INFO, "wimse.servers.asgi"):
        exchange = await call(scope_of(signed()), authenticator=authenticator(policy=policy))
    assert_refused(exchange, 503, "unavailable")
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "KeyError" in record.getMessage()
    assert marker not in caplog.text
    assert b"KeyError" not in exchange.body


async def test_a_refusal_tells_the_caller_the_class_and_the_log_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    """MW-07, MW-08: nothing of the request in either."""
    sent = signed("POST", "/<script>".replace("<", "%3C").replace(">", "%3E"))
    with caplog.at_level(logging.INFO, "wimse.servers.asgi"):
        exchange = await call(scope_of(sent), [b"other"])
    assert_refused(exchange, 400, "digest")
    assert json.loads(exchange.body)["title"] == "Bad Request"
    (record,) = caplog.records
    fields = {name: getattr(record, name) for name in ("reason", "reason_class", "status", "detail")}
    assert fields == {
        "reason": "digest_mismatch",
        "reason_class": "digest",
        "status": 400,
        "detail": "the content's sha-256 digest is not the one in Content-Digest",
    }
    assert b"script" not in exchange.body
    assert "script" not in caplog.text
    for name, value in lines_of(sent):
        if name in (b"signature", b"signature-input", b"workload-identity-token"):
            assert value.decode() not in caplog.text


# --------------------------------------------------------------------------------------------------- other scopes


async def test_lifespan_passes() -> None:
    app = Recorder()
    await call({"type": "lifespan"}, app=app)
    assert app.scopes == [{"type": "lifespan"}]


async def test_websockets_are_refused() -> None:
    """MW-01, HT-22."""
    exchange = await call({"type": "websocket", "raw_path": b"/healthz", "headers": []}, exempt=["/healthz"])
    assert exchange.sent == [{"type": "websocket.close", "code": 1008, "reason": ""}]
    assert not exchange.called


async def test_unknown_kinds_of_connection_are_refused() -> None:
    app = Recorder()
    with pytest.raises(ConfigurationError):
        await call({"type": "webtransport"}, app=app)
    assert app.scopes == []


@pytest.mark.parametrize(
    "options",
    [
        {"max_body_bytes": 0},
        {"max_response_bytes": 0},
        {"exempt": "/healthz"},
        {"exempt": "/"},
        {"exempt": ["healthz"]},
        {"exempt": ["/é"]},
        {"path_prefix": "api"},
        {"path_prefix": "/api/"},
        {"authenticator": None},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    """MW-04: there is no setting that turns the check off."""
    with pytest.raises(ConfigurationError):
        WimseMiddleware(Recorder(), **{"authenticator": authenticator(), "source": SERVER, **options})


async def test_a_thousand_callers_at_once_are_not_mixed_up() -> None:
    """MW-13: all of them are inside the application together."""
    callers = [DOMAIN.source(f"/caller/{number}", now=int(time.time()), lifetime=3600) for number in range(20)]
    together = asyncio.Barrier(1000)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        await together.wait()
        identity = str(scope["wimse"].identity).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": identity + b" " + body})

    wrapped = WimseMiddleware(app, authenticator=authenticator(policy=member_of(DOMAIN.trust_domain)), source=SERVER)

    async def one(number: int) -> None:
        source = callers[number % len(callers)]
        content = str(number).encode()
        sent = signed(content=content, client=client_authenticator(source))
        exchange = await call(scope_of(sent), [content], middleware=lambda _: wrapped)
        assert exchange.body == f"{source.fixed.credential.identity} {number}".encode()
        # The answer is bound to this very request, and fits no other.
        assert exchange.verified(sent) is not None

    await asyncio.gather(*(one(number) for number in range(1000)))
