"""Who may call: whole identifiers, and nobody by default."""

from __future__ import annotations

import pytest

from tests.authentication.forge import (
    CALLER,
    CONTENT,
    DOMAIN,
    FOREIGN,
    HEAD,
    NOW,
    WIMSE,
    Authenticate,
    entrance,
    forge_request,
    forge_wit,
    reason_of,
    wit_claims,
)
from wimse.authentication import Policy, any_trusted, exactly, expect, member_of
from wimse.credentials import TrustBundles, WorkloadIdentifier
from wimse.errors import Reason

ALL = TrustBundles(DOMAIN.bundle, FOREIGN.bundle, WIMSE.bundle)
ALLOWED = "spiffe://example.org/service/pay"


@pytest.mark.parametrize(
    "path",
    [
        "/service/payroll",
        "/service/pa",
        "/service/pay/child",
        "/service",
        "/service/Pay",
        "/SERVICE/PAY",
        "/service/pay.",
        "/x/service/pay",
        "/service/pay-2",
    ],
)
def test_a_neighbour_of_an_allowed_workload_is_denied(authenticate: Authenticate, path: str) -> None:
    """ID-09, ID-12: neither prefix, parent, child nor another case."""
    request = forge_request(DOMAIN.credential(path, now=NOW))
    server = entrance(policy=exactly(ALLOWED))
    assert reason_of(authenticate, server, request, CONTENT, NOW) is Reason.IDENTITY_NOT_ALLOWED


def test_the_same_path_of_another_trust_domain_is_denied(authenticate: Authenticate) -> None:
    """ID-10, WC-31: trusted, and somebody else."""
    for domain in (FOREIGN, WIMSE):
        request = forge_request(domain.credential("/service/pay", now=NOW))
        for policy in (exactly(ALLOWED), member_of(DOMAIN.trust_domain)):
            server = entrance(bundles=ALL, policy=policy)
            assert reason_of(authenticate, server, request, CONTENT, NOW) is Reason.IDENTITY_NOT_ALLOWED


@pytest.mark.parametrize("policy", [exactly(), member_of()])
def test_a_policy_that_names_nobody_allows_nobody(authenticate: Authenticate, policy: Policy) -> None:
    """ID-11."""
    server = entrance(policy=policy)
    assert reason_of(authenticate, server, forge_request(), CONTENT, NOW) is Reason.IDENTITY_NOT_ALLOWED


@pytest.mark.parametrize(
    "text", ["", "*", "spiffe://example.org", "spiffe://example.org/*", "spiffe://example.org/a/", ".*", "/service/pay"]
)
def test_a_pattern_is_no_identifier(text: str) -> None:
    """ID-11, ID-12, ID-16: refused when the policy is made."""
    assert reason_of(exactly, text) is Reason.IDENTIFIER_MALFORMED


def test_a_trust_domain_does_not_call(authenticate: Authenticate) -> None:
    """ID-16: it is nobody's identifier, in whatever policy."""
    request = forge_request(wit=forge_wit(wit_claims(sub="spiffe://example.org")))
    for policy in (any_trusted, member_of(DOMAIN.trust_domain)):
        assert reason_of(authenticate, entrance(policy=policy), request, CONTENT, NOW) is Reason.TOKEN_SUBJECT


@pytest.mark.parametrize("answer", [None, 1, "yes", object(), 0, False])
def test_only_true_allows(authenticate: Authenticate, answer: object) -> None:
    """ID-11, ID-12: not a match object, not a count."""
    server = entrance(policy=lambda _: answer)  # type: ignore[arg-type, return-value]
    assert reason_of(authenticate, server, forge_request(), CONTENT, NOW) is Reason.IDENTITY_NOT_ALLOWED


def test_a_denial_is_403_and_says_no_name(authenticate: Authenticate) -> None:
    from wimse.errors import Refused

    with pytest.raises(Refused) as caught:
        authenticate(entrance(policy=exactly()), forge_request(), CONTENT, NOW)
    assert caught.value.http_status == 403
    assert "caller" not in str(caught.value)


@pytest.mark.parametrize(
    "policy",
    [
        any_trusted,
        member_of(DOMAIN.trust_domain),
        member_of(FOREIGN.trust_domain, DOMAIN.trust_domain),
        exactly("spiffe://example.org/other", "spiffe://example.org/caller"),
        exactly(CALLER.identity),
    ],
)
def test_who_is_named_may_call(authenticate: Authenticate, policy: Policy) -> None:
    assert authenticate(entrance(policy=policy), forge_request(), CONTENT, NOW).identity == CALLER.identity


def test_a_policy_can_expect_a_server() -> None:
    rule = expect(exactly(ALLOWED))
    assert rule(HEAD, WorkloadIdentifier.parse(ALLOWED))
    assert not rule(HEAD, CALLER.identity)
