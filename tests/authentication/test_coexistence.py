"""Bearer tokens beside WITs: by choice, never in place of a bad WIT, and judged again when the caller is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.authentication.forge import (
    CALLER,
    CONTENT,
    DOMAIN,
    HEAD,
    NOW,
    SERVER,
    Authenticate,
    adding,
    entrance,
    forge_request,
    forge_wit,
    new_key,
    reason_of,
    replacing,
    wit_claims,
)
from wimse.authentication import BearerPolicy, Presented, bearer_of, exactly, member_of
from wimse.errors import Reason
from wimse.httpsig import Request

CLOSED = BearerPolicy()
OPEN = BearerPolicy(bearer_callers=exactly(SERVER.identity))
BEARER = replacing(HEAD, "Txn-Token")

BAD = {
    "expired": forge_request(wit=forge_wit(wit_claims(exp=NOW - 60, iat=NOW - 100))),
    "of another issuer": forge_request(wit=forge_wit(signer=new_key())),
    "empty": replacing(forge_request(), "Workload-Identity-Token", ""),
    "twice": adding(forge_request(), ("Workload-Identity-Token", CALLER.wit)),
    "without a signature": replacing(replacing(forge_request(), "Signature"), "Signature-Input"),
    "with a wrong signature": forge_request(key=new_key()),
    "garbage": adding(BEARER, ("workload-identity-token", "garbage")),
}
HALVES = {
    "Signature alone": adding(BEARER, ("Signature", "wimse=:AA==:")),
    "Signature-Input alone": adding(BEARER, ("SIGNATURE-INPUT", "wimse=()")),
    "a proof token": adding(BEARER, ("Workload-Proof-Token", "a.b.c")),
    "a proof token as credentials": replacing(BEARER, "Authorization", "WPT a.b.c"),
}


@pytest.mark.parametrize("request_", [*BAD.values(), *HALVES.values()], ids=[*BAD, *HALVES])
def test_a_bad_wit_is_never_replaced_by_a_good_bearer_token(authenticate: Authenticate, request_: Request) -> None:
    """WT-42, WC-30: whatever is wrong with it; the entrance decides, and refuses."""
    for policy in (OPEN, CLOSED, BearerPolicy(bearer_callers=lambda _: True)):
        assert policy.choose(request_) is Presented.WIT
    assert reason_of(authenticate, entrance(), request_, CONTENT, NOW) is not Reason.NO_IDENTITY


def test_a_bearer_token_alone_needs_to_be_configured() -> None:
    """WC-30, WT-42: without a choice every request needs a WIT."""
    assert reason_of(CLOSED.choose, BEARER) is Reason.WIT_MISSING
    assert OPEN.choose(BEARER) is Presented.BEARER
    assert OPEN.choose(replacing(BEARER, "Authorization", "bEARER abc")) is Presented.BEARER


@pytest.mark.parametrize("values", [(), ("Basic YTpi",), ("",), ("Bearerabc",)])
def test_what_is_no_bearer_token_is_none(values: tuple[str, ...]) -> None:
    assert reason_of(OPEN.choose, replacing(BEARER, "Authorization", *values)) is Reason.WIT_MISSING


def test_two_bearer_tokens_are_refused() -> None:
    assert reason_of(OPEN.choose, replacing(BEARER, "Authorization", "Bearer a", "Bearer b")) is (
        Reason.FIELD_DUPLICATED
    )


def test_the_choice_is_judged_again_when_the_caller_is_known() -> None:
    """WC-30: a caller that has a WIT by now does not come with a bearer token any more."""
    OPEN.recheck(SERVER.identity)
    for policy in (OPEN, CLOSED, BearerPolicy(bearer_callers=lambda _: 1)):  # type: ignore[arg-type,return-value]
        assert reason_of(policy.recheck, CALLER.identity) is Reason.IDENTITY_NOT_ALLOWED
    BearerPolicy(bearer_callers=member_of(DOMAIN.trust_domain)).recheck(CALLER.identity)


def test_beside_a_wit_the_bearer_token_is_the_signed_one(authenticate: Authenticate) -> None:
    """HS-05, WC-30: the value that was signed, whatever else the message says by now."""
    caller = authenticate(entrance(), forge_request(), CONTENT, NOW)
    assert bearer_of(caller) == "abc"
    swapped = replacing(forge_request(), "Authorization", "Bearer other")
    assert reason_of(authenticate, entrance(), swapped, CONTENT, NOW) is Reason.SIGNATURE_INVALID
    added = adding(forge_request(head=replacing(HEAD, "Authorization")), ("Authorization", "Bearer other"))
    assert reason_of(authenticate, entrance(), added, CONTENT, NOW) is Reason.COMPONENT_NOT_COVERED


@pytest.mark.parametrize("value", [None, "Basic YTpi", "Bearer ", "Bearer"])
def test_there_may_be_none_beside_it(authenticate: Authenticate, value: str | None) -> None:
    head = replacing(HEAD, "Authorization", *([] if value is None else [value]))
    assert bearer_of(authenticate(entrance(), forge_request(head=head), CONTENT, NOW)) is None


def test_a_wit_is_no_bearer_token() -> None:
    """HS-37, WC-34: as credentials of its own it is a bearer token that is not one of ours to verify."""
    request = replace(BEARER, fields=replacing(BEARER, "Authorization", f"WIT {CALLER.wit}").fields)
    assert reason_of(OPEN.choose, request) is Reason.WIT_MISSING
