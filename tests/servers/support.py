"""A trust domain, requests as a server would hand them over, and a real server."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from wimse.authentication import (
    AuthenticatedWorkload,
    Authenticator,
    ClientAuthenticator,
    Policy,
    TargetAudience,
    exactly,
    expect,
    member_of,
)
from wimse.httpsig import Fields, Request, Response
from wimse.profiles.http_signature import SignedRequest
from wimse.servers.asgi import WimseMiddleware
from wimse.stores import MemoryReplayStore
from wimse.testing import FixedSource, InMemoryTrustDomain

ORIGIN = "https://orders.example"
NOW = int(time.time())
# Made once: what is tested does not depend on fresh keys, and they take time.
DOMAIN = InMemoryTrustDomain()
CLIENT = DOMAIN.source("/client", now=NOW, lifetime=3600)
SERVER = DOMAIN.source("/server", now=NOW, lifetime=3600)

Lines = list[tuple[bytes, bytes]]
Message = dict[str, Any]


def authenticator(*, policy: Policy | None = None, replay: Any = None, bundles: Any = None) -> Authenticator:
    return Authenticator(
        bundles=DOMAIN.bundles if bundles is None else bundles,
        audience=TargetAudience(ORIGIN),
        replay=replay or MemoryReplayStore(since=0),
        policy=policy or member_of(DOMAIN.trust_domain),
    )


def client_authenticator(source: Any = CLIENT, *, required: bool = True, peer: str = "/server") -> ClientAuthenticator:
    rule = expect(exactly(DOMAIN.identity(peer)))
    return ClientAuthenticator(source, server=rule, require_signed_response=required)


def signed(
    method: str = "POST",
    target: str = "/orders?x=1",
    content: bytes = b"hello",
    *,
    fields: Iterable[tuple[str, str]] = (("content-type", "text/plain"),),
    client: ClientAuthenticator | None = None,
    authority: str = "orders.example",
) -> SignedRequest:
    request = Request(method=method, target=target, authority=authority, fields=Fields((("host", authority), *fields)))
    return (client or client_authenticator()).sign(
        request, content, now=int(time.time()), nonce=secrets.token_urlsafe(16)
    )


def lines_of(sent: SignedRequest) -> Lines:
    return [(name.lower().encode(), value.encode()) for name, value in sent.request.fields]


def scope_of(sent: SignedRequest, **changes: Any) -> dict[str, Any]:
    path, _, query = sent.request.target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": sent.request.method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": lines_of(sent),
        "extensions": {"http.response.pathsend": {}, "tls": {}},
        **changes,
    }


@dataclass
class Recorder:
    """An application that remembers what it was given."""

    status: int = 200
    headers: Lines = field(default_factory=lambda: [(b"content-type", b"text/plain")])
    chunks: tuple[bytes, ...] = (b"answer",)
    messages: list[Message] | None = None
    scopes: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "http":
            message = await receive()
            assert message["more_body"] is False
            self.bodies.append(message["body"])
            for each in self.messages if self.messages is not None else self.answer():
                await send(each)

    def answer(self) -> list[Message]:
        last = len(self.chunks) - 1
        bodies = [
            {"type": "http.response.body", "body": chunk, "more_body": position != last}
            for position, chunk in enumerate(self.chunks)
        ]
        return [{"type": "http.response.start", "status": self.status, "headers": self.headers}, *bodies]


@dataclass
class Exchange:
    """What came of one call."""

    sent: list[Message]
    received: int
    app: Recorder

    @property
    def start(self) -> Message:
        return self.sent[0]

    @property
    def status(self) -> int:
        return int(self.start["status"])

    @property
    def headers(self) -> Lines:
        return [(bytes(name), bytes(value)) for name, value in self.start["headers"]]

    def header(self, name: bytes) -> bytes | None:
        values = [value for each, value in self.headers if each == name]
        assert len(values) <= 1
        return values[0] if values else None

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def called(self) -> bool:
        return bool(self.app.scopes)

    @property
    def caller(self) -> AuthenticatedWorkload:
        (scope,) = self.app.scopes
        workload = scope["wimse"]
        assert isinstance(workload, AuthenticatedWorkload)
        return workload

    def verified(self, sent: SignedRequest, client: ClientAuthenticator | None = None) -> AuthenticatedWorkload | None:
        """Who signed the answer, as the client sees it."""
        response = Response(status=self.status, fields=Fields.from_bytes(self.headers))
        judge = client or client_authenticator()
        return judge.verify_response(response, self.body, sent, now=int(time.time()))


def requests_of(chunks: Iterable[bytes]) -> list[Message]:
    messages: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    return [*messages[:-1], {**messages[-1], "more_body": False}]


async def call(
    scope: dict[str, Any],
    chunks: Iterable[bytes] = (b"hello",),
    *,
    app: Recorder | None = None,
    inbound: list[Message] | None = None,
    middleware: Callable[[Any], WimseMiddleware] | None = None,
    **options: Any,
) -> Exchange:
    """Run the middleware with hand-written ends of the protocol."""
    app = app or Recorder()
    messages = inbound if inbound is not None else requests_of(chunks)
    sent: list[Message] = []
    received = 0

    async def receive() -> Message:
        nonlocal received
        received += 1
        return messages[received - 1] if received <= len(messages) else {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(dict(message))

    options = {"authenticator": authenticator(), "source": SERVER, **options}
    wrapped = middleware(app) if middleware else WimseMiddleware(app, **options)
    await wrapped(scope, receive, send)
    return Exchange(sent, received, app)


def assert_refused(exchange: Exchange, status: int, reason_class: str) -> None:
    """A closed, plain answer, and an application that never knew."""
    assert not exchange.called
    assert_problem(exchange, status, reason_class)


def assert_problem(exchange: Exchange, status: int, reason_class: str) -> None:
    assert exchange.status == status
    assert exchange.header(b"content-type") == b"application/problem+json"
    assert exchange.header(b"cache-control") == b"no-store"
    assert exchange.header(b"content-length") == str(len(exchange.body)).encode()
    assert exchange.header(b"www-authenticate") is None
    document = json.loads(exchange.body)
    assert sorted(document) == ["reason", "status", "title", "type"]
    assert (document["type"], document["status"], document["reason"]) == ("about:blank", status, reason_class)


# ------------------------------------------------------------------------------------------------- a real server


def expired_source() -> FixedSource:
    return DOMAIN.source("/server", now=NOW - 600, lifetime=60)


@contextlib.contextmanager
def served(audience: Callable[[str], str] = str) -> Iterator[str]:
    """Run `tests.servers.served:app` under granian; gives its origin."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    origin = f"http://127.0.0.1:{port}"
    credential = SERVER.fixed.credential
    key: Any = credential.key
    settings = {
        "origin": audience(origin),
        "bundle": DOMAIN.bundle.to_json().decode(),
        "wit": credential.wit,
        "key": key.to_jwk(),
    }
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--no-log", "tests.servers.served:app"],
        env={**os.environ, "WIMSE_TEST_SERVER": json.dumps(settings)},
        start_new_session=True,
    )
    try:
        _wait_for(port, process)
        yield origin
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)  # another process's listening can only be tried
    raise RuntimeError("the server did not start")
