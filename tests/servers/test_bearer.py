"""Bearer tokens at the middleware: by choice, never in place of a bad WIT, and judged again afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.servers.served import BEARER
from tests.servers.support import (
    DOMAIN,
    SERVER,
    Exchange,
    Recorder,
    assert_problem,
    assert_refused,
    authenticator,
    call,
    lines_of,
    scope_of,
    served,
    signed,
)
from wimse.authentication import Authenticator, BearerCaller, BearerEntrance, BearerPolicy, TargetAudience, any_trusted
from wimse.credentials import WorkloadIdentifier
from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.profiles.proof_token import REVISION_02
from wimse.servers.asgi import WimseMiddleware
from wimse.stores import MemoryReplayStore

LEGACY = WorkloadIdentifier.parse("spiffe://example.org/legacy")


def with_token(*values: str, **changes: Any) -> dict[str, Any]:
    sent = signed(fields=[])
    kept = [line for line in lines_of(sent) if line[0] in {b"host", b"content-length"}]
    fields = [*kept, *((b"authorization", value.encode()) for value in values)]
    return scope_of(sent, headers=fields, **changes)


async def called_with(*values: str, bearer: BearerEntrance = BEARER, **changes: Any) -> Exchange:
    return await call(with_token(*values, **changes), bearer=bearer)


async def test_a_bearer_token_alone_of_a_caller_that_is_named() -> None:
    """WC-30: nothing of it looks like a workload that proved something."""
    posing = {"wimse": "forged", "wimse.bearer": "forged"}
    exchange = await call(with_token("bEARER  legacy-token", **posing), bearer=BEARER)
    (scope,) = exchange.app.scopes
    assert (exchange.status, exchange.app.bodies) == (200, [b"hello"])
    assert scope["wimse.bearer"] == BearerCaller(LEGACY)
    assert "wimse" not in scope
    assert exchange.header(b"signature") is None


async def test_without_the_choice_there_is_no_such_way() -> None:
    """WT-42, WC-30: nor with a policy that names nobody."""
    assert_refused(await call(with_token("Bearer legacy-token")), 400, "wit")
    closed = BearerEntrance(policy=BearerPolicy(), verify=BEARER.verify)
    assert_refused(await called_with("Bearer legacy-token", bearer=closed), 400, "wit")
    exchange = await call(scope_of(signed(), **{"wimse.bearer": "forged"}))
    assert "wimse.bearer" not in exchange.app.scopes[0]


@pytest.mark.parametrize(
    "changed",
    [
        {b"workload-identity-token": b"a.b.c"},
        {b"workload-identity-token": b""},
        {b"signature": b"wimse=:AAAA:"},
        {b"signature": None},
        {b"signature": None, b"signature-input": None},
        {b"workload-identity-token": None},
        {b"workload-identity-token": None, b"signature-input": None},
    ],
)
async def test_no_fallback_from_a_bad_wit(changed: dict[bytes, bytes | None]) -> None:
    """WT-42, WC-30: with a bearer token beside it that would do alone; it is not even verified."""
    asked: list[str] = []

    def verify(token: str) -> WorkloadIdentifier:
        asked.append(token)
        return LEGACY

    entrance = BearerEntrance(policy=BearerPolicy(bearer_callers=any_trusted), verify=verify)
    sent = signed(fields=[("authorization", "Bearer legacy-token")])
    lines = [(name, changed.get(name, value)) for name, value in lines_of(sent)]
    kept = [line for line in lines if line[1] is not None]
    exchange = await call(scope_of(sent, headers=kept), bearer=entrance)
    assert not exchange.called
    assert (exchange.status, asked) == (400, [])
    assert (await call(scope_of(sent), bearer=entrance)).caller.identity != LEGACY


async def test_the_choice_is_judged_again_when_the_caller_is_known() -> None:
    """WC-30, WT-42: a stolen token of a caller that has a WIT by now."""
    assert_refused(await called_with("Bearer client-token"), 403, "authorization")


@pytest.mark.parametrize("value", ["made-up", "", "a b", "legacy-token,legacy-token", "=", "legacy-t\xf6ken"])
async def test_a_bad_bearer_token_is_challenged(value: str) -> None:
    exchange = await called_with(f"Bearer {value}")
    assert not exchange.called
    assert exchange.status == 401
    assert exchange.header(b"www-authenticate") == b'Bearer error="invalid_token"'


@pytest.mark.parametrize("values", [(), ("Basic YTpi",), ("Bearerlegacy-token",)])
async def test_what_is_no_bearer_token_needs_a_wit(values: tuple[str, ...]) -> None:
    assert_refused(await called_with(*values), 400, "wit")


async def test_two_bearer_tokens_are_none() -> None:
    assert_refused(await called_with("Bearer legacy-token", "Bearer made-up"), 400, "parse")


async def test_what_fails_unexpectedly_is_closed() -> None:
    """MW-02."""

    def unavailable(_: str) -> WorkloadIdentifier:
        raise Unavailable(Reason.TRUST_UNAVAILABLE, "not now")

    def broken(_: str) -> WorkloadIdentifier:
        raise KeyError("made-up")

    for verify, reason_class in ((unavailable, "unavailable"), (broken, "unavailable")):
        entrance = BearerEntrance(policy=BearerPolicy(bearer_callers=any_trusted), verify=verify)
        exchange = await called_with("Bearer x", bearer=entrance)
        assert_refused(exchange, 503, reason_class)
    for wrong in (None, True, "spiffe://example.org/legacy"):

        def careless(_: str, wrong: Any = wrong) -> Any:
            return wrong

        entrance = BearerEntrance(policy=BearerPolicy(bearer_callers=any_trusted), verify=careless)
        exchange = await called_with("Bearer x", bearer=entrance)
        assert not exchange.called
        assert exchange.status >= 500


async def test_the_content_is_bounded_all_the_same() -> None:
    exchange = await call(with_token("Bearer legacy-token"), [b"x" * 11], bearer=BEARER, max_body_bytes=10)
    assert_refused(exchange, 413, "limit")


def test_what_is_no_entrance_is_not_configured() -> None:
    for wrong in (BearerPolicy(), any_trusted, True):
        with pytest.raises(ConfigurationError):
            WimseMiddleware(Recorder(), authenticator=authenticator(), source=SERVER, bearer=wrong)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ConfigurationError):
        BearerEntrance(policy=any_trusted, verify=BEARER.verify)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ConfigurationError):
        BearerEntrance(policy=BearerPolicy(), verify=None)  # type: ignore[arg-type]  # on purpose


# ------------------------------------------------------------------------------------------------ Accept-Signature


async def test_refusals_wish_for_signatures_where_this_is_configured() -> None:
    """HS-35: all that a request has to cover; and off by default."""
    exchange = await call(with_token(), wish_for_signatures=True)
    assert_problem(exchange, 400, "wit")
    wish = (exchange.header(b"accept-signature") or b"").decode()
    for component in ('"@method"', '"@path"', '"workload-identity-token"', 'tag="'):
        assert component in wish
    assert (await call(with_token())).header(b"accept-signature") is None
    admitted = await call(scope_of(signed()), wish_for_signatures=True)
    assert (admitted.status, admitted.header(b"accept-signature")) == (200, None)


async def test_no_wish_where_the_fault_is_ours() -> None:
    sent = signed()

    def gone(*_: object) -> None:
        raise Unavailable(Reason.TRUST_UNAVAILABLE, "not now")

    exchange = await call(scope_of(sent), wish_for_signatures=True, authenticator=authenticator(bundles=gone))
    assert (exchange.status, exchange.header(b"accept-signature")) == (503, None)


def test_no_wish_for_what_is_not_accepted() -> None:
    entrance = Authenticator(
        bundles=DOMAIN.bundles,
        audience=TargetAudience("https://orders.example"),
        replay=MemoryReplayStore(),
        policy=any_trusted,
        revision=REVISION_02,
    )
    with pytest.raises(ConfigurationError):
        WimseMiddleware(Recorder(), authenticator=entrance, source=None, wish_for_signatures=True)


# ------------------------------------------------------------------------------------------------- a real server


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with served() as running:
        yield running


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"Authorization": "Bearer legacy-token"}, 200),
        ({"Authorization": "Bearer client-token"}, 403),
        ({"Authorization": "Bearer made-up"}, 401),
        ({"Authorization": "Bearer legacy-token", "Workload-Identity-Token": "a.b.c"}, 400),
        ({"Authorization": "Bearer legacy-token", "Workload-Identity-Token": ""}, 400),
        ({"Authorization": "Bearer legacy-token", "Signature": "wimse=:AA==:"}, 400),
        ({}, 400),
    ],
)
def test_the_same_behind_a_real_server(origin: str, fields: dict[str, str], status: int) -> None:
    """WC-30, WT-42."""
    response = httpx2.post(f"{origin}/orders", content=b"hello", headers=fields)
    assert response.status_code == status
    if status == 200:
        assert response.text == "spiffe://example.org/legacy hello"
