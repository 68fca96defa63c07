"""The four forms of a request target, and what is derived from each (RFC 9421 §2.2; RFC 9112 §3.2, §3.3)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refused
from wimse.errors import Reason, Refused
from wimse.httpsig import ComponentIdentifier, Request, component_value

ABSENT = None
DERIVED = ["@request-target", "@target-uri", "@scheme", "@authority", "@path", "@query"]


def value(text: str, request: Request) -> str:
    return component_value(ComponentIdentifier.parse(text), request)


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/a?b", ["https://h.example/a?b", "https", "h.example", "/a", "?b"]),
        ("GET", "http://B.example:80/a?b", ["http://b.example/a?b", "http", "b.example", "/a", "?b"]),
        ("GET", "HTTPS://b.example:443", ["https://b.example/", "https", "b.example", "/", "?"]),
        ("GET", "https://b.example?c", ["https://b.example/?c", "https", "b.example", "/", "?c"]),
        ("GET", "https://b.example:80/", ["https://b.example:80/", "https", "b.example:80", "/", "?"]),
        ("OPTIONS", "https://b.example", ["https://b.example", "https", "b.example", "/", "?"]),
        ("OPTIONS", "https://b.example?c", ["https://b.example/?c", "https", "b.example", "/", "?c"]),
        ("OPTIONS", "*", ["https://h.example", "https", "h.example", ABSENT, ABSENT]),
        ("CONNECT", "B.example:80", [ABSENT, ABSENT, "b.example:80", ABSENT, ABSENT]),
        ("CONNECT", "b.example:443", [ABSENT, ABSENT, "b.example:443", ABSENT, ABSENT]),
        ("CONNECT", "[2001:DB8::1]:443", [ABSENT, ABSENT, "[2001:db8::1]:443", ABSENT, ABSENT]),
        # A form with a method that it is not for, and what is in no form.
        ("GET", "*", [ABSENT] * 5),
        ("GET", "b.example:80", [ABSENT] * 5),
        ("CONNECT", "b.example", [ABSENT] * 5),
        ("CONNECT", "b.example:", [ABSENT] * 5),
        ("CONNECT", "u@b.example:80", [ABSENT] * 5),
        ("CONNECT", "*", [ABSENT] * 5),
        ("GET", "a/b", [ABSENT] * 5),
        ("GET", "http:/a", [ABSENT] * 5),
        ("GET", "1http://b.example/", [ABSENT] * 5),
        ("OPTIONS", "**", [ABSENT] * 5),
    ],
)
def test_each_form_has_its_own_components(method: str, target: str, expected: list[str | None]) -> None:
    """HT-09, HT-10, RF-09, RF-14: derived as the RFCs say, or refused."""
    request = Request(method=method, target=target, authority="H.example:443")
    for component, wanted in zip(DERIVED, [target, *expected], strict=True):
        if wanted is ABSENT:
            with refused(Reason.COMPONENT_ABSENT):
                value(component, request)
        else:
            assert value(component, request) == wanted, component


def test_a_server_wide_request_is_not_one_for_the_root() -> None:
    """HT-09: no signature over @path or @target-uri does for both."""
    root = Request(method="OPTIONS", target="/", authority="h")
    whole = Request(method="OPTIONS", target="*", authority="h")
    assert value("@target-uri", root) != value("@target-uri", whole)


@pytest.mark.parametrize("target", ["/a?b=c", "/?b", "/"])
def test_a_proxy_may_turn_the_absolute_form_into_the_origin_form(target: str) -> None:
    """HT-09 with RFC 9421 §1.2: neither the target URI nor what is derived from it changes."""
    absolute = Request(method="GET", target="https://H.example:443" + target, authority="proxy.example")
    origin = Request(method="GET", target=target, authority="h.example")
    for component in DERIVED[1:]:
        assert value(component, absolute) == value(component, origin)
    bare = Request(method="GET", target="https://h.example", authority="h.example")
    assert value("@target-uri", bare) == value("@target-uri", Request(method="GET", target="/", authority="h.example"))


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("[2001:DB8::1]:8443", "[2001:db8::1]:8443"),
        ("[::1]:443", "[::1]"),
        ("[::443]", "[::443]"),
        ("192.0.2.1:443", "192.0.2.1"),
        ("example.com:", "example.com"),
        ("example.com:4430", "example.com:4430"),
        ("ex%41mple", "ex%41mple"),
        ("a_b.example", "a_b.example"),
    ],
)
def test_an_authority_is_normalised_and_an_ip_literal_keeps_its_brackets(authority: str, expected: str) -> None:
    """RF-09"""
    assert value("@authority", Request(method="GET", target="/", authority=authority)) == expected.lower()
    assert value("@authority", Request(method="GET", target=f"https://{authority}/")) == expected.lower()


@pytest.mark.parametrize(
    "authority",
    [
        "u@h",
        "u:p@h",
        "@h",
        "h:80:80",
        "h:x",
        "::1",
        "[::1",
        "::1]",
        "[]",
        "[::1]x",
        "[::1]:x",
        "h:-1",
        'h"',
        "h\\",
        "h#",
    ],
)
def test_an_authority_that_is_none_is_refused(authority: str) -> None:
    """RF-09: user information among them."""
    for request in (
        Request(method="GET", target="/", authority=authority),
        Request(method="GET", target=f"https://{authority}/", authority="h"),
        Request(method="OPTIONS", target="*", authority=authority),
    ):
        for component in ("@authority", "@target-uri"):
            with refused(Reason.COMPONENT_ABSENT):
                value(component, request)


@pytest.mark.parametrize("target", ["*", "b.example:80", "a"])
def test_a_target_without_a_query_has_no_query_parameter(target: str) -> None:
    """RF-10"""
    for method in ("OPTIONS", "CONNECT"):
        with refused(Reason.COMPONENT_ABSENT):
            value('"@query-param";name="a"', Request(method=method, target=target, authority="h"))


@given(
    st.sampled_from(["GET", "OPTIONS", "CONNECT"]),
    st.text(alphabet="ahtps:/?[]@*.%1=&#", min_size=1),
    st.text(alphabet="ah[]:.@/1*"),
)
def test_any_target_has_printable_values_or_is_refused(method: str, target: str, authority: str) -> None:
    """RF-08"""
    request = Request(method=method, target=target, authority=authority)
    for component in (*DERIVED, '"@query-param";name="a"'):
        with contextlib.suppress(Refused):
            found = value(component, request)
            assert found.isascii()
            assert found.isprintable()
            assert found == found.strip()
