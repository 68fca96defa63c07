"""Several signatures on a message, of one signer or of several on its way (RFC 9421 §4.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.refusals import refused
from wimse.errors import Reason
from wimse.httpsig import (
    Fields,
    Message,
    Request,
    Requirements,
    StaticKeys,
    VerifiedSignature,
    parse_signatures,
    sign,
    verify_message,
    with_fields,
)
from wimse.keys import EDDSA, PrivateKey

CLIENT, PROXY = PrivateKey.generate(kid="client"), PrivateKey.generate(EDDSA, kid="proxy")
KEYS = StaticKeys([CLIENT.public_key, PROXY.public_key])
NOW = 1_618_884_480
FROM_CLIENT = sign(
    Request(method="POST", target="/foo", authority="example.com", fields=Fields([("Content-Length", "18")])),
    CLIENT,
    ["@method", "@path", "content-length"],
    {"created": NOW - 5, "keyid": "client"},
)


def judge(message: Message, label: str) -> VerifiedSignature:
    return verify_message(message, Requirements(label=label), KEYS, now=NOW)


def forwarded() -> Request:
    """What a reverse proxy sends on: another host, a field of its own, and its signature over both."""
    changed = replace(
        FROM_CLIENT,
        authority="origin.internal.example",
        fields=FROM_CLIENT.fields.adding(("Forwarded", "for=192.0.2.123;host=example.com;proto=https")),
    )
    components = ["@method", "@authority", "@path", "content-length", "forwarded"]
    parameters = {"created": NOW, "keyid": "proxy", "alg": "ed25519", "expires": NOW + 60}
    return sign(changed, PROXY, components, parameters, label="proxy_sig")


def test_an_intermediary_adds_its_signature_and_both_verify() -> None:
    """LB-09: each with its own key, components and parameters."""
    message = forwarded()
    assert [each.label for each in parse_signatures(message.fields)] == ["sig1", "proxy_sig"]
    client, proxy = judge(message, "sig1"), judge(message, "proxy_sig")
    assert (client.key, proxy.key) == (CLIENT.public_key, PROXY.public_key)
    assert "@authority" not in client.covered
    assert proxy.value_of("@authority") == "origin.internal.example"
    assert list(proxy.parameters) == ["created", "keyid", "alg", "expires"]


def test_neither_signature_vouches_for_the_other() -> None:
    """LB-03, LB-09"""
    message = forwarded()
    stripped = with_fields(message, message.fields.without("forwarded"))
    assert judge(stripped, "sig1").label == "sig1"
    with refused(Reason.COMPONENT_ABSENT):
        judge(stripped, "proxy_sig")
    other = with_fields(message, message.fields.without("content-length").adding(("Content-Length", "19")))
    for label in ("sig1", "proxy_sig"):
        with refused(Reason.SIGNATURE_INVALID):
            judge(other, label)


def test_a_signature_of_one_label_is_not_one_of_the_other() -> None:
    message = forwarded()
    swapped = message.fields.combined("signature") or ""
    first, second = swapped.split(", ")
    values = [first.split("=", 1)[1], second.split("=", 1)[1]]
    line = f"sig1={values[1]}, proxy_sig={values[0]}"
    crossed = with_fields(message, message.fields.without("signature").adding(("Signature", line)))
    for label in ("sig1", "proxy_sig"):
        with refused(Reason.SIGNATURE_INVALID):
            judge(crossed, label)


def test_an_intermediary_may_put_all_into_one_line_and_relabel() -> None:
    """LB-05, SB-30: lines, white space and labels are not signed; the order within a member is."""
    message = forwarded()
    lines = [
        (name, (message.fields.combined(name.lower()) or "").replace("sig1=", "other=").replace(", ", ",\t"))
        for name in ("Signature-Input", "Signature")
    ]
    moved = with_fields(message, message.fields.without("signature-input", "signature").adding(*reversed(lines)))
    assert judge(moved, "other").key == CLIENT.public_key
    assert judge(moved, "proxy_sig").key == PROXY.public_key


def test_one_signer_may_sign_with_two_keys() -> None:
    message = sign(FROM_CLIENT, PROXY, ["@method", "@path", "content-length"], {"keyid": "proxy"}, label="sig2")
    assert judge(message, "sig1").covered == judge(message, "sig2").covered


@pytest.mark.parametrize("number", [2, 8])
def test_as_many_as_the_limit_allows_are_added_and_verified(number: int) -> None:
    message = FROM_CLIENT
    for each in range(2, number + 1):
        message = sign(message, CLIENT, ["@method"], {"created": each, "keyid": "client"}, label=f"sig{each}")
    assert [judge(message, f"sig{each}").parameters["created"] for each in range(2, number + 1)] == [
        *range(2, number + 1)
    ]


def over_the_first() -> Request:
    covered = ["@method", "@path", '"signature";key="sig1"']
    return sign(FROM_CLIENT, PROXY, covered, {"created": NOW, "keyid": "proxy"}, label="proxy_sig")


def without_the_first(message: Request) -> list[tuple[str, str]]:
    return [line for line in message.fields if not line[1].startswith("sig1=")]


def test_an_intermediary_covers_the_signature_that_it_received() -> None:
    """RFC 9421 §4.3: the one member, so that a signature that is added later breaks nothing."""
    message = over_the_first()
    received = (FROM_CLIENT.fields.combined("signature") or "").removeprefix("sig1=")
    assert judge(message, "proxy_sig").value_of('"signature";key="sig1"') == received
    assert judge(message, "sig1").key == CLIENT.public_key
    more = sign(message, CLIENT, ["@method"], {"keyid": "client"}, label="sig3")
    assert judge(more, "proxy_sig").value_of('"signature";key="sig1"') == received


def test_another_signature_under_the_covered_label_is_refused() -> None:
    """RFC 9421 §7.3.7: the client's own second signature verifies, and is not the one that the intermediary saw."""
    message = over_the_first()
    plain = with_fields(FROM_CLIENT, FROM_CLIENT.fields.without("signature", "signature-input"))
    second = sign(plain, CLIENT, ["@method", "@path", "content-length"], {"created": NOW - 4, "keyid": "client"})
    fields = Fields([*without_the_first(message), *(line for line in second.fields if line[1].startswith("sig1="))])
    exchanged = with_fields(message, fields)
    assert judge(exchanged, "sig1").parameters["created"] == NOW - 4
    with refused(Reason.SIGNATURE_INVALID):
        judge(exchanged, "proxy_sig")


def test_a_covered_signature_that_was_taken_away_is_refused() -> None:
    message = over_the_first()
    with refused(Reason.COMPONENT_ABSENT):
        judge(with_fields(message, Fields(without_the_first(message))), "proxy_sig")


def test_signatures_that_are_there_can_be_covered_with_all_that_follows() -> None:
    """RFC 9421 §7.3.7: it breaks as soon as another one is added, one more reason not to."""
    message = sign(FROM_CLIENT, PROXY, ["signature", "signature-input"], {"keyid": "proxy"}, label="over")
    with refused(Reason.SIGNATURE_INVALID):
        judge(message, "over")  # it covers the field in which it stands itself
