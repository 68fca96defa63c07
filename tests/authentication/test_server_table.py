"""Who may answer at which URL: by a table or a function, and nobody where neither says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.authentication.forge import CONTENT, HEAD, NONCE, NOW, SERVER, caller, forge_response, reason_of
from wimse.authentication import ServerTable, server_by_url
from wimse.credentials import WorkloadIdentifier
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig import Request

A, B, C = (WorkloadIdentifier.parse(f"spiffe://example.org/{name}") for name in ("server", "billing", "other"))
TABLE = ServerTable(
    {
        "https://orders.example": A,
        "https://orders.example/billing": "spiffe://example.org/billing",
        "https://orders.example/billing/archive/": [A, C],
        "http://orders.example:8080/only": B,
        "https://several.example:443/": [A, B],
    }
)


def at(url: str) -> Request:
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return Request(method="GET", target=slash + path or "/", scheme=scheme, authority=authority)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://orders.example/", {A}),
        ("https://orders.example/x?billing", {A}),
        ("https://ORDERS.example:443/x", {A}),
        ("https://orders.example/billing", {B}),
        ("https://orders.example/billing/", {B}),
        ("https://orders.example/billing/1?x=/archive", {B}),
        ("https://orders.example/billings", {A}),
        ("https://orders.example/Billing/1", {A}),
        ("https://orders.example/billing/archive", {A, C}),
        ("https://orders.example/billing/archive/2024", {A, C}),
        ("https://orders.example/billing/archives", {B}),
        ("https://several.example/", {A, B}),
        ("http://orders.example:8080/only/x", {B}),
    ],
)
def test_the_longest_prefix_of_whole_segments_counts_alone(url: str, expected: set[WorkloadIdentifier]) -> None:
    """WC-02: the access name and the path of a URL."""
    assert TABLE.expected(at(url)) == expected
    assert [identity for identity in (A, B, C) if TABLE(at(url), identity)] == sorted(expected, key=[A, B, C].index)


@pytest.mark.parametrize(
    "url",
    [
        "http://orders.example/",
        "https://orders.example:8443/",
        "https://orders.example.evil/",
        "https://evil.orders.example/",
        "https://elsewhere.example/",
        "http://orders.example:8080/",
        "http://orders.example:8080/onlyx",
        "http://orders.example:8080/Only",
        "https://orders.example/billing/../x",
        "https://orders.example/billing/..",
        "https://orders.example/./billing",
        "https://orders.example/billing/%2e%2E/x",
        "https://orders.example/billing/.%2e",
        "https://orders.example/billing%2f..",
        "https://orders.example/billing%5C..%5cx",
        "https://orders.example/%2E",
    ],
)
def test_what_the_table_does_not_say_is_refused(url: str) -> None:
    """WC-02, RS-10: another origin, half a segment, a path that a server may read as another one."""
    assert TABLE.expected(at(url)) == frozenset()
    assert not any(TABLE(at(url), identity) for identity in (A, B, C))


def test_a_target_without_a_path_is_at_no_place() -> None:
    assert TABLE.expected(replace(HEAD, method="CONNECT", target="orders.example:443")) == frozenset()


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"orders.example": A},
        {"https://": A},
        {"https:///x": A},
        {"https://user@orders.example": A},
        {"https://orders.example/?x": A},
        {"https://orders.example/#x": A},
        {"https://orders.example/a/../b": A},
        {"https://orders.example/a%2fb": A},
        {"https://orders.example/a b": A},
        {"https://orders.example": []},
        {"https://orders.example": A, "https://ORDERS.example:443/": B},
        {"https://orders.example/a": A, "https://orders.example/a/": A},
    ],
    ids=str,
)
def test_a_table_says_one_thing(table: dict[str, WorkloadIdentifier]) -> None:
    with pytest.raises(ConfigurationError):
        ServerTable(table)


def test_what_is_no_identifier_is_refused_at_once() -> None:
    with pytest.raises(Refused):
        ServerTable({"https://orders.example": "orders"})


def test_a_client_takes_a_table_and_a_function() -> None:
    """WC-02, RS-10: the mapping decides whether the workload that answered is the one that was called."""
    by_name = {"https://orders.example/orders": str(A)}
    for good in (TABLE, server_by_url(by_name.get), server_by_url(lambda _: A)):
        client = caller(server=good)
        sent = client.sign(HEAD, CONTENT, now=NOW, nonce=NONCE)
        answered = client.verify_response(forge_response(sent.request), b'{"order": 12}', sent, now=NOW)
        assert answered is not None
        assert answered.identity == SERVER.identity
    for bad in (
        ServerTable({"https://orders.example": B}),
        ServerTable({"https://elsewhere.example": A}),
        server_by_url({"https://orders.example/orders?x=1": str(A)}.get),
        server_by_url(lambda _: None),
        server_by_url(lambda _: B),
    ):
        client = caller(server=bad)
        sent = client.sign(HEAD, CONTENT, now=NOW, nonce=NONCE)
        response = forge_response(sent.request)
        assert reason_of(client.verify_response, response, b'{"order": 12}', sent, now=NOW) is (
            Reason.IDENTITY_UNEXPECTED
        )
