"""For any request: what is signed is accepted, and what is changed is refused."""

from __future__ import annotations

import string
from dataclasses import replace

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.authentication.forge import CALLER, DOMAIN, NONCE, NOW, RecordingStore, entrance, reason_of
from wimse.authentication import ClientAuthenticator, TargetAudience, any_trusted, expect
from wimse.errors import Reason
from wimse.httpsig import Fields, Request, with_fields

CLIENT = ClientAuthenticator(DOMAIN.source("/caller", now=NOW), server=expect(any_trusted))
SERVER = entrance(audience=TargetAudience("https://a.example"), replay=RecordingStore())

TOKEN = string.ascii_letters + string.digits + "!#$%&'*+.^_`|~-"
VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
SIGNED = ("content-type", "authorization", "txn-token")
RESERVED = {*SIGNED, "content-digest", "workload-identity-token", "signature", "signature-input"}

methods = st.text(TOKEN, min_size=1, max_size=12)
targets = st.text(VISIBLE, max_size=40).map("/".__add__)
ascii_values = st.text(VISIBLE + " \t", max_size=30)
any_values = st.text("".join(map(chr, [9, *range(0x20, 0x7F), *range(0x80, 0x100)])), max_size=30)
contents = st.binary(max_size=60)
free_names = st.text(TOKEN, min_size=1, max_size=12).filter(lambda name: name.lower() not in RESERVED)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    signed = draw(st.dictionaries(st.sampled_from(SIGNED), ascii_values))
    free = draw(st.lists(st.tuples(free_names, any_values), max_size=4))
    lines = draw(st.permutations([*signed.items(), *free]))
    return Request(method=draw(methods), target=draw(targets), authority="a.example", fields=Fields(lines))


@given(request=requests(), content=contents)
@example(Request(method="GET", target="/", authority="a.example"), b"")
@example(Request(method="GET", target='/"\\?"\\', authority="a.example"), b"\0")
@example(Request(method="GET", target="//b.example/x?y", authority="a.example"), b"")
@settings(max_examples=200, deadline=None)
def test_what_is_signed_is_accepted_with_the_values_that_were_signed(request: Request, content: bytes) -> None:
    sent = CLIENT.sign(request, content, now=NOW, nonce=NONCE)
    caller = SERVER.authenticate(sent.request, content, now=NOW)
    path, mark, query = request.target.partition("?")
    assert caller.identity == CALLER.identity
    assert caller.covered["@method"] == request.method
    assert caller.covered["@path"] == path
    assert caller.covered["@query"] == ((mark and mark + query) or "?")
    for name in SIGNED:
        assert caller.covered.get(name) == request.fields.combined(name)
    assert ("content-digest" in caller.covered) == bool(content)


@given(request=requests(), content=contents, data=st.data())
@settings(max_examples=250, deadline=None)
def test_whatever_single_part_is_changed_the_request_is_refused(
    request: Request, content: bytes, data: st.DataObject
) -> None:
    """HS-01, HS-02, HS-04, HS-05, HS-06, HS-07, HS-38, HS-47, MW-05."""
    sent = CLIENT.sign(request, content, now=NOW, nonce=NONCE).request
    covered = [name for name in (*SIGNED, "content-digest", "workload-identity-token") if name in sent.fields]
    part = data.draw(st.sampled_from(["method", "target", "content", *covered]))
    changed, received = sent, content
    if part == "method":
        changed = replace(sent, method=data.draw(methods))
        assume(changed != sent)
    elif part == "target":
        changed = replace(sent, target=data.draw(targets))
        assume(changed.target.removesuffix("?") != sent.target.removesuffix("?"))
    elif part == "content":
        received = data.draw(contents)
        assume(received != content)
    else:
        value = data.draw(ascii_values)
        assume(value.strip(" \t") != sent.fields.combined(part))
        changed = with_fields(sent, Fields((name, value if name.lower() == part else old) for name, old in sent.fields))
    reason = reason_of(SERVER.authenticate, changed, received, now=NOW)
    if part == "content":
        assert reason in {Reason.DIGEST_MISMATCH, Reason.DIGEST_MISSING}
    elif part == "workload-identity-token":
        assert reason in {Reason.TOKEN_MALFORMED, Reason.BASE64_MALFORMED, Reason.JSON_MALFORMED}
    else:
        assert reason is Reason.SIGNATURE_INVALID


@given(request=requests(), name=st.sampled_from([*SIGNED, "content-digest", "workload-identity-token"]))
@settings(max_examples=100, deadline=None)
def test_whatever_signed_field_is_taken_away_the_request_is_refused(request: Request, name: str) -> None:
    """SB-11, WT-01."""
    sent = CLIENT.sign(request, b"content", now=NOW, nonce=NONCE).request
    assume(name in sent.fields)
    without = with_fields(sent, sent.fields.without(name))
    expected = Reason.WIT_MISSING if name == "workload-identity-token" else Reason.COMPONENT_ABSENT
    assert reason_of(SERVER.authenticate, without, b"content", now=NOW) is expected


@given(request=requests(), name=st.sampled_from([*SIGNED, "content-digest"]), value=ascii_values)
@settings(max_examples=100, deadline=None)
def test_whatever_field_of_the_profile_is_added_the_request_is_refused(request: Request, name: str, value: str) -> None:
    """HS-02, HS-04, HS-05, HS-06, SB-20."""
    sent = CLIENT.sign(request, b"", now=NOW, nonce=NONCE).request
    expected = Reason.FIELD_DUPLICATED if name in sent.fields else Reason.COMPONENT_NOT_COVERED
    added = with_fields(sent, sent.fields.adding((name, value)))
    assert reason_of(SERVER.authenticate, added, b"", now=NOW) is expected


@given(request=requests(), lines=st.lists(st.tuples(free_names, any_values), max_size=4))
@settings(max_examples=100, deadline=None)
def test_fields_that_the_profile_does_not_cover_may_be_added(request: Request, lines: list[tuple[str, str]]) -> None:
    """SB-17, HT-18: they are not in `covered` either."""
    sent = CLIENT.sign(request, b"", now=NOW, nonce=NONCE).request
    caller = SERVER.authenticate(with_fields(sent, Fields([*lines, *sent.fields])), b"", now=NOW)
    assert set(caller.covered) == {"@method", "@path", "@query", "workload-identity-token"} | {
        name for name in SIGNED if name in request.fields
    }
