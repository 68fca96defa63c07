"""One byte changed anywhere: no survivor.

The parts of a message that are mutated are all that a signature is meant to hold: the values of the covered components,
the signature's parameters, the three parts of the WIT, the signature's value, and the content. Each byte of each is
replaced by others, one at a time. No position is left out, and none has a replacement that is accepted. The names of
fields are no values: HTTP lets their case vary. A label means nothing, and yet cannot be changed in one field alone.
`test_response_mutations` does the same with responses.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeVar

import pytest

from tests.authentication.forge import (
    CALLER,
    CONTENT,
    DOMAIN,
    HEAD,
    NONCE,
    NOW,
    RecordingStore,
    caller,
    entrance,
    forge_request,
)
from wimse.errors import Reason, Refused
from wimse.httpsig import Fields, Request, Response, with_fields
from wimse.profiles.http_signature import SignedRequest

AnyMessage = TypeVar("AnyMessage", Request, Response)

CLIENT = caller()
SENT: SignedRequest = CLIENT.sign(HEAD, CONTENT, now=NOW, nonce=NONCE)
ACCEPTED = entrance().authenticate(SENT.request, CONTENT, now=NOW)
SERVER_SIDE = entrance(replay=RecordingStore())

REQUEST_FIELDS = ["content-type", "content-digest", "authorization", "txn-token", "workload-identity-token"]
SIGNATURE_FIELDS = ["signature-input", "signature"]


def other_bytes(byte: int) -> list[int]:
    """Others: a neighbour, the other case, the other end, a digit, and those that mean something in the grammar."""
    others = dict.fromkeys([byte ^ 1, byte ^ 0x20, 0x7E - (byte - 0x20) % 0x5F, *b'0A a";:=,?-'])
    return [each for each in others if each != byte and 0x20 <= each <= 0x7E]


def mutants(data: bytes) -> Iterator[bytes]:
    for position, byte in enumerate(data):
        for other in other_bytes(byte):
            yield data[:position] + bytes([other]) + data[position + 1 :]


def text_mutants(text: str) -> Iterator[str]:
    for mutant in mutants(text.encode("latin-1")):
        yield mutant.decode("latin-1")


def with_signed(message: AnyMessage, name: str, value: str) -> AnyMessage:
    """The message with another value in one field, at its place."""
    return with_fields(message, Fields((each, value if each.lower() == name else old) for each, old in message.fields))


def with_part(request: Request, part: str, value: str) -> Request:
    """The request with another method or target."""
    return replace(request, method=value) if part == "method" else replace(request, target=value)


def refused(accept: Callable[[], object]) -> Reason:
    """Why; the mutants are all one process, which says at once where one survives."""
    try:
        accept()
    except Refused as error:
        return error.reason
    return Reason.NO_IDENTITY


def judge_request(build: Callable[[], Request], content: bytes = CONTENT) -> Reason:
    return refused(lambda: SERVER_SIDE.authenticate(build(), content, now=NOW))


def test_the_request_is_accepted_as_it_is() -> None:
    assert SERVER_SIDE.authenticate(SENT.request, CONTENT, now=NOW).identity == CALLER.identity


@pytest.mark.parametrize("part", ["method", "target"])
def test_no_byte_of_the_request_line_can_be_changed(part: str) -> None:
    """HS-01, HS-38, HT-08, MW-05."""
    reasons = {
        mutant: judge_request(partial(with_part, SENT.request, part, mutant))
        for mutant in text_mutants(getattr(SENT.request, part))
    }
    assert [mutant for mutant, reason in reasons.items() if reason is Reason.NO_IDENTITY] == []
    assert Reason.SIGNATURE_INVALID in reasons.values()


@pytest.mark.parametrize("name", [*REQUEST_FIELDS, *SIGNATURE_FIELDS])
def test_no_byte_of_a_signed_field_of_a_request_can_be_changed(name: str) -> None:
    """HS-02, HS-04, HS-05, HS-06, HS-07, WT-05, MW-05: nor of Signature-Input and Signature themselves."""
    request = SENT.request
    (value,) = request.fields.values(name)
    reasons = {mutant: judge_request(partial(with_signed, request, name, mutant)) for mutant in text_mutants(value)}
    assert [mutant for mutant, reason in reasons.items() if reason is Reason.NO_IDENTITY] == []
    assert len(reasons) >= 3 * len(value)


def test_no_bit_of_the_content_of_a_request_can_be_changed() -> None:
    """DG-01, HS-47."""
    for bit in range(len(CONTENT) * 8):
        content = (int.from_bytes(CONTENT, "big") ^ (1 << bit)).to_bytes(len(CONTENT), "big")
        assert judge_request(lambda: SENT.request, content) is Reason.DIGEST_MISMATCH


def test_no_bit_of_the_signature_of_a_request_can_be_changed() -> None:
    """MW-05: in its bytes, written canonically again."""
    request = SENT.request
    value = base64.b64decode(request.fields.values("signature")[0].removeprefix("wimse=:").removesuffix(":"))
    for bit in range(len(value) * 8):
        number = int.from_bytes(value, "big") ^ (1 << bit)
        written = f"wimse=:{base64.b64encode(number.to_bytes(64, 'big')).decode('ascii')}:"
        assert judge_request(partial(with_signed, request, "signature", written)) is Reason.SIGNATURE_INVALID


def test_no_byte_of_a_wit_can_be_changed_by_its_own_workload() -> None:
    """WC-01, WT-05, MW-05: it signs the message anew, so that only the WIT's own checks stand in its way."""
    for mutant in list(text_mutants(CALLER.wit))[::3]:
        reason = judge_request(partial(forge_request, wit=mutant))
        assert reason is not Reason.NO_IDENTITY, mutant


def test_what_http_lets_vary_survives() -> None:
    """SB-16, SB-17: the order of different fields, the case of their names, white space around values, Via and Date."""
    lines = [(name.upper(), f" \t{value} ") for name, value in reversed(list(SENT.request.fields))]
    request = with_fields(SENT.request, Fields([("Via", "1.1 proxy"), *lines, ("Date", "now")]))
    assert SERVER_SIDE.authenticate(request, CONTENT, now=NOW).identity == CALLER.identity


def test_absolute_form_is_the_same_request() -> None:
    """HT-09: proxies rewrite it; neither the scheme nor the authority is covered."""
    request = replace(SENT.request, target=f"https://orders.example{SENT.request.target}")
    assert SERVER_SIDE.authenticate(request, CONTENT, now=NOW).identity == CALLER.identity


@pytest.mark.parametrize(
    "target",
    [
        "/orders",
        "/orders?",
        "/orders?x=1&",
        "//orders?x=1",
        "/./orders?x=1",
        "/orders/?x=1",
        "/%6Frders?x=1",
        "/orders;v=1?x=1",
        "/orders?x=%31",
        "/orders?x=1#a",
    ],
)
def test_a_target_that_means_the_same_elsewhere_is_another(target: str) -> None:
    """HT-04, HT-08."""
    assert judge_request(lambda: replace(SENT.request, target=target)) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("target", ["*", "orders.example:443", "orders?x=1"])
def test_a_target_without_a_path_is_refused(target: str) -> None:
    """HT-09."""
    assert judge_request(lambda: replace(SENT.request, target=target)) is Reason.COMPONENT_ABSENT


def test_the_trust_domain_of_these_tests_is_the_one_that_signs() -> None:
    assert ACCEPTED.identity.trust_domain == DOMAIN.trust_domain
