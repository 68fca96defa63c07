from __future__ import annotations

import contextlib
import string
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refused
from wimse.errors import Reason, Refused
from wimse.httpsig import (
    ComponentIdentifier,
    Fields,
    Request,
    Requirements,
    Response,
    SignatureInput,
    check_content_digest,
    component_value,
    content_digest,
    parse_http1,
    parse_signatures,
    run,
    sign,
    verify,
    with_fields,
)
from wimse.keys import EDDSA, ES256, PrivateKey

KEYS = [PrivateKey.generate(each) for each in (ES256, EDDSA)]
keys = st.sampled_from(KEYS)
printable = st.text(alphabet=string.ascii_letters + string.digits + string.punctuation + " \t")
names = st.text(alphabet=string.ascii_lowercase + string.digits + "-_", min_size=1).filter(
    lambda n: "signature" not in n
)
latin1 = st.text(alphabet=st.characters(max_codepoint=0xFF))
structured = (
    st.text(alphabet="sig1=(\"a@-);,:?'%\\ \t\n.0AZ\xe9*") | latin1 | st.binary().map(lambda b: b.decode("latin-1"))
)
DERIVED = ["@method", "@request-target", "@path", "@query", "@authority", "@scheme", "@target-uri"]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    segment = st.text(alphabet=string.ascii_letters + string.digits + "%-._~!$&'()*+,;=:@/")
    query = draw(st.none() | st.text(alphabet=string.ascii_letters + "=&%?/;+"))
    return Request(
        method=draw(st.sampled_from(["GET", "POST", "get", "M-SEARCH"])),
        target="/" + draw(segment) + ("" if query is None else "?" + query),
        scheme=draw(st.sampled_from(["https", "http", "HTTPS"])),
        authority=draw(st.sampled_from(["example.com", "Example.com:443", "h:8080", "[::1]"])),
        fields=Fields(draw(st.lists(st.tuples(names, printable), max_size=6))),
    )


@st.composite
def signed_requests(draw: st.DrawFn) -> tuple[PrivateKey, Request, list[str]]:
    request, key = draw(requests()), draw(keys)
    available = DERIVED + sorted({name.lower() for name, _ in request.fields})
    covered = draw(st.lists(st.sampled_from(available), unique=True))
    text = st.text(alphabet=string.printable.strip() + " ")
    values: st.SearchStrategy[object] = text | st.integers(-(10**15) + 1, 10**15 - 1) | st.booleans()
    extra = draw(st.dictionaries(st.sampled_from(["p", "q", "wimse-aud"]), values))
    parameters: dict[str, object] = {**extra, "nonce": draw(text), "created": draw(st.integers(0, 2000))}
    return key, sign(request, key, covered, parameters), covered


def judge(message: Request | Response, key: PrivateKey, request: Request | None = None) -> Any:
    return run(verify(message, Requirements(), now=2000, request=request), lambda _: key.public_key)


@given(signed_requests())
def test_what_is_signed_verifies(made: tuple[PrivateKey, Request, list[str]]) -> None:
    key, message, covered = made
    assert sorted(judge(message, key).covered) == sorted(covered)


@given(signed_requests(), st.data())
def test_any_covered_value_that_changes_is_refused(
    made: tuple[PrivateKey, Request, list[str]], data: st.DataObject
) -> None:
    """One byte of one covered component, wherever it stands in the message."""
    key, message, covered = made
    candidates = [name for name in covered if name not in {"@scheme", "@authority", "@target-uri"}]
    if not candidates:
        return
    name = data.draw(st.sampled_from(candidates))
    if name == "@method":
        changed = Request(
            method=message.method + "X",
            target=message.target,
            scheme=message.scheme,
            authority=message.authority,
            fields=message.fields,
        )
    elif name.startswith("@"):
        mark = "" if name == "@path" or "?" in message.target else "?"
        path, question, query = message.target.partition("?")
        target = path + "x" + question + query if name == "@path" else message.target + mark + "x"
        changed = Request(
            method=message.method,
            target=target,
            scheme=message.scheme,
            authority=message.authority,
            fields=message.fields,
        )
    else:
        lines = list(message.fields)
        position = data.draw(st.sampled_from([index for index, line in enumerate(lines) if line[0] == name]))
        value = lines[position][1].strip(" \t")
        cut = data.draw(st.integers(0, len(value)))
        lines[position] = (name, value[:cut] + data.draw(st.sampled_from("aZ~")) + value[cut:])
        changed = with_fields(message, Fields(lines))
    with refused(Reason.SIGNATURE_INVALID):
        judge(changed, key)


@given(requests(), keys, st.integers(100, 999), st.lists(st.tuples(names, printable), max_size=3))
def test_a_response_is_bound_to_its_request(
    request: Request, key: PrivateKey, status: int, lines: list[tuple[str, str]]
) -> None:
    response = Response(status=status, fields=Fields(lines))
    signed = sign(response, key, ["@status", '"@request-target";req'], {}, request=request)
    assert judge(signed, key, request).covered["@status"] == str(status)
    other = Request(method="GET", target=request.target + "x")
    with refused(Reason.SIGNATURE_INVALID):
        judge(signed, key, other)


@given(st.lists(st.tuples(names, printable)), st.randoms())
def test_the_order_of_different_names_and_their_case_do_not_matter(lines: list[tuple[str, str]], random: Any) -> None:
    """SB-17"""
    one_each = list({name: (name, value) for name, value in lines}.values())
    covered = [name for name, _ in one_each]
    message = sign(Request(method="GET", target="/", fields=Fields(one_each)), KEYS[1], covered, {})
    shuffled = [(name.upper(), f" {value}\t") for name, value in message.fields]
    random.shuffle(shuffled)
    assert judge(with_fields(message, Fields(shuffled)), KEYS[1])


@given(st.binary() | structured.map(lambda text: b"GET / HTTP/1.1\n" + text.encode("latin-1")))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    with contextlib.suppress(Refused):
        read = parse_http1(data)
        assert parse_http1(read.to_bytes()).message == read.message


@given(structured, structured)
def test_any_signature_fields_are_read_or_refused(signature_input: str, signature: str) -> None:
    with contextlib.suppress(Refused):
        fields = Fields([("Signature-Input", signature_input), ("Signature", signature)])
        for each in parse_signatures(fields):
            assert each.label in signature


@given(structured.map("sig1=".__add__), st.sampled_from(["sig1=:AAAA:", "sig1=:AA==:"]))
def test_any_signature_input_with_a_label_is_read_or_refused(signature_input: str, signature: str) -> None:
    with contextlib.suppress(Refused):
        message = Request(
            method="GET", target="/", fields=Fields([("signature-input", signature_input), ("signature", signature)])
        )
        judge(message, KEYS[0])


@given(structured | structured.map("sha-256=".__add__), st.binary())
def test_any_content_digest_is_right_or_refused(value: str, content: bytes) -> None:
    with contextlib.suppress(Refused):
        check_content_digest(Fields([("Content-Digest", value)]), content)


@given(st.binary(), st.sampled_from([("sha-256",), ("sha-512",), ("sha-256", "sha-512")]))
def test_a_digest_fits_its_own_content_only(content: bytes, algorithms: tuple[str, ...]) -> None:
    fields = Fields([("Content-Digest", content_digest(content, algorithms))])
    check_content_digest(fields, content)
    with refused(Reason.DIGEST_MISMATCH):
        check_content_digest(fields, content + b"\0")


@given(st.text() | st.sampled_from(DERIVED) | structured, requests())
def test_any_identifier_has_a_value_or_is_refused(text: str, request: Request) -> None:
    with contextlib.suppress(Refused):
        identifier = ComponentIdentifier.parse(text)
        assert ComponentIdentifier.parse(identifier.serialized) == identifier
        assert component_value(identifier, request).isascii()


@given(st.text(), st.text(), st.text(), st.text())
def test_any_parts_are_a_request_or_refused(method: str, target: str, scheme: str, authority: str) -> None:
    with contextlib.suppress(Refused):
        message = Request(method=method or "GET", target=target or "/", scheme=scheme or "https", authority=authority)
        for name in DERIVED:
            with contextlib.suppress(Refused):
                assert "\n" not in component_value(ComponentIdentifier.parse(name), message)


@given(signed_requests())
def test_metadata_survives_the_way_there_and_back(made: tuple[PrivateKey, Request, list[str]]) -> None:
    _, message, _ = made
    (read,) = parse_signatures(message.fields)
    text = message.fields.combined("signature-input")
    assert text == f"sig1={read.input.serialized}"
    assert SignatureInput.build(read.input.components, read.input.parameters) == read.input
