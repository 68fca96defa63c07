"""For whom a request is: decided by configuration, compared whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.authentication.forge import (
    AUDIENCE,
    CALLER,
    CONTENT,
    HEAD,
    NOW,
    Authenticate,
    adding,
    entrance,
    forge_request,
    reason_of,
    replacing,
    request_parameters,
)
from wimse.authentication import ExactAudience, TargetAudience
from wimse.errors import ConfigurationError, Reason
from wimse.httpsig import Request

TARGET = TargetAudience("https://orders.example")

OTHERS = [
    "",
    "/orders",
    "orders.example/orders",
    "https://orders.example",
    "https://orders.example/",
    "https://orders.example/orders/",
    "https://orders.example/orders/1",
    "https://orders.example/ORDERS",
    "https://ORDERS.example/orders",
    "HTTPS://orders.example/orders",
    "https://orders.example:443/orders",
    "https://orders.example:8443/orders",
    "http://orders.example/orders",
    "https://orders.example.evil/orders",
    "https://evil.orders.example/orders",
    "https://payments.example/orders",
    "https://orders.example/orders?x=1",
    "https://orders.example/orders?",
    "https://orders.example/orders#",
    "https://user@orders.example/orders",
    "https://orders.example//orders",
    "https://orders.example/./orders",
    "https://orders.example/%6frders",
    " https://orders.example/orders",
    "https://orders.example/orders ",
    "https://orders.example/orders https://b.example",
]


@pytest.mark.parametrize("rule", [AUDIENCE, TARGET], ids=["exact", "target"])
@pytest.mark.parametrize("audience", OTHERS)
def test_another_audience_is_refused(authenticate: Authenticate, audience: str, rule: str | TargetAudience) -> None:
    """AU-02, AU-04, RP-05, HS-26: whatever it has in common with ours."""
    request = forge_request(parameters=request_parameters(wimse_aud=audience))
    assert reason_of(authenticate, entrance(audience=rule), request, CONTENT, NOW) is Reason.AUDIENCE_MISMATCH


def test_each_configured_audience_is_accepted(authenticate: Authenticate) -> None:
    """AU-04: also one that is no URI at all, or has a query, when it is configured so."""
    configured = ["orders-service", AUDIENCE, "https://orders.example/orders?x"]
    for audience in configured:
        request = forge_request(parameters=request_parameters(wimse_aud=audience))
        assert authenticate(entrance(audience=configured), request, CONTENT, NOW).identity == CALLER.identity


def test_forged_host_and_forwarded_fields_do_not_matter(authenticate: Authenticate) -> None:
    """AU-03, HS-44: the audience of another service does not come to match through them."""
    request = forge_request(parameters=request_parameters(wimse_aud="https://payments.example/orders"))
    request = replacing(request, "Host", "payments.example")
    request = adding(
        request,
        ("X-Forwarded-Host", "payments.example"),
        ("Forwarded", "host=payments.example;proto=https"),
        ("X-Original-URL", "https://payments.example/orders"),
    )
    request = replace(request, authority="payments.example")
    for rule in (AUDIENCE, TARGET):
        assert reason_of(authenticate, entrance(audience=rule), request, CONTENT, NOW) is Reason.AUDIENCE_MISMATCH


def test_a_rewritten_host_does_not_matter_either(authenticate: Authenticate) -> None:
    """HS-44: a proxy may send what it likes; only another service's audience refuses it (AU-07)."""
    request = replace(replacing(forge_request(), "Host", "10.0.0.7:8080"), authority="10.0.0.7:8080", scheme="http")
    assert authenticate(entrance(audience=TARGET), request, CONTENT, NOW).identity == CALLER.identity
    other = entrance(audience=TargetAudience("https://payments.example"))
    assert reason_of(authenticate, other, request, CONTENT, NOW) is Reason.AUDIENCE_MISMATCH


def test_the_target_audience_is_of_this_very_path(authenticate: Authenticate) -> None:
    """HS-26: one of our own other resources is another audience."""
    request = forge_request(parameters=request_parameters(wimse_aud="https://orders.example/payments"))
    assert reason_of(authenticate, entrance(audience=TARGET), request, CONTENT, NOW) is Reason.AUDIENCE_MISMATCH
    several = TargetAudience("https://a.example", "https://orders.example/")
    assert authenticate(entrance(audience=several), forge_request(), CONTENT, NOW).identity == CALLER.identity


def test_a_rule_of_ones_own_gets_audience_and_request(authenticate: Authenticate) -> None:
    class Rule:
        def accepts(self, audience: str, request: Request) -> bool:
            return audience == AUDIENCE and request.method == HEAD.method

    assert authenticate(entrance(audience=Rule()), forge_request(), CONTENT, NOW).identity == CALLER.identity
    other = forge_request(head=replace(HEAD, method="PUT"))
    assert reason_of(authenticate, entrance(audience=Rule()), other, CONTENT, NOW) is Reason.AUDIENCE_MISMATCH


@pytest.mark.parametrize("values", [(), ("",), (AUDIENCE, "")])
def test_an_exact_audience_must_be_there(values: tuple[str, ...]) -> None:
    """AU-06."""
    with pytest.raises(ConfigurationError):
        ExactAudience(*values)


@pytest.mark.parametrize(
    "origins", [(), ("",), ("orders.example",), ("https://orders.example/orders",), ("https:/x/y",), ("https://",)]
)
def test_an_origin_has_a_scheme_and_no_path(origins: tuple[str, ...]) -> None:
    """AU-06."""
    with pytest.raises(ConfigurationError):
        TargetAudience(*origins)


def test_a_function_is_asked(authenticate: Authenticate) -> None:
    """HS-26: from configuration, as a plain function."""
    asked: list[tuple[str, str]] = []

    def ours(audience: str, request: Request) -> bool:
        asked.append((audience, request.method))
        return audience == AUDIENCE

    assert authenticate(entrance(audience=ours), forge_request(), CONTENT, NOW).identity == CALLER.identity
    assert asked == [(AUDIENCE, "POST")]


@pytest.mark.parametrize("answer", [False, None, "yes", 1, object()])
def test_what_merely_counts_as_true_is_no_yes(authenticate: Authenticate, answer: Any) -> None:
    deny = entrance(audience=lambda _, __: answer)
    assert reason_of(authenticate, deny, forge_request(), CONTENT, NOW) is Reason.AUDIENCE_MISMATCH


@pytest.mark.parametrize("audience", [7, 1.5, object()])
def test_what_is_no_audience(audience: object) -> None:
    """AU-06."""
    with pytest.raises(ConfigurationError):
        entrance(audience=audience)  # type: ignore[arg-type]
