"""Messages of the drafts before August 2025 are refused, and the explanation names each thing that is old."""

from __future__ import annotations

from typing import Any

import pytest

from tests import vectors
from tests.authentication.forge import (
    CALLER,
    CONTENT,
    HEAD,
    NONCE,
    NOW,
    caller,
    entrance,
    forge_request,
    forge_response,
    forge_wit,
    request_parameters,
    response_parameters,
)
from tests.refusals import reason_of
from wimse.authentication import Authenticator, ClientAuthenticator, any_trusted, expect
from wimse.errors import Reason, Refused
from wimse.httpsig import DEFAULT_LIMITS, Fields, Request, Response, parse_http1
from wimse.profiles.http_signature import REVISIONS, Revision, SignedRequest, explained
from wimse.stores import MemoryReplayStore
from wimse.testing import InMemoryTrustDomain

CASES = {each["id"]: each for each in vectors.load("wimse/cofide-poc-first-generation.json")["cases"]}
TAG, TYPE = "wimse-service-to-service", "wimse-id+jwt"
DOMAIN = InMemoryTrustDomain("spiffe://example.com")


def judge(case: dict[str, Any], revision: Revision) -> object:
    """By whoever trusts some key of spiffe://example.com."""
    read = parse_http1(case["message"].encode())
    if isinstance(read.message, Request):
        server = Authenticator(
            bundles=DOMAIN.bundles,
            audience="http://localhost:8080",
            replay=MemoryReplayStore(),
            policy=any_trusted,
            revision=revision,
        )
        return server.authenticate(read.message, read.content, now=case["now"])
    request = parse_http1(case["request"].encode()).message
    assert isinstance(request, Request)
    source = DOMAIN.source("/client", now=NOW)
    client = ClientAuthenticator(source, server=expect(any_trusted), revision=revision)
    sent = SignedRequest(request, NONCE, response_must_be_signed=True)
    return client.verify_response(read.message, read.content, sent, now=case["now"])


@pytest.mark.parametrize("revision", REVISIONS.values(), ids=lambda each: each.name)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_first_generation_of_the_proof_of_concept(case: dict[str, Any], revision: Revision) -> None:
    """LB-06: by each revision, that of its second generation among them; tag and typ are both named."""
    with pytest.raises(Refused) as caught:
        judge(case, revision)
    assert caught.value.reason is reason_of(case["expected"]["by_revision"][revision.name])
    assert all(old in caught.value.detail for old in case["expected"]["old"])
    assert "before August 2025" in caught.value.detail


@pytest.mark.parametrize(
    ("request_", "reason", "old"),
    [
        (forge_request(parameters=request_parameters(tag=TAG)), Reason.SIGNATURE_MISSING, [TAG]),
        (forge_request(wit=forge_wit(typ=TYPE)), Reason.TOKEN_TYPE, [TYPE]),
        (
            forge_request(wit=forge_wit(typ=TYPE), parameters=request_parameters(tag=TAG)),
            Reason.TOKEN_TYPE,
            [TAG, TYPE],
        ),
    ],
    ids=["tag", "typ", "both"],
)
def test_each_old_part_of_a_request_is_named(request_: Request, reason: Reason, old: list[str]) -> None:
    """LB-06, HS-14."""
    with pytest.raises(Refused) as caught:
        entrance().authenticate(request_, CONTENT, now=NOW)
    assert caught.value.reason is reason
    assert [each for each in (TAG, TYPE) if each in caught.value.detail] == old


def test_the_old_tag_of_a_response_is_named() -> None:
    """LB-06."""
    client = caller()
    sent = client.sign(HEAD, CONTENT, now=NOW, nonce=NONCE)
    response = forge_response(sent.request, parameters=response_parameters(tag=TAG))
    with pytest.raises(Refused, match=TAG) as caught:
        client.verify_response(response, b'{"order": 12}', sent, now=NOW)
    assert caught.value.reason is Reason.RESPONSE_UNSIGNED


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [("Workload-Identity-Token", "x"), ("Signature-Input", "("), ("Signature", "(")],
        [("Workload-Identity-Token", CALLER.wit)] * 2,
    ],
)
def test_what_cannot_be_read_is_not_called_old(lines: list[tuple[str, str]]) -> None:
    refused = Refused(Reason.SIGNATURE_MISSING, "as it was")
    assert explained(refused, Response(status=200, fields=Fields(lines)), DEFAULT_LIMITS) is refused
    other = Refused(Reason.SIGNATURE_INVALID, "as it was")
    old = forge_request(parameters=request_parameters(tag=TAG))
    assert explained(other, old, DEFAULT_LIMITS) is other
