"""Accept-Signature in both directions: a wish lists what the profile covers, and makes nobody sign anything else."""

from __future__ import annotations

import pytest

from tests.authentication.forge import (
    ANSWER,
    ANSWER_HEAD,
    CALLER,
    CONTENT,
    DOMAIN,
    HEAD,
    NONCE,
    NOW,
    SERVER,
    adding,
    entrance,
    reason_of,
)
from wimse.authentication import ClientAuthenticator, any_trusted, expect
from wimse.errors import Reason
from wimse.httpsig import DEFAULT_LIMITS, Request, Response, parse_accept_signature, parse_signatures, with_fields
from wimse.profiles.http_signature import (
    COFIDE_POC,
    REVISION_06,
    REVISION_07,
    Revision,
    is_signature_wished,
    wish_for_signed_requests,
    wish_for_signed_response,
)

EACH = pytest.mark.parametrize("revision", [REVISION_06, REVISION_07, COFIDE_POC], ids=lambda each: each.name)
TAG = "wimse-workload-to-workload"
RESPONSE_07 = (
    '"@status" "@method";req "@path";req "@query";req "workload-identity-token" "content-type" "content-digest"'
)
REQUEST_07 = '"@method" "@path" "@query" "workload-identity-token" "content-type" "content-digest"'


def heard(message: Request | Response, revision: Revision = REVISION_07) -> bool:
    return is_signature_wished(message, revision, CALLER.key, DEFAULT_LIMITS)


def asking(line: str) -> Response:
    return with_fields(ANSWER_HEAD, ANSWER_HEAD.fields.adding(("Accept-Signature", line)))


@EACH
def test_a_client_lists_all_that_the_profile_covers_in_a_response(revision: Revision) -> None:
    """HS-35."""
    (asked,) = parse_accept_signature(wish_for_signed_response(HEAD, revision))
    assert set(asked.components) == {*revision.response_components, *revision.response_if_present}
    assert dict(asked.parameters) == {"created": True, "expires": True, "tag": TAG}


@EACH
def test_a_server_lists_all_that_the_profile_covers_in_a_request(revision: Revision) -> None:
    """HS-35: minimally those that the revision asks of a request."""
    (asked,) = parse_accept_signature(wish_for_signed_requests(ANSWER_HEAD, revision))
    assert set(asked.components) == {*revision.request_components, *revision.request_if_present}


@EACH
def test_what_one_side_of_us_wishes_the_other_one_hears(revision: Revision) -> None:
    assert heard(wish_for_signed_response(HEAD, revision), revision)
    assert heard(wish_for_signed_requests(ANSWER_HEAD, revision), revision)
    assert not heard(HEAD, revision)
    assert not heard(ANSWER_HEAD, revision)


def test_a_second_wish_of_the_same_name_is_refused() -> None:
    assert reason_of(wish_for_signed_response, wish_for_signed_response(HEAD, REVISION_07), REVISION_07) is (
        Reason.SIGNATURE_LABEL_DUPLICATED
    )


@pytest.mark.parametrize(
    "line",
    [
        f"a=({REQUEST_07});created",  # no tag
        f'a=({REQUEST_07});created;tag="app-x"',
        f'a=({REQUEST_07});nonce="chosen by the peer";tag="{TAG}"',
        f'a=({REQUEST_07});keyid="another";tag="{TAG}"',
        f'a=({REQUEST_07});keyid="wit";tag="{TAG}"',
        f'a=({REQUEST_07});alg="ed25519";tag="{TAG}"',
        f'a=({REQUEST_07});wimse-aud="https://elsewhere.example";tag="{TAG}"',
        f'a=({REQUEST_07} "cookie");tag="{TAG}"',
        f'a=({REQUEST_07} "@authority");tag="{TAG}"',
        f'a=("@method" "workload-identity-token");tag="{TAG}"',
        f'a=();tag="{TAG}"',
        f'a=({REQUEST_07} "@status");tag="{TAG}"',
        "a=(",
        "a",
        'a=("@method" "@method")',
    ],
)
def test_nothing_else_is_heard(line: str) -> None:
    """RS-13: neither more components, nor another purpose, key or nonce, nor what cannot be read."""
    assert not heard(asking(line))


def test_what_is_heard_may_leave_out_what_is_not_there() -> None:
    assert heard(asking(f'b=("@method");tag="x", a=({REQUEST_07});created;tag="{TAG}"'))
    assert heard(adding(HEAD, ("Accept-Signature", f'a=({RESPONSE_07});created;expires;tag="{TAG}"')))


@pytest.mark.parametrize("wishes", [False, True])
def test_a_client_signs_the_same_whatever_it_was_asked(wishes: bool) -> None:
    """RS-13: there is nothing for an Accept-Signature to change; with its own wish it signs what it always does."""
    client = ClientAuthenticator(
        DOMAIN.source("/caller", now=NOW), server=expect(any_trusted), wish_for_signed_response=wishes
    )
    sent = client.sign(HEAD, CONTENT, now=NOW, nonce=NONCE)
    assert ("accept-signature" in sent.request.fields) is wishes
    server = entrance()
    known = server.authenticate(sent.request, CONTENT, now=NOW)
    response = server.sign_response(
        asking(f'a=({REQUEST_07} "cookie");nonce="chosen";tag="{TAG}"'),
        ANSWER,
        SERVER,
        request=sent.request,
        caller=known,
        now=NOW,
        nonce="m" * 22,
    )
    assert client.verify_response(response, ANSWER, sent, now=NOW) is not None
    again = client.sign(HEAD, CONTENT, now=NOW, nonce="o" * 22)
    (before,), (after,) = parse_signatures(sent.request.fields), parse_signatures(again.request.fields)
    assert after.input.components == before.input.components
    assert after.input.parameters == {**before.input.parameters, "nonce": "o" * 22}
