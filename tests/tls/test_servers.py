"""Mutual TLS in servers that exist: asyncio's streams, and uvicorn with an application, called by httpx2."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.tls.world import PATIENCE, Authority, Replaceable, trusting
from wimse.authentication import ClientAuthenticator, any_trusted, exactly, expect, member_of
from wimse.clients.httpx import SigningTransport
from wimse.credentials import TrustBundle, TrustBundles, X509Settings, X509Snapshot
from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.servers.mutual_tls import MutualTLSMiddleware, with_client_certificates
from wimse.testing import InMemoryTrustDomain
from wimse.tls import PeerRefused, any_host, by_host, client_context, peer_of, server_context

A, B = Authority(), Authority("spiffe://other.org")
SERVER, CLIENT = A.credential("/server"), A.credential("/client", dns_names=())
TO_SERVER = by_host({"localhost": SERVER.identity})


# ------------------------------------------------------------------------------------------------ asyncio


async def talk(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[list[Any], bytes]:
    """One connection of asyncio's own: whom the handler has seen, and what the client has heard."""
    seen: list[Any] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(peer_of(writer.get_extra_info("ssl_object")).identity)
        writer.write(await reader.readexactly(5))
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0, ssl=server) as listening:
        port = listening.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")
        try:
            seen.append(peer_of(writer.get_extra_info("ssl_object")).identity)
            writer.write(b"hello")
            return seen, await asyncio.wait_for(reader.read(), PATIENCE)
        finally:
            writer.transport.abort()


async def test_asyncio_knows_both_sides() -> None:
    server = server_context(trusting(SERVER, A), policy=exactly(CLIENT.identity))
    seen, heard = await talk(server, client_context(trusting(CLIENT, A), server=TO_SERVER))
    assert heard == b"hello"
    assert set(seen) == {SERVER.identity, CLIENT.identity}


@pytest.mark.parametrize("case", ["policy", "domain", "anonymous", "impostor", "no-credential"])
async def test_a_handler_of_asyncio_is_not_called_for_anybody_else(case: str) -> None:
    """mutual-tls §3.3: the handler never runs."""
    credential = {
        "domain": B.credential("/client"),
        "anonymous": None,
        "impostor": B.credential("/client", domain=A.domain),
    }.get(case, CLIENT)
    policy = exactly("spiffe://example.org/other") if case == "policy" else any_trusted
    source = trusting(None, A, B) if case == "no-credential" else trusting(SERVER, A, B)
    if case == "domain":
        source = trusting(SERVER, A)
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    try:
        seen, heard = await talk(
            server_context(source, policy=policy), client_context(trusting(credential, A), server=TO_SERVER)
        )
    except OSError:
        seen, heard = [SERVER.identity], b""
    assert (seen, heard) == ([SERVER.identity], b"")
    assert complaints == []


async def test_a_client_of_asyncio_does_not_speak_to_another_workload() -> None:
    """WC-02: before anything is sent."""
    other = server_context(trusting(A.credential("/other"), A), policy=any_trusted)
    with pytest.raises(PeerRefused) as caught:
        await talk(other, client_context(trusting(CLIENT, A), server=TO_SERVER))
    assert caught.value.refused.reason is Reason.IDENTITY_UNEXPECTED


# ------------------------------------------------------------------------------------------------ uvicorn


async def application(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await receive()
    names = [name.decode() for name, _ in scope["headers"]]
    content = json.dumps({"peer": str(scope["wimse.tls"].identity), "fields": names}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": content})


@contextmanager
def uvicorn_serving(app: Any, context: ssl.SSLContext, *, http: Any = None) -> Iterator[str]:
    """Run uvicorn in a thread."""
    config = uvicorn.Config(
        app,
        http=http or with_client_certificates(H11Protocol),
        ws="none",
        ssl_context_factory=lambda *_: context,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            until = time.monotonic() + PATIENCE
            while not server.started:
                assert thread.is_alive()
                assert time.monotonic() < until
                time.sleep(0.01)
            yield f"https://localhost:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(PATIENCE)


def middleware(**options: Any) -> MutualTLSMiddleware:
    chosen: Any = {"bundles": TrustBundles(A.bundle), "policy": member_of(A.domain), **options}
    return MutualTLSMiddleware(application, **chosen)


def get(url: str, context: ssl.SSLContext, **options: Any) -> httpx2.Response:
    with httpx2.Client(verify=context, trust_env=False, timeout=PATIENCE) as client:
        return client.get(url, **options)


def calling(*, credential: Any = CLIENT) -> ssl.SSLContext:
    return client_context(trusting(credential, A), server=TO_SERVER)


def test_an_application_learns_who_calls_and_a_client_whom_it_has_reached() -> None:
    """mutual-tls §3.3: from the certificate, whatever a field of the request says."""
    context = server_context(trusting(SERVER, A), policy=any_trusted)
    with uvicorn_serving(middleware(), context) as url:
        answer = get(url, calling(), headers={"X-Wimse-Subject": "spiffe://example.org/admin"})
        assert answer.status_code == 200
        assert answer.json()["peer"] == str(CLIENT.identity)
        assert "x-wimse-subject" not in answer.json()["fields"]
        for stranger in (None, B.credential("/client")):
            with pytest.raises(httpx2.TransportError):
                get(url, calling(credential=stranger))
        with pytest.raises(httpx2.ConnectError) as caught:
            get(url, client_context(trusting(CLIENT, A), server=any_host(exactly())))
        assert "identity_unexpected" in str(caught.value)


async def test_an_asynchronous_client_does_it_too() -> None:
    context = server_context(trusting(SERVER, A), policy=any_trusted)
    with uvicorn_serving(middleware(), context) as url:
        async with httpx2.AsyncClient(verify=calling(), trust_env=False, timeout=PATIENCE) as client:
            assert (await client.get(url)).json()["peer"] == str(CLIENT.identity)


def test_a_certificate_is_replaced_without_a_restart() -> None:
    source = Replaceable(trusting(SERVER, A))
    with uvicorn_serving(middleware(), server_context(source, policy=any_trusted)) as url:
        client = client_context(trusting(CLIENT, A), server=any_host(any_trusted))
        assert get(url, client).status_code == 200
        source.current = trusting(A.credential("/renewed"), A)
        with pytest.raises(httpx2.ConnectError):
            get(url, calling())
        assert get(url, client).status_code == 200


def test_a_connection_does_not_outlive_its_bundle() -> None:
    """A connection that is kept is judged at every request."""
    held = {A.domain: A.bundle}
    app = middleware(bundles=held.get)
    with (
        uvicorn_serving(app, server_context(trusting(SERVER, A), policy=any_trusted)) as url,
        httpx2.Client(verify=calling(), trust_env=False, timeout=PATIENCE) as client,
    ):
        assert client.get(url).status_code == 200
        held[A.domain] = TrustBundle(trust_domain=A.domain)
        assert client.get(url).json()["reason"] == "trust"
        del held[A.domain]
        assert client.get(url).status_code == 400
        held[A.domain] = A.bundle
        assert client.get(url).status_code == 200


def test_a_server_that_shows_no_certificate_lets_nobody_in() -> None:
    """uvicorn as it is: the context lets the right ones connect, but nothing says who they are."""
    context = server_context(trusting(SERVER, A), policy=any_trusted)
    with uvicorn_serving(middleware(), context, http=H11Protocol) as url:
        answer = get(url, calling())
        assert (answer.status_code, answer.json()["reason"]) == (400, "certificate")


# ------------------------------------------------------------------------------------------------ the middleware


def pem(*ders: bytes) -> list[str]:
    return [ssl.DER_cert_to_PEM_cert(der) for der in ders]


MINE = {"client_cert_chain": pem(*CLIENT.certificates), "client_cert_error": None}


async def answer_of(app: MutualTLSMiddleware, tls: object, kind: str = "http") -> list[Any]:
    said: list[Any] = []
    scope = {"type": kind, "method": "GET", "raw_path": b"/", "headers": [], "extensions": {"tls": tls}}

    async def receive() -> dict[str, object]:
        return {"type": f"{kind}.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    await app(scope, receive, send)
    return said


async def test_what_a_server_shows_is_verified() -> None:
    said = await answer_of(middleware(), MINE)
    assert (said[0]["status"], json.loads(said[1]["body"])["peer"]) == (200, str(CLIENT.identity))


@pytest.mark.parametrize(
    ("tls", "options", "status", "reason"),
    [
        (None, {}, 400, "certificate"),
        ("x", {}, 400, "certificate"),
        ({}, {}, 400, "certificate"),
        ({"client_cert_chain": []}, {}, 400, "certificate"),
        ({"client_cert_chain": ["x"]}, {}, 400, "certificate"),
        ({"client_cert_chain": [1]}, {}, 400, "certificate"),
        ({"client_cert_chain": 1}, {}, 400, "certificate"),
        ({"client_cert_chain": ["x" * 40_000]}, {}, 400, "limit"),
        ({"client_cert_chain": pem(*CLIENT.certificates) * 9}, {}, 400, "limit"),
        ({**MINE, "client_cert_error": "expired"}, {}, 400, "trust"),
        ({"client_cert_chain": pem(*B.credential("/client").certificates)}, {}, 400, "trust"),
        ({"client_cert_chain": pem(*B.credential("/client", domain=A.domain).certificates)}, {}, 400, "trust"),
        ({"client_cert_chain": pem(*A.credential("/x", since=-900, until=-800).certificates)}, {}, 400, "certificate"),
        (MINE, {"policy": exactly("spiffe://example.org/other")}, 403, "authorization"),
        (MINE, {"policy": lambda _: 1}, 403, "authorization"),
        (MINE, {"bundles": lambda _: 1 / 0}, 503, "unavailable"),
    ],
)
async def test_nobody_else_reaches_the_application(
    tls: object, options: dict[str, Any], status: int, reason: str
) -> None:
    """WC-42, WC-40: the handler never runs, and what fails is closed."""
    said = await answer_of(middleware(**options), tls)
    assert said[0]["status"] == status
    assert json.loads(said[1]["body"])["reason"] == reason
    said = await answer_of(middleware(**options), tls, "websocket")
    assert [each["type"] for each in said] == ["websocket.close"]


async def test_bundles_that_cannot_be_had_are_no_way_in() -> None:
    """MW-11: 503."""

    async def unavailable(_: object) -> TrustBundle | None:
        raise Unavailable(Reason.TRUST_UNAVAILABLE, "away")

    said = await answer_of(middleware(bundles=unavailable), MINE)
    assert said[0]["status"] == 503


async def test_a_lifespan_is_the_applications() -> None:
    seen: list[object] = []

    async def lasting(scope: Any, _: object, __: object) -> None:
        seen.append(scope["type"])

    app = MutualTLSMiddleware(lasting, bundles=TrustBundles(A.bundle), policy=any_trusted)
    assert await answer_of(app, None, "lifespan") == []
    assert seen == ["lifespan"]


def test_uvicorn_without_tls_shows_no_certificate() -> None:
    config = uvicorn.Config(middleware(), http=with_client_certificates(H11Protocol), lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
            answer = httpx2.get(url, trust_env=False, timeout=PATIENCE)
            assert (answer.status_code, answer.json()["reason"]) == (400, "certificate")
        finally:
            server.should_exit = True
            thread.join(PATIENCE)


async def test_only_known_kinds_of_connections_are_served() -> None:
    with pytest.raises(ConfigurationError):
        await answer_of(middleware(), MINE, "other")


def test_the_middleware_needs_its_rules() -> None:
    for missing in ("bundles", "policy"):
        with pytest.raises(ConfigurationError, match=missing):
            middleware(**{missing: None})
    assert isinstance(middleware(settings=X509Settings(max_certificates=1)), MutualTLSMiddleware)
    assert isinstance(trusting(None, A), X509Snapshot)


# ------------------------------------------------------------------------------------------------ beside signatures


def test_a_token_and_its_proof_go_to_the_right_server_over_tls_only() -> None:
    """WC-44, SV-17, HS-45: neither without TLS, nor to another workload, nor under another name."""
    heard: list[bytes] = []

    async def listening(scope: Any, receive: Any, send: Any) -> None:
        heard.extend(name for name, _ in scope["headers"] if name == b"workload-identity-token")
        await application(scope, receive, send)

    app = MutualTLSMiddleware(listening, bundles=TrustBundles(A.bundle), policy=any_trusted)

    def post(url: str, context: ssl.SSLContext) -> httpx2.Response:
        transport = SigningTransport(httpx2.HTTPTransport(verify=context, trust_env=False), unsigned_answers())
        with httpx2.Client(transport=transport, trust_env=False, timeout=PATIENCE) as client:
            return client.post(url, content=b"hello")

    with uvicorn_serving(app, server_context(trusting(SERVER, A), policy=any_trusted)) as url:
        nobody = client_context(trusting(CLIENT, A), server=any_host(exactly("spiffe://example.org/other")))
        for bad_url, context in ((url, nobody), (url.replace("localhost", "127.0.0.1"), calling())):
            with pytest.raises(httpx2.ConnectError):
                post(bad_url, context)
        with pytest.raises(ConfigurationError, match="https"):
            post("http://orders.example/", calling())
        assert heard == []
        assert post(url, calling()).status_code == 200
        assert heard == [b"workload-identity-token"]


def unsigned_answers() -> ClientAuthenticator:
    source = InMemoryTrustDomain().source("/client", now=int(time.time()))
    return ClientAuthenticator(source, server=expect(any_trusted), require_signed_response=False)
