"""Each decision can be observed, once, and what is observed holds nothing of the message."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.authentication.forge import (
    ANSWER,
    ANSWER_HEAD,
    AUDIENCE,
    CALLER,
    CONTENT,
    DOMAIN,
    NONCE,
    NOW,
    SERVER,
    Authenticate,
    Awaited,
    RecordingStore,
    VerifyResponse,
    adding,
    forge_request,
    forge_response,
    forge_wit,
    new_key,
    reason_of,
    replacing,
    request_parameters,
    wit_claims,
)
from wimse.authentication import (
    Authenticator,
    ClientAuthenticator,
    Decision,
    Outcome,
    Role,
    any_trusted,
    exactly,
    expect,
)
from wimse.credentials import TrustDomain, WorkloadIdentifier
from wimse.errors import ConfigurationError, Reason, ReasonClass, Refused, WimseError
from wimse.httpsig import Request
from wimse.profiles.http_signature import REVISION_06, REVISION_07, SignedRequest
from wimse.stores import MemoryReplayStore


class Seen(list[Decision]):
    """An observer that keeps what it is told."""

    def __call__(self, decision: Decision) -> None:
        self.append(decision)


def observed(observer: Any, **more: Any) -> Authenticator:
    given: dict[str, Any] = {
        "bundles": DOMAIN.bundles,
        "audience": AUDIENCE,
        "replay": MemoryReplayStore(since=0),
        "policy": any_trusted,
    }
    return Authenticator(**{**given, **more}, observer=observer)


def observed_client(observer: Any, **more: Any) -> ClientAuthenticator:
    rule = expect(exactly("spiffe://example.org/server"))
    given: dict[str, Any] = {"server": rule, **more}
    return ClientAuthenticator(DOMAIN.source("/caller", now=NOW), observer=observer, **given)


def sent_by(client: ClientAuthenticator) -> SignedRequest:
    head = Request(method="POST", target="/orders", authority="orders.example")
    return client.sign(head, CONTENT, now=NOW, nonce=NONCE)


# -------------------------------------------------------------------------------------------------- what is told


def test_an_accepted_request_is_one_decision_with_its_identity(authenticate: Authenticate) -> None:
    seen = Seen()
    authenticate(observed(seen), forge_request(), CONTENT, NOW)
    assert seen == [
        Decision(
            role=Role.REQUEST,
            outcome=Outcome.ACCEPTED,
            reason=None,
            identity=CALLER.identity,
            revision="07",
            total_seconds=None,
            bundle_seconds=None,
            replay_seconds=None,
        )
    ]
    assert seen[0].reason_class is None


def test_with_several_revisions_the_one_that_was_satisfied_is_told(authenticate: Authenticate) -> None:
    seen = Seen()
    server = observed(seen, revision=[REVISION_06, REVISION_07])
    authenticate(server, forge_request(), CONTENT, NOW)
    assert [each.revision for each in seen] == ["07"]


BAD = [
    (forge_request(wit=forge_wit(wit_claims(exp=NOW - 100, iat=NOW - 200))), Reason.TOKEN_EXPIRED, ReasonClass.WIT),
    (forge_request(wit=forge_wit(signer=new_key())), Reason.TOKEN_SIGNATURE_INVALID, ReasonClass.WIT),
    (forge_request(key=new_key()), Reason.SIGNATURE_INVALID, ReasonClass.SIGNATURE),
    (forge_request(content=b"other"), Reason.DIGEST_MISMATCH, ReasonClass.DIGEST),
    (
        forge_request(parameters=request_parameters(wimse_aud="other")),
        Reason.AUDIENCE_MISMATCH,
        ReasonClass.AUDIENCE,
    ),
]


@pytest.mark.parametrize(("request_", "reason", "reason_class"), BAD, ids=[str(each[1]) for each in BAD])
def test_a_refused_request_is_one_decision_without_an_identity(
    authenticate: Authenticate, request_: Request, reason: Reason, reason_class: ReasonClass
) -> None:
    seen = Seen()
    assert reason_of(authenticate, observed(seen), request_, CONTENT, NOW) is reason
    (decision,) = seen
    assert (decision.outcome, decision.reason, decision.reason_class) == (Outcome.REFUSED, reason, reason_class)
    assert (decision.identity, decision.revision) == (None, None)


def test_a_replay_is_nobodys(authenticate: Authenticate) -> None:
    """RP-01: whoever repeats a message is not who signed it."""
    seen = Seen()
    server = observed(seen)
    authenticate(server, forge_request(), CONTENT, NOW)
    reason_of(authenticate, server, forge_request(), CONTENT, NOW)
    assert [(each.outcome, each.identity) for each in seen] == [
        (Outcome.ACCEPTED, CALLER.identity),
        (Outcome.REFUSED, None),
    ]


def test_who_may_not_call_is_named(authenticate: Authenticate) -> None:
    seen = Seen()
    server = observed(seen, policy=lambda _: False)
    assert reason_of(authenticate, server, forge_request(), CONTENT, NOW) is Reason.IDENTITY_NOT_ALLOWED
    assert [(each.reason, each.identity) for each in seen] == [(Reason.IDENTITY_NOT_ALLOWED, CALLER.identity)]


def test_what_is_refused_before_its_content_is_a_decision_too() -> None:
    seen = Seen()
    server = observed(seen)
    server.check_head(forge_request())
    assert seen == []
    assert reason_of(server.check_head, replacing(forge_request(), "Workload-Identity-Token")) is Reason.WIT_MISSING
    assert [(each.outcome, each.reason, each.identity) for each in seen] == [
        (Outcome.REFUSED, Reason.WIT_MISSING, None)
    ]


def failing(error: Exception) -> Callable[[Any], Any]:
    def fail(_: Any) -> Any:
        raise error

    return fail


class BrokenStore:
    """A store that is down."""

    def claim(self, key: bytes, until: int, now: int) -> bool:  # noqa: ARG002 - it does not get that far
        raise OSError("down")


@pytest.mark.parametrize(
    ("more", "outcome", "reason"),
    [
        ({"bundles": failing(OSError("down"))}, Outcome.UNAVAILABLE, Reason.TRUST_UNAVAILABLE),
        ({"replay": BrokenStore()}, Outcome.UNAVAILABLE, Reason.REPLAY_STORE_UNAVAILABLE),
        ({"policy": failing(ZeroDivisionError())}, Outcome.FAULT, None),
        ({"policy": failing(ConfigurationError("mistaken"))}, Outcome.FAULT, Reason.CONFIGURATION),
    ],
    ids=["bundles", "replay", "policy", "configuration"],
)
def test_what_could_not_be_decided_is_told_as_that(
    authenticate: Authenticate, more: dict[str, Any], outcome: Outcome, reason: Reason | None
) -> None:
    """MW-03."""
    seen = Seen()
    with pytest.raises((WimseError, ZeroDivisionError)):
        authenticate(observed(seen, **more), forge_request(), CONTENT, NOW)
    assert [(each.outcome, each.reason) for each in seen] == [(outcome, reason)]


async def test_what_is_given_up_is_no_decision() -> None:
    seen = Seen()
    asked = asyncio.Event()
    never: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def lookup(_: TrustDomain) -> Any:
        asked.set()
        return never

    task = asyncio.create_task(observed(seen, bundles=lookup).authenticate_async(forge_request(), CONTENT, now=NOW))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == []


def test_a_client_tells_of_the_responses(verify: VerifyResponse) -> None:
    seen = Seen()
    client = observed_client(seen)
    sent = sent_by(client)
    verify(client, forge_response(sent.request), ANSWER, sent, NOW)
    with pytest.raises(Refused):
        verify(client, ANSWER_HEAD, ANSWER, sent, NOW)
    with pytest.raises(Refused):
        verify(client, forge_response(sent.request, CALLER), ANSWER, sent, NOW)
    assert [(each.role, each.outcome, each.reason, each.identity) for each in seen] == [
        (Role.RESPONSE, Outcome.ACCEPTED, None, SERVER.identity),
        (Role.RESPONSE, Outcome.REFUSED, Reason.RESPONSE_UNSIGNED, None),
        (Role.RESPONSE, Outcome.REFUSED, Reason.IDENTITY_UNEXPECTED, CALLER.identity),
    ]


def test_an_unsigned_response_that_need_not_be_signed_is_accepted_as_nobodys(verify: VerifyResponse) -> None:
    seen = Seen()
    client = observed_client(seen, require_signed_response=False)
    assert verify(client, ANSWER_HEAD, ANSWER, sent_by(client), NOW) is None
    assert [(each.outcome, each.identity, each.revision) for each in seen] == [(Outcome.ACCEPTED, None, None)]


# ---------------------------------------------------------------------------------------------------------- times


def test_times_are_taken_with_the_clock_that_is_given(authenticate: Authenticate) -> None:
    """Each look at the clock is a second: two for a bundle, two for a claim, one at either end."""
    seen = Seen()
    ticks = itertools.count()
    authenticate(observed(seen, clock=lambda: float(next(ticks))), forge_request(), CONTENT, NOW)
    (decision,) = seen
    assert (decision.total_seconds, decision.bundle_seconds, decision.replay_seconds) == (5.0, 1.0, 1.0)


def test_what_was_waited_in_vain_counts_too(authenticate: Authenticate) -> None:
    seen = Seen()
    ticks = itertools.count()
    server = observed(seen, clock=lambda: float(next(ticks)), bundles=failing(OSError()))
    reason_of(authenticate, server, forge_request(), CONTENT, NOW)
    assert [(each.total_seconds, each.bundle_seconds, each.replay_seconds) for each in seen] == [(3.0, 1.0, 0.0)]


def test_an_awaited_answer_is_waited_for() -> None:
    seen = Seen()
    now = [0.0]

    class Slow(RecordingStore):
        def claim(self, key: bytes, until: int, now_: int) -> Any:
            now[0] += 0.5
            return Awaited(super().claim(key, until, now_))

    server = observed(seen, replay=Slow(), clock=lambda: now[0])
    asyncio.run(server.authenticate_async(forge_request(), CONTENT, now=NOW))
    assert [each.replay_seconds for each in seen] == [0.5]


# ------------------------------------------------------------------------------------------------ it cannot decide


@pytest.mark.parametrize(
    "error", [ValueError("tells a secret"), Refused(Reason.REPLAYED, "no"), StopIteration()], ids=repr
)
def test_an_observer_that_fails_changes_nothing(
    authenticate: Authenticate, verify: VerifyResponse, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    server = observed(failing(error))
    assert authenticate(server, forge_request(), CONTENT, NOW).identity == CALLER.identity
    assert reason_of(authenticate, server, forge_request(), CONTENT, NOW) is Reason.REPLAYED
    client = observed_client(failing(error))
    sent = sent_by(client)
    assert verify(client, forge_response(sent.request), ANSWER, sent, NOW) is not None
    records = [record for record in caplog.records if record.name == "wimse.authentication"]
    assert [record.levelno for record in records] == [logging.ERROR] * 3
    assert {record.getMessage() for record in records} == {f"an observer failed with {type(error).__name__}"}
    assert all(record.exc_info is None for record in records)


@pytest.mark.parametrize("wrong", [{"observer": "print"}, {"observer": None, "clock": float}], ids=str)
def test_what_cannot_observe_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        observed(wrong["observer"], **{name: value for name, value in wrong.items() if name != "observer"})
    with pytest.raises(ConfigurationError):
        observed_client(wrong["observer"], **{name: value for name, value in wrong.items() if name != "observer"})


# --------------------------------------------------------------------------------------------- nothing of the message


def texts_of(value: object) -> str:
    """All text in a value, however deep."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return " ".join(texts_of(getattr(value, each.name)) for each in dataclasses.fields(value)) + repr(value)
    return f"{value!r} {value}"


def pieces(text: str, size: int = 8) -> set[str]:
    return {text[start : start + size] for start in range(len(text) - size + 1)}


def test_no_piece_of_a_message_is_in_an_event(authenticate: Authenticate) -> None:
    """ID-17: neither token, signature, nonce, digest, field, target nor content; but for the identity."""
    seen = Seen()
    server = observed(seen, clock=itertools.count().__next__)
    marked = adding(forge_request(content=b"a-secret-content"), ("X-Secret", "a-secret-field"))
    messages = [*(each[0] for each in BAD), forge_request(), forge_request(), marked]
    for message in messages:
        try:
            authenticate(server, message, CONTENT, NOW)
        except Refused:
            continue
    assert len(seen) == len(messages)
    told = " ".join(texts_of(each) for each in seen).replace(str(CALLER.identity), "").replace(CALLER.identity.path, "")
    allowed = pieces("spiffe://example.org") | {piece for each in Reason for piece in pieces(f"{each.code} {each!r}")}
    for message in messages:
        for name in ("workload-identity-token", "signature", "signature-input", "content-digest", "x-secret"):
            for value in message.fields.values(name):
                assert not {piece for piece in pieces(value) - allowed if piece in told}
    for secret in (NONCE, CONTENT.decode(), "a-secret-content", CALLER.wit):
        assert not {piece for piece in pieces(secret) if piece in told}


def refusal_of(call: Callable[[], object]) -> str:
    """What a refusal says; nothing where there is none."""
    try:
        call()
    except Refused as refused:
        return str(refused)
    return ""


NASTY = ["\r\nforged: line", "\x1b[31mred", "\x00", "\u2028next", '"} quote', "%0d%0a", "é", "\x7f"]


@pytest.mark.parametrize("nasty", NASTY, ids=repr)
@pytest.mark.parametrize("place", ["sub", "kid", "iss", "jti"])
def test_what_would_break_a_line_is_never_told(
    authenticate: Authenticate, caplog: pytest.LogCaptureFixture, place: str, nasty: str
) -> None:
    """ID-17: whoever can sign a token cannot write into our logs with it."""
    seen = Seen()
    if place == "kid":
        wit = forge_wit(kid=nasty)
    else:
        wit = forge_wit(wit_claims(**{place: f"spiffe://example.org/a{nasty}" if place == "sub" else nasty}))
    caplog.set_level(logging.DEBUG)
    said = refusal_of(lambda: authenticate(observed(seen), forge_request(wit=wit), CONTENT, NOW))
    assert nasty not in said
    assert said.isprintable()
    (decision,) = seen
    assert (decision.outcome is Outcome.REFUSED) == (place in {"sub", "kid"})
    assert decision.identity in {None, CALLER.identity}
    assert all(nasty not in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("nasty", NASTY, ids=repr)
def test_a_nonce_that_would_break_a_line_is_never_told(authenticate: Authenticate, nasty: str) -> None:
    """ID-17, RP-13."""
    seen = Seen()
    good = forge_request()
    (given,) = good.fields.values("signature-input")
    changed = given.replace(NONCE, f"nonce-{nasty}".encode().decode("latin-1"))
    said = refusal_of(lambda: authenticate(observed(seen), replacing(good, "Signature-Input", changed), CONTENT, NOW))
    assert said
    assert said.isprintable()
    assert all(nasty not in texts_of(each) for each in seen)


def test_an_identity_has_no_character_that_would_break_a_line() -> None:
    """ID-17: whatever may stand in one."""
    accepted = []
    for code in [*range(0x250), 0x2028, 0x2029, 0x202E, 0xFEFF, 0x1F600]:
        for scheme in ("spiffe", "wimse"):
            try:
                accepted.append(str(WorkloadIdentifier.parse(f"{scheme}://example.org/a{chr(code)}b")))
            except Refused:
                continue
    assert accepted
    assert all(each.isascii() and each.isprintable() and not set(each) & set(' "\\{}<>') for each in accepted)
