"""What a deployment wants covered beyond the profile, and one line for each field that is covered."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.authentication.forge import (
    ANSWER,
    ANSWER_HEAD,
    CONTENT,
    HEAD,
    NONCE,
    NOW,
    SERVER,
    adding,
    caller,
    entrance,
    forge_request,
    reason_of,
)
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig import with_fields
from wimse.profiles.http_signature import REVISION_06, REVISION_07, Revision

EXTENDED = REVISION_07.covering(
    request=["x-tenant"],
    request_if_present=["x-scope", '"cookie";bs'],
    response=['"x-tenant";req', "x-region"],
    response_if_present=["location", '"authorization";req'],
)
TENANT, REGION = ("X-Tenant", "blue"), ("X-Region", "eu")
REQUEST = adding(HEAD, TENANT)


def test_it_is_the_same_revision_and_another_value() -> None:
    assert (EXTENDED.name, EXTENDED.tag) == (REVISION_07.name, REVISION_07.tag)
    assert EXTENDED != REVISION_07
    assert (
        entrance(revision=(EXTENDED, REVISION_06))
        .authenticate(caller(revision=EXTENDED).sign(REQUEST, CONTENT, now=NOW, nonce=NONCE).request, CONTENT, now=NOW)
        .covered["x-tenant"]
        == "blue"
    )


def test_what_is_required_has_to_be_there() -> None:
    assert reason_of(caller(revision=EXTENDED).sign, HEAD, CONTENT, now=NOW, nonce=NONCE) is Reason.COMPONENT_ABSENT
    server = entrance(revision=EXTENDED)
    assert reason_of(server.authenticate, forge_request(head=REQUEST), CONTENT, now=NOW) is (
        Reason.COMPONENT_NOT_COVERED
    )
    assert server.authenticate(forge_request(head=REQUEST, extra=["x-tenant"]), CONTENT, now=NOW).nonce == NONCE


@pytest.mark.parametrize(("name", "covered"), [("x-scope", "x-scope"), ("cookie", '"cookie";bs')])
def test_what_is_covered_if_present(name: str, covered: str) -> None:
    server, head = entrance(revision=EXTENDED), adding(REQUEST, (name, "a"))
    request = forge_request(head=head, extra=["x-tenant"])
    assert reason_of(server.authenticate, request, CONTENT, now=NOW) is Reason.COMPONENT_NOT_COVERED
    request = forge_request(head=head, extra=["x-tenant", covered])
    assert server.authenticate(request, CONTENT, now=NOW).nonce == NONCE
    request = caller(revision=EXTENDED).sign(head, CONTENT, now=NOW, nonce="o" * 22).request
    assert server.authenticate(request, CONTENT, now=NOW).nonce == "o" * 22
    # It may come later, on the way, and then it is not covered.
    request = caller(revision=EXTENDED).sign(REQUEST, CONTENT, now=NOW, nonce="p" * 22).request
    assert reason_of(server.authenticate, adding(request, (name, "a")), CONTENT, now=NOW) is (
        Reason.COMPONENT_NOT_COVERED
    )


def test_a_response() -> None:
    client, server = caller(revision=EXTENDED), entrance(revision=EXTENDED)
    sent = client.sign(REQUEST, CONTENT, now=NOW, nonce=NONCE)
    known = server.authenticate(sent.request, CONTENT, now=NOW)
    head = with_fields(ANSWER_HEAD, ANSWER_HEAD.fields.adding(REGION, ("Location", "/orders/12")))
    for each in (ANSWER_HEAD, head):
        try:
            response = server.sign_response(
                each, ANSWER, SERVER, request=sent.request, caller=known, now=NOW, nonce="m" * 22
            )
        except Refused as refused:
            assert (each, refused.reason) == (ANSWER_HEAD, Reason.COMPONENT_ABSENT)  # noqa: PT017 - of one of two
            continue
        answered = client.verify_response(response, ANSWER, sent, now=NOW)
        assert answered is not None
        assert answered.covered["x-tenant;req"] == "blue"
        assert answered.covered["authorization;req"] == "Bearer abc"
        assert answered.covered["location"] == "/orders/12"
        for name in ("x-region", "location"):
            changed = with_fields(response, response.fields.without(name).adding((name, "other")))
            assert reason_of(client.verify_response, changed, ANSWER, sent, now=NOW) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize(
    "name", ["content-type", "content-digest", "authorization", "txn-token", "x-tenant", "x-scope"]
)
def test_each_covered_field_has_one_line(name: str) -> None:
    """Joined by commas, two lines read as one value that is cut elsewhere by whoever reads it next."""
    head = adding(REQUEST, ("X-Scope", "a"))
    request = caller(revision=EXTENDED).sign(head, CONTENT, now=NOW, nonce=NONCE).request
    doubled = adding(request, (name, "b"))
    assert reason_of(entrance(revision=EXTENDED).authenticate, doubled, CONTENT, now=NOW) is Reason.FIELD_DUPLICATED
    if name != "content-digest":  # ours is written anew
        head = adding(head, (name, "b"))
        sign = caller(revision=EXTENDED).sign
        assert reason_of(sign, head, CONTENT, now=NOW, nonce=NONCE) is Reason.FIELD_DUPLICATED


def test_a_component_that_says_how_lines_are_read_may_have_several() -> None:
    head = adding(REQUEST, ("Cookie", "a=1"), ("Cookie", "b=2"))
    request = caller(revision=EXTENDED).sign(head, CONTENT, now=NOW, nonce=NONCE).request
    assert entrance(revision=EXTENDED).authenticate(request, CONTENT, now=NOW).covered["cookie;bs"] == ":YT0x:, :Yj0y:"


def test_a_field_of_the_request_is_counted_in_the_request() -> None:
    """An Authorization of the response is not the one that is covered."""
    client, server = caller(revision=EXTENDED), entrance(revision=EXTENDED)
    sent = client.sign(REQUEST, CONTENT, now=NOW, nonce=NONCE)
    known = server.authenticate(sent.request, CONTENT, now=NOW)
    head = with_fields(ANSWER_HEAD, ANSWER_HEAD.fields.adding(REGION, ("Authorization", "x"), ("Authorization", "y")))
    response = server.sign_response(head, ANSWER, SERVER, request=sent.request, caller=known, now=NOW, nonce="m" * 22)
    assert client.verify_response(response, ANSWER, sent, now=NOW) is not None
    doubled = adding(sent.request, TENANT)
    assert reason_of(
        server.sign_response, head, ANSWER, SERVER, request=doubled, caller=known, now=NOW, nonce="m" * 22
    ) is (Reason.FIELD_DUPLICATED)


@pytest.mark.parametrize(
    "more",
    [
        {"request": ["@method"]},
        {"request_if_present": ["authorization"]},
        {"request": ["x"], "request_if_present": ["x"]},
        {"request": ["signature"]},
        {"response": ['"signature-input";req']},
        {"request": ["@status"]},
        {"request": ['"x";req']},
        {"response": ["@path"]},
        {"request_if_present": ['"@query-param";name="a"']},
        {"request": ['"x";tr']},
        {"request": ['"cookie";sf']},
    ],
    ids=str,
)
def test_what_cannot_be_added(more: dict[str, Iterable[str]]) -> None:
    with pytest.raises(ConfigurationError):
        REVISION_07.covering(**more)


def test_what_is_no_component_cannot_be_added_either() -> None:
    with pytest.raises(Refused):
        REVISION_07.covering(request=["X-Upper"])


def test_revisions_are_not_changed_by_it() -> None:
    revision: Revision = REVISION_06.covering()
    assert revision == REVISION_06
