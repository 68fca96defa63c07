"""Revisions 06 and 07: each a value, never mixed; and every byte that a request's proof covers, changed in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests import vectors
from tests.refusals import reason_of, refused
from wimse.authentication import Authenticator, any_trusted
from wimse.errors import Reason, Refused
from wimse.httpsig import (
    DEFAULT_LIMITS,
    Fields,
    Request,
    Requirements,
    VerifiedSignature,
    check_content_digest,
    parse_http1,
    run,
    verify,
    with_fields,
)
from wimse.keys import EDDSA, ES256, PublicKey
from wimse.profiles.http_signature import (
    BRIDGE,
    REVISION_06,
    REVISION_07,
    Revision,
    SignatureRules,
    SignatureSettings,
    sign_request,
)
from wimse.stores.memory import MemoryReplayStore
from wimse.testing import InMemoryTrustDomain

NOW, AUDIENCE, BODY = 1_788_298_930, "https://orders.example/items", b'{"flavor": "vanilla"}'
DOMAIN = InMemoryTrustDomain("spiffe://example.com")
CALLER = DOMAIN.credential("/client", now=NOW)
HEAD = Request(
    method="POST",
    target="/items?a=1",
    authority="orders.example",
    fields=Fields([("Content-Type", "application/json"), ("Authorization", "Bearer x")]),
)
DRAFTS = {"06": "wimse/http-signature-06.json", "07": "wimse/http-signature-07.json"}
SINGLE_DRAFT = "wimse/s2s-protocol-07.json"
EACH = pytest.mark.parametrize("revision", [REVISION_06, REVISION_07], ids=lambda each: each.name)


def signed(revision: Revision) -> Request:
    return sign_request(
        HEAD,
        BODY,
        CALLER,
        revision=revision,
        settings=SignatureSettings(),
        now=NOW,
        nonce="abcd1111",
        audience=AUDIENCE,
    ).request


def judge(request: Request, content: bytes, revision: Revision) -> str:
    entrance = Authenticator(
        bundles=DOMAIN.bundles, audience=AUDIENCE, replay=MemoryReplayStore(), policy=any_trusted, revision=revision
    )
    return entrance.authenticate(request, content, now=NOW).revision


def judge_example(path: str, name: str, revision: Revision) -> VerifiedSignature:
    """One of the drafts' messages by the coverage and the parameters of a revision; its key is the WIT's cnf."""
    case = next(each for each in vectors.load(path)["cases"] if each["id"] == name)
    read = parse_http1(case["message"].encode())
    answered = parse_http1(case["request"].encode()).message if name == "response" else None
    assert answered is None or isinstance(answered, Request)
    key = PublicKey.from_jwk(case["key"])
    rules = SignatureRules(revision, SignatureSettings(), DEFAULT_LIMITS, of_request=name == "request")
    asked = rules.requirements(key.algorithm)
    requirements = replace(asked, max_lifetime=None)  # the response of 06 and of 07 lives 302 s, longer than we take
    verified = run(verify(read.message, requirements, now=case["now"], request=answered), lambda _: key)
    check_content_digest(read.message.fields, read.content)
    return verified


@EACH
@pytest.mark.parametrize("name", ["request", "response"])
@pytest.mark.parametrize("draft", DRAFTS)
def test_the_examples_of_a_draft_satisfy_their_own_revision_only(draft: str, name: str, revision: Revision) -> None:
    """HS-01, HS-38: @request-target in 06; @path and @query in 07."""
    if draft == revision.name:
        assert judge_example(DRAFTS[draft], name, revision).parameters["tag"] == revision.tag
    else:
        with refused(Reason.COMPONENT_NOT_COVERED):
            judge_example(DRAFTS[draft], name, revision)


@EACH
@pytest.mark.parametrize("case", vectors.load(SINGLE_DRAFT)["cases"], ids=lambda case: case["id"])
def test_the_examples_of_the_single_draft_before_satisfy_neither(case: dict[str, Any], revision: Revision) -> None:
    """HS-15, HS-17: no audience, and no nonce of the request; as messages of RFC 9421 they verify."""
    with refused(reason_of(case["expected"]["by_revision"][revision.name])):
        judge_example(SINGLE_DRAFT, case["id"], revision)


def test_the_digest_of_the_single_drafts_response_is_not_that_of_its_content() -> None:
    """HS-47, HS-09: computed and compared. The signature over the field verifies, and says nothing of the content."""
    case = next(each for each in vectors.load(SINGLE_DRAFT)["cases"] if each["expected"]["digest"] == "wrong")
    read = parse_http1(case["message"].encode())
    answered = parse_http1(case["request"].encode()).message
    assert isinstance(answered, Request)
    key, requirements = PublicKey.from_jwk(case["key"]), Requirements(tag=REVISION_07.tag)
    verified = run(verify(read.message, requirements, now=case["now"], request=answered), lambda _: key)
    assert verified.covered["content-digest"] == read.message.fields.values("content-digest")[0]
    with refused(Reason.DIGEST_MISMATCH):
        check_content_digest(read.message.fields, read.content)
    with refused(Reason.DIGEST_MISMATCH):
        list(verify(read.message, requirements, now=case["now"], request=answered, content=read.content))


@EACH
def test_a_request_satisfies_its_own_revision_only(revision: Revision) -> None:
    assert judge(signed(revision), BODY, revision) == revision.name
    other = REVISION_06 if revision is REVISION_07 else REVISION_07
    with refused(Reason.COMPONENT_NOT_COVERED):
        judge(signed(revision), BODY, other)


@EACH
def test_a_signature_that_covers_what_both_ask_satisfies_both(revision: Revision) -> None:
    both = replace(
        REVISION_07, request_components=(*REVISION_07.request_components, *REVISION_06.request_components[1:2])
    )
    assert judge(signed(both), BODY, revision) == revision.name


def test_what_is_asked_is_made_once_for_an_algorithm() -> None:
    rules = SignatureRules(REVISION_07, SignatureSettings(), DEFAULT_LIMITS, of_request=True)
    assert rules.requirements(ES256) is rules.requirements(ES256)
    assert rules.requirements(ES256).algorithms == frozenset({ES256})
    assert rules.requirements(EDDSA).algorithms == frozenset({EDDSA})


def changed(text: str) -> Iterator[str]:
    """The text with one character after the other replaced by its neighbour."""
    for position, character in enumerate(text):
        yield text[:position] + chr(ord(character) ^ 1) + text[position + 1 :]


def mutations(request: Request) -> Iterator[tuple[str, Request]]:
    for name in ("method", "target"):
        for value in changed(getattr(request, name)):
            parts = {"method": request.method, "target": request.target, name: value}
            try:
                head = replace(request, method=parts["method"], target=parts["target"])
            except Refused:
                continue  # no request at all
            yield name, head
    for number, (name, value) in enumerate(request.fields):
        for other in changed(value):
            lines = list(request.fields)
            lines[number] = (name, other)
            try:
                fields = Fields(lines)
            except Refused:
                continue
            yield name, with_fields(request, fields)


@pytest.mark.parametrize("revision", [REVISION_06, REVISION_07, BRIDGE], ids=lambda each: each.name)
def test_any_changed_byte_of_a_request_is_refused(revision: Revision) -> None:
    """HS-01 to HS-07: method, target, every field that is covered, every parameter, the signature and the token."""
    request, tried = signed(revision), 0
    for name, other in mutations(request):
        tried += 1
        try:
            judge(other, BODY, revision)
        except Refused:
            continue
        pytest.fail(f"a changed byte of {name} was accepted")
    assert tried > 900
    for position in range(len(BODY)):
        content = bytearray(BODY)
        content[position] ^= 1
        with refused(Reason.DIGEST_MISMATCH):
            judge(request, bytes(content), revision)
