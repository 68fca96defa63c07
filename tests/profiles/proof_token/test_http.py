"""Proof tokens through the middleware and the client: what is answered, what the application gets, what is logged."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from tests.profiles.proof_token.forge import REVISIONS, SETTINGS, WITH_USER, adding, replacing
from tests.servers.support import CLIENT, DOMAIN, NOW, ORIGIN, SERVER, Exchange, Recorder, call, scope_of
from wimse.authentication import (
    AnyRevision,
    Authenticator,
    ClientAuthenticator,
    Policy,
    TargetAudience,
    any_trusted,
    expect,
)
from wimse.clients.httpx import AsyncSigningTransport, SigningTransport
from wimse.errors import ConfigurationError
from wimse.httpsig import Fields, Request
from wimse.profiles.http_signature import REVISION_07, SignedRequest
from wimse.profiles.proof_token import REVISION_01, REVISION_02, ProofRevision, ProofTokenSettings, prove_request
from wimse.servers.asgi import WimseMiddleware
from wimse.stores import MemoryReplayStore

EACH = pytest.mark.parametrize("revision", REVISIONS, ids=lambda revision: revision.name)
CREDENTIAL = CLIENT.fixed.credential


def authenticator(
    revision: AnyRevision | Iterable[AnyRevision],
    *,
    policy: Policy = any_trusted,
    proof_settings: ProofTokenSettings | None = None,
) -> Authenticator:
    return Authenticator(
        bundles=DOMAIN.bundles,
        audience=TargetAudience(ORIGIN),
        replay=MemoryReplayStore(),
        policy=policy,
        revision=revision,
        proof_settings=proof_settings,
    )


def proven(revision: ProofRevision, *lines: tuple[str, str], settings: ProofTokenSettings = SETTINGS) -> Request:
    head = Request(
        method="POST",
        target="/orders?x=1",
        authority="orders.example",
        fields=Fields([("host", "orders.example"), ("content-type", "text/plain"), *lines]),
    )
    return prove_request(
        head,
        CREDENTIAL,
        revision=revision,
        settings=settings,
        now=int(time.time()),
        token_id=secrets.token_urlsafe(16),
    ).request


async def served(
    request: Request, revision: AnyRevision | Iterable[AnyRevision], app: Recorder | None = None, **more: Any
) -> Exchange:
    scope = scope_of(SignedRequest(request, "", response_must_be_signed=False))
    return await call(scope, app=app, authenticator=authenticator(revision, **more), source=SERVER)


def spoiled(request: Request, revision: ProofRevision) -> Request:
    (value,) = request.fields.values(revision.field)
    return replacing(request, revision.field, value[:-8] + "AAAAAAAA")


def assert_refused(exchange: Exchange, status: int, reason: str, challenge: bytes | None) -> None:
    assert not exchange.called
    assert exchange.status == status
    assert exchange.header(b"www-authenticate") == challenge
    assert exchange.header(b"content-type") == b"application/problem+json"
    document = json.loads(exchange.body)
    assert (document["status"], document["reason"]) == (status, reason)


@EACH
async def test_the_application_knows_who_calls_and_gets_no_proof(revision: ProofRevision) -> None:
    """WP-13, WPTC-39: what it never had it does not log. Nobody signs the answer, and it is not held back."""
    app = Recorder(chunks=(b"one", b"two"))
    exchange = await served(proven(revision, ("Txn-Token", "t")), revision, app)
    assert exchange.status == 200
    assert exchange.caller.identity == CREDENTIAL.identity
    assert set(exchange.caller.covered) == {"workload-identity-token", "txn-token"}
    names = [bytes(name) for name, _ in app.scopes[0]["headers"]]
    assert revision.field.encode() not in names
    assert names.count(b"txn-token") == 1
    assert app.bodies == [b"hello"]
    assert exchange.header(b"signature") is None
    assert len(exchange.sent) == 3


@EACH
async def test_a_bad_proof_is_answered_as_its_revision_says(revision: ProofRevision) -> None:
    """MW-06, WPTC-38, WPTC-41: 401 with a challenge under 02, 400 without one under 01."""
    status, challenge = (401, b"WPT") if revision is REVISION_02 else (400, None)
    good = proven(revision)
    assert_refused(await served(spoiled(good, revision), revision), status, "signature", challenge)
    assert_refused(await served(adding(good, (revision.field, "x")), revision), status, "parse", challenge)
    assert_refused(await served(replacing(good, "workload-identity-token", "x"), revision), status, "parse", challenge)
    nothing = await served(replacing(good, revision.field), revision)
    assert_refused(nothing, status, "parse", challenge)
    assert nothing.received == 0  # it was refused before any content was asked for


async def test_a_server_of_signatures_challenges_nobody() -> None:
    """MW-06: it has no scheme to name."""
    accepted: list[AnyRevision | Iterable[AnyRevision]] = [REVISION_07, (REVISION_07, REVISION_01)]
    for revisions in accepted:
        assert_refused(await served(proven(REVISION_02), revisions), 400, "policy", None)


async def test_what_is_not_about_the_credentials_is_not_challenged() -> None:
    """WPTC-38."""
    assert_refused(await served(proven(REVISION_02), REVISION_02, policy=lambda _: False), 403, "authorization", None)
    two_hosts = adding(proven(REVISION_02), ("Host", "b.example"))
    assert_refused(await served(two_hosts, REVISION_02), 400, "parse", None)
    wrong = adding(proven(REVISION_02), ("Content-Digest", "sha-256=:AAAA:"))
    assert_refused(await served(wrong, REVISION_02), 400, "digest", None)


async def test_a_replay_is_refused() -> None:
    """WP-07, WPTC-22."""
    entrance, request = authenticator(REVISION_02), proven(REVISION_02)
    scope = scope_of(SignedRequest(request, "", response_must_be_signed=False))
    assert (await call(scope, authenticator=entrance)).status == 200
    assert_refused(await call(scope, authenticator=entrance), 401, "replay", b"WPT")


async def test_an_access_token_reaches_the_application_where_it_is_bound() -> None:
    """WP-09, WP-11, WPTC-23, WPTC-26: and other credentials in its place do not."""
    app = Recorder()
    await served(proven(REVISION_01, ("Authorization", "Bearer abc")), REVISION_01, app)
    assert (b"authorization", b"Bearer abc") in app.scopes[0]["headers"]
    app = Recorder()
    exchange = await served(adding(proven(REVISION_01), ("Authorization", "Basic eDp5")), REVISION_01, app)
    assert exchange.status == 200
    assert b"authorization" not in dict(app.scopes[0]["headers"])
    stolen = adding(proven(REVISION_01), ("Authorization", "Bearer stolen"))
    assert_refused(await served(stolen, REVISION_01), 400, "binding", None)


async def test_bearer_and_proof_together_are_refused() -> None:
    """WP-12, WPTC-37: in one line or in two."""
    request = proven(REVISION_02)
    (proof,) = request.fields.values("authorization")
    both = adding(request, ("Authorization", "Bearer abc"))
    assert_refused(await served(both, REVISION_02), 401, "parse", b"WPT")
    joined = replacing(request, "authorization", f"{proof}, Bearer abc")
    assert_refused(await served(joined, REVISION_02), 401, "parse", b"WPT")
    bearer = replacing(request, "authorization", "Bearer abc")
    assert_refused(await served(bearer, REVISION_02), 401, "parse", b"WPT")


async def test_further_tokens() -> None:
    """WP-10, WPTC-25."""
    request = proven(REVISION_02, ("X-User-Token", "u"), settings=WITH_USER)
    exchange = await served(request, REVISION_02, proof_settings=WITH_USER)
    assert exchange.caller.covered["x-user-token"] == "u"
    again = proven(REVISION_02, ("X-User-Token", "u"), settings=WITH_USER)
    assert_refused(await served(again, REVISION_02), 401, "binding", b"WPT")


@EACH
async def test_no_log_has_a_proof_or_a_wit(revision: ProofRevision, caplog: pytest.LogCaptureFixture) -> None:
    """WP-13, WPTC-39: at any level, of requests that are accepted and of every kind that is refused."""
    caplog.set_level(logging.DEBUG)
    good = proven(revision, ("Txn-Token", "txn.secret.token"))
    for request in (
        good,
        good,
        spoiled(good, revision),
        replacing(good, "txn-token", "x"),
        replacing(good, revision.field, good.fields.values(revision.field)[0] + "!"),
        adding(good, (revision.field, "x")),
        replacing(good, revision.field),
        replacing(good, "workload-identity-token", CREDENTIAL.wit + "A"),
    ):
        await served(request, revision)
    assert len(caplog.records) >= 6
    logged = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    proof = good.fields.values(revision.field)[0].split(" ")[-1]
    for secret in (*proof.split(".")[1:], *CREDENTIAL.wit.split(".")[1:], "txn.secret.token"):
        assert secret not in logged


@EACH
async def test_a_client_and_a_server_of_ours(revision: ProofRevision) -> None:
    """WPTC-04, WPTC-13, WPTC-35: through the transport and the middleware, with a new proof for each hop."""
    app = Recorder()
    protected = WimseMiddleware(app, authenticator=authenticator(revision), source=SERVER)
    client = ClientAuthenticator(CLIENT, server=expect(any_trusted), require_signed_response=False, revision=revision)
    transport = AsyncSigningTransport(httpx.ASGITransport(protected), client)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as session:
        answers = [await session.post("/orders?x=1", content=b"hello") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert all("wimse" not in answer.extensions for answer in answers)
    assert len({scope["wimse"].nonce for scope in app.scopes}) == 2
    assert {scope["wimse"].identity for scope in app.scopes} == {CREDENTIAL.identity}


def test_a_proof_goes_out_encrypted() -> None:
    """WPTC-32, CL-09: never in the clear to another machine; the transport checks the name of the host by TLS."""
    client = ClientAuthenticator(
        CLIENT, server=expect(any_trusted), require_signed_response=False, revision=REVISION_02
    )
    sent: list[httpx.Request] = []

    def record(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    with (
        httpx.Client(transport=SigningTransport(httpx.MockTransport(record), client)) as session,
        pytest.raises(ConfigurationError),
    ):
        session.get("http://orders.example/")
    assert sent == []


def test_the_credential_is_good_while_these_tests_run() -> None:
    assert CREDENTIAL.expires_at > NOW + 600
