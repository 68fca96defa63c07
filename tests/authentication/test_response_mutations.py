"""One byte changed anywhere in a response, in each revision that binds one: no survivor.

As `test_mutations` for requests: status, covered fields, parameters, the parts of the WIT, the signature's value, the
content, and the request that is answered. White space around a field's value is no part of it (RFC 9421 §2.1) and may
come and go; inside it none of it may.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import pytest

from tests.authentication.forge import (
    ANSWER,
    ANSWER_HEAD,
    CONTENT,
    HEAD,
    NONCE,
    NOW,
    SERVER,
    caller,
    entrance,
    forge_response,
)
from tests.authentication.test_mutations import mutants, refused, text_mutants, with_part, with_signed
from wimse.authentication import ClientAuthenticator
from wimse.errors import Reason, Refused
from wimse.httpsig import Fields, Response, with_fields
from wimse.profiles.http_signature import BRIDGE, REVISION_06, REVISION_07, Revision, SignedRequest

FIELDS = ["content-type", "content-digest", "workload-identity-token", "signature-input", "signature"]


@dataclass(frozen=True)
class Exchange:
    """A client, what it sent, and the server's answer."""

    client: ClientAuthenticator
    sent: SignedRequest
    response: Response

    @classmethod
    def of(cls, revision: Revision) -> Exchange:
        client, server = caller(revision=revision), entrance(revision=revision)
        sent = client.sign(HEAD, CONTENT, now=NOW, nonce=NONCE)
        known = server.authenticate(sent.request, CONTENT, now=NOW)
        response = server.sign_response(
            ANSWER_HEAD, ANSWER, SERVER, request=sent.request, caller=known, now=NOW, nonce="m" * 22
        )
        return cls(client, sent, response)

    def judge(self, build: Callable[[], Response], content: bytes = ANSWER) -> Reason:
        return refused(lambda: self.client.verify_response(build(), content, self.sent, now=NOW))


EXCHANGES = {revision.name: Exchange.of(revision) for revision in (REVISION_06, REVISION_07, BRIDGE)}
EACH = pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES)


@EACH
def test_the_response_is_accepted_as_it_is(exchange: Exchange) -> None:
    answered = exchange.client.verify_response(exchange.response, ANSWER, exchange.sent, now=NOW)
    assert answered is not None
    assert answered.identity == SERVER.identity


@EACH
def test_no_status_can_be_changed(exchange: Exchange) -> None:
    """RS-08, HS-08."""
    for status in (100, *range(200, 1000, 7), 202, 211, 301):
        if status != exchange.response.status:
            assert exchange.judge(partial(replace, exchange.response, status=status)) is Reason.SIGNATURE_INVALID


@EACH
@pytest.mark.parametrize("name", FIELDS)
def test_no_byte_of_a_signed_field_can_be_changed(exchange: Exchange, name: str) -> None:
    """HS-03, HS-04, HS-07, HS-10, HS-11, HS-12, HS-17, MW-05: Signature-Input holds all parameters."""
    (value,) = exchange.response.fields.values(name)
    reasons = {
        mutant: exchange.judge(partial(with_signed, exchange.response, name, mutant)) for mutant in text_mutants(value)
    }
    assert [mutant for mutant, reason in reasons.items() if reason is Reason.NO_IDENTITY] == []
    assert len(reasons) >= 3 * len(value)


@EACH
@pytest.mark.parametrize("name", FIELDS)
def test_no_byte_of_a_signed_field_can_be_taken_out_or_put_in(exchange: Exchange, name: str) -> None:
    (value,) = exchange.response.fields.values(name)
    for position, character in enumerate(value):
        shorter, longer = value[:position] + value[position + 1 :], value[:position] + character + value[position:]
        reason = exchange.judge(partial(with_signed, exchange.response, name, shorter))
        assert reason is not Reason.NO_IDENTITY, shorter
        reason = exchange.judge(partial(with_signed, exchange.response, name, longer))
        # How many spaces stand between the items of a list is not signed: it is written anew (RFC 9421 §2.3).
        assert (reason is Reason.NO_IDENTITY) is (name == "signature-input" and character == " "), longer


@EACH
def test_white_space_around_values_may_vary(exchange: Exchange) -> None:
    """SB-16: the only bytes that RFC 9421 strips."""
    padded = with_fields(exchange.response, Fields((name, f" \t{value}  ") for name, value in exchange.response.fields))
    assert exchange.client.verify_response(padded, ANSWER, exchange.sent, now=NOW) is not None


@EACH
def test_no_byte_of_the_content_can_be_changed(exchange: Exchange) -> None:
    """DG-01, HS-47."""
    for mutant in (*mutants(ANSWER), ANSWER[:-1], ANSWER + b"\n", b""):
        assert exchange.judge(lambda: exchange.response, mutant) is Reason.DIGEST_MISMATCH


@EACH
def test_no_bit_of_the_signature_can_be_changed(exchange: Exchange) -> None:
    """MW-05: in its bytes, written canonically again."""
    (field,) = exchange.response.fields.values("signature")
    value = base64.b64decode(field.removeprefix("wimse=:").removesuffix(":"))
    for bit in range(len(value) * 8):
        number = int.from_bytes(value, "big") ^ (1 << bit)
        written = f"wimse=:{base64.b64encode(number.to_bytes(64, 'big')).decode('ascii')}:"
        reason = exchange.judge(partial(with_signed, exchange.response, "signature", written))
        assert reason is Reason.SIGNATURE_INVALID


@EACH
@pytest.mark.parametrize("part", ["method", "target"])
def test_no_byte_of_the_answered_request_can_be_another(exchange: Exchange, part: str) -> None:
    """RS-09, HS-08: the response of a request that differs in one byte."""
    sent = exchange.sent
    for mutant in text_mutants(getattr(sent.request, part)):
        try:
            other = replace(sent, request=with_part(sent.request, part, mutant))
        except Refused:
            continue
        reason = refused(partial(exchange.client.verify_response, exchange.response, ANSWER, other, now=NOW))
        assert reason in {Reason.SIGNATURE_INVALID, Reason.COMPONENT_ABSENT}, mutant


@EACH
def test_no_character_of_the_answered_nonce_can_be_another(exchange: Exchange) -> None:
    """RS-03, HS-28, HS-42."""
    for mutant in text_mutants(NONCE):
        other = replace(exchange.sent, nonce=mutant)
        reason = refused(partial(exchange.client.verify_response, exchange.response, ANSWER, other, now=NOW))
        assert reason is Reason.REQUEST_NONCE_MISMATCH


def test_no_byte_of_a_wit_can_be_changed_by_its_own_workload() -> None:
    """WC-01, WT-05: it signs the response anew, so that only the WIT's own checks stand in its way."""
    exchange = EXCHANGES["07"]
    for mutant in list(text_mutants(SERVER.wit))[::3]:
        reason = exchange.judge(partial(forge_response, exchange.sent.request, wit=mutant))
        assert reason is not Reason.NO_IDENTITY, mutant
