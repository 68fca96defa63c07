"""What is left to the application, and what a large key or a forked process must not be able to do."""

from __future__ import annotations

import base64
import secrets
import time
from pathlib import Path

import pytest

from tests.authentication import forge
from tests.servers.support import assert_refused, call, lines_of, scope_of, signed
from wimse.authentication import Authenticator
from wimse.errors import Reason
from wimse.httpsig import Request
from wimse.keys import b64url_encode

ROOT = Path(__file__).resolve().parent.parent.parent
FORM = (("content-type", "application/x-www-form-urlencoded"),)


async def test_the_query_and_a_form_stay_apart() -> None:
    """DG-26: both are signed, each in its own place; which one counts is the application's, and it is documented."""
    sent = signed(target="/orders?amount=1", content=b"amount=2", fields=FORM)
    exchange = await call(scope_of(sent), [b"amount=2"])
    (scope,) = exchange.app.scopes
    assert (scope["query_string"], exchange.app.bodies) == (b"amount=1", [b"amount=2"])
    assert exchange.caller.covered["@query"] == "?amount=1"
    assert "amount=2" not in str(dict(exchange.caller.covered))
    for query, content in ((b"amount=2", b"amount=2"), (b"amount=1", b"amount=3")):
        assert not (await call(scope_of(sent, query_string=query), [content])).called
    assert "parameter of a form" in (ROOT / "docs" / "wimse" / "protecting-a-service.md").read_text(encoding="utf-8")


def key_of(bits: int) -> dict[str, object]:
    """RSA, as large as it says, without a small factor; nobody knows whether it is of two primes."""
    while True:
        modulus = secrets.randbits(bits) | 1 << (bits - 1) | 1
        if all(modulus % small for small in range(3, 752, 2)):
            return {"kty": "RSA", "alg": "PS256", "e": "AQAB", "n": b64url_encode(modulus.to_bytes((bits + 7) // 8))}


def cost(request: Request, server: Authenticator) -> tuple[Reason, float]:
    began = time.thread_time()
    reason = forge.reason_of(server.authenticate, request, forge.CONTENT, now=forge.NOW)
    return reason, time.thread_time() - began


def test_the_largest_key_does_not_hold_up_the_loop() -> None:
    """MW-14: the whole refusal, RSA of 8192 bits included, within 2 ms; a larger key is not used at all."""
    server = forge.entrance()
    signature = f"wimse=:{base64.b64encode(bytes(1023) + b'1').decode('ascii')}:"
    found = []
    for bits in (8192, 8193):
        wit = forge.forge_wit(forge.wit_claims(cnf={"jwk": key_of(bits)}))
        request = forge.replacing(forge.forge_request(wit=wit), "Signature", signature)
        costs = [cost(request, server) for _ in range(20)]
        found.append(costs[0][0])
        assert min(seconds for _, seconds in costs) < 0.002
    assert found == [Reason.SIGNATURE_INVALID, Reason.KEY_UNSUPPORTED]


@pytest.mark.parametrize("name", [b"content-type", b"content-digest", b"authorization"])
async def test_a_covered_field_that_a_proxy_has_dropped_is_missed(name: bytes) -> None:
    """HT-14: whatever Connection said to whoever stands before us."""
    sent = signed(fields=[("content-type", "text/plain"), ("authorization", "Bearer a")])
    left = [line for line in lines_of(sent) if line[0] != name]
    exchange = await call(scope_of(sent, headers=[*left, (b"connection", name)]))
    assert_refused(exchange, 400, "base")


@pytest.mark.parametrize(
    "name", [b"content-type", b"content-digest", b"authorization", b"host", b"workload-identity-token"]
)
@pytest.mark.parametrize("first", [True, False])
async def test_a_field_that_is_one_is_not_taken_from_two(name: bytes, first: bool) -> None:
    """HT-16: neither the first nor the last of them counts."""
    sent = signed(fields=[("content-type", "text/plain"), ("authorization", "Bearer a")])
    lines = lines_of(sent)
    (value,) = [value for each, value in lines if each == name]
    for other in (value, value + b"x"):
        doubled = [(name, other), *lines] if first else [*lines, (name, other)]
        exchange = await call(scope_of(sent, headers=doubled))
        assert not exchange.called
        assert exchange.status == 400
