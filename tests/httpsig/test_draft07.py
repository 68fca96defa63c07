"""The example request and response of draft-ietf-wimse-http-signature-07, and every byte of them changed in turn."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests import vectors
from tests.refusals import refused
from wimse.errors import Reason, Refused
from wimse.httpsig import (
    MessageFile,
    Request,
    Requirements,
    VerifiedSignature,
    check_content_digest,
    parse_http1,
    run,
    verify,
)
from wimse.keys import PublicKey

CASES = {case["id"]: case for case in vectors.load("wimse/http-signature-07.json")["cases"]}
TYPES: dict[str, type] = {"wimse-aud": str, "wimse-sign-response": bool, "wimse-req-nonce": str}
REQUIREMENTS = Requirements(tag="wimse-workload-to-workload", parameter_types=TYPES)
BOTH = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def request_of(case: dict[str, Any]) -> Request | None:
    if "request" not in case:
        return None
    message = parse_http1(case["request"].encode()).message
    assert isinstance(message, Request)
    return message


def judge(case: dict[str, Any], data: bytes, request: Request | None) -> tuple[MessageFile, VerifiedSignature]:
    """Everything of httpsig: the signature with the sender's key, and the digest where it is covered."""
    key = PublicKey.from_jwk(case["key"])
    read = parse_http1(data)
    flow = verify(read.message, REQUIREMENTS, now=case["now"], request=request)
    result = run(flow, lambda _: key)
    check_content_digest(read.message.fields, read.content)
    return read, result


@BOTH
def test_the_example_verifies(case: dict[str, Any]) -> None:
    """HS-13, HS-38, HS-40: the types of the extension parameters, and the signature found by its tag."""
    read, result = judge(case, case["message"].encode(), request_of(case))
    assert result.label == case["label"]
    assert [each.serialized for each in result.components] == case["components"]
    assert result.parameters["tag"] == "wimse-workload-to-workload"
    assert result.covered["workload-identity-token"] == read.message.fields.combined("workload-identity-token")
    assert result.key == PublicKey.from_jwk(case["key"])


def test_the_values_that_were_signed_are_handed_out() -> None:
    _, result = judge(CASES["request"], CASES["request"]["message"].encode(), None)
    assert (result.covered["@method"], result.covered["@path"]) == ("GET", "/gimme-ice-cream")
    assert result.covered["@query"] == "?flavor=vanilla"
    _, result = judge(CASES["response"], CASES["response"]["message"].encode(), request_of(CASES["response"]))
    assert (result.covered["@status"], result.covered["@query;req"]) == ("404", "?flavor=vanilla")
    assert result.parameters["wimse-req-nonce"] == "abcd1111"


def covered_ranges(text: str) -> list[tuple[int, int]]:
    """Where the bytes stand that the example's signature covers, directly or through the digest."""
    found = []
    start_line = text.index("\r\n") if "\r\n" in text else text.index("\n")
    if text.startswith("HTTP/"):
        found.append((len("HTTP/1.1 "), len("HTTP/1.1 404")))  # the reason phrase is not covered, nor is the version
    else:
        found.append((0, text.index(" HTTP/1.1")))
    covered = text[text.index("Signature-Input") :].split("(", 1)[1].split(")", 1)[0]
    found.extend(
        (start_line + match.start(2), start_line + match.end(2))
        for match in re.finditer(r"^([A-Za-z-]+):[ \t]*([^\r\n]*)", text[start_line:], re.MULTILINE)
        if f'"{match[1].lower()}"' in covered or match[1] in {"Signature", "Signature-Input"}
    )
    if "content-digest" in covered:
        end = re.search(r"\r?\n\r?\n", text)
        assert end
        found.append((end.end(), len(text)))
    return found


# Replacements for a byte: its lowest bit, its case bit, its highest bit, and characters that grammars know.
FLIPS = (0x01, 0x20, 0x80)
CHARACTERS = b' "'


def white_space_only(text: str, position: int, changed: bytes) -> bool:
    """Whether a change is none: RFC 9421 §2.1 step 2 strips white space around a field's value.

    Nothing else is excluded: within one byte's change, every other place matters.
    """
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position) if "\n" in text[position:] else len(text)
    return text.encode()[start:end].strip() == changed[start:end].strip() and ":" in text[start:position]


@BOTH
def test_no_change_of_a_covered_byte_survives(case: dict[str, Any]) -> None:
    """DG-01, CR-13, HS-47, SB-29: a byte of a covered value, of a parameter, of the signature or of the content."""
    text: str = case["message"]
    data, request = text.encode(), request_of(case)
    tried, survivors = 0, []
    for start, end in covered_ranges(text):
        for position in range(start, end):
            for new in {*(data[position] ^ flip for flip in FLIPS), *CHARACTERS} - {data[position]}:
                changed = data[:position] + bytes([new]) + data[position + 1 :]
                if white_space_only(text, position, changed):
                    continue
                tried += 1
                try:
                    judge(case, changed, request)
                except Refused:
                    continue
                survivors.append((position, text[max(position - 10, 0) : position + 10], chr(new)))
    assert not survivors
    assert tried > 4_000


@BOTH
def test_no_byte_of_a_covered_value_can_be_left_out_or_doubled(case: dict[str, Any]) -> None:
    text: str = case["message"]
    data, request = text.encode(), request_of(case)
    survivors = []
    for start, end in covered_ranges(text):
        for position in range(start, end):
            doubled = data[: position + 1] + data[position:]
            for kind, changed in (("left out", data[:position] + data[position + 1 :]), ("doubled", doubled)):
                try:
                    judge(case, changed, request)
                except Refused:
                    continue
                survivors.append((kind, text[position]))
    # Between the identifiers of the list one space and two are the same Inner List (RFC 9651 §4.2.1.2). Nothing else
    # may be doubled, and nothing left out.
    assert set(survivors) == {("doubled", " ")}
    inside = text[text.index("Signature-Input") :].split("(", 1)[1].split(")", 1)[0]
    assert len(survivors) == inside.count(" ")


def test_no_change_of_the_request_leaves_the_response_valid() -> None:
    """RF-13: what the response covers with req is the request as the client sent it."""
    case = CASES["response"]
    request = request_of(case)
    assert request
    for changed in (
        Request(method="HEAD", target=request.target, authority=request.authority, fields=request.fields),
        Request(method="GET", target="/gimme-ice-crean?flavor=vanilla", fields=request.fields),
        Request(method="GET", target="/gimme-ice-cream?flavor=vanille", fields=request.fields),
        Request(method="GET", target="/gimme-ice-cream", fields=request.fields),
    ):
        with refused(Reason.SIGNATURE_INVALID):
            judge(case, case["message"].encode(), changed)
    with refused(Reason.COMPONENT_NOT_APPLICABLE):
        judge(case, case["message"].encode(), None)


def test_what_is_not_covered_may_change() -> None:
    """The Host is not covered on purpose, nor are other fields; the names' case and the lines' order never are."""
    text: str = CASES["request"]["message"]
    lines = text.replace("svcb.example.com\n", "other.example\n", 1).strip("\n").split("\n")
    changed = "\n".join([lines[0], *reversed(lines[1:]), "X-Added: by a proxy"]).replace("Workload-I", "wORKLOAD-i")
    judge(CASES["request"], (changed + "\n\n").encode(), None)


def test_each_examples_signature_is_refused_on_the_other_message() -> None:
    """LB-08: a response's signature is none for a request, and the reverse."""
    for case, other in ((CASES["request"], CASES["response"]), (CASES["response"], CASES["request"])):
        text: str = other["message"]
        for name in ("Signature", "Signature-Input"):
            line = re.compile(rf"^{name}: .*$", re.MULTILINE)
            mine, theirs = line.search(case["message"]), line.search(text)
            assert mine
            assert theirs
            text = text.replace(theirs[0], mine[0])
        with refused(Reason.COMPONENT_NOT_APPLICABLE):
            judge(case, text.encode(), request_of(case) if case is CASES["request"] else None)


def test_a_second_signature_with_the_tag_is_ambiguous() -> None:
    """HS-39, LB-01"""
    case = CASES["request"]
    text = re.sub(r"^(Signature(?:-Input)?): sig1=(.*)$", r"\1: sig1=\2, sig2=\2", case["message"], flags=re.MULTILINE)
    with refused(Reason.SIGNATURE_AMBIGUOUS):
        judge(case, text.encode(), None)
