"""What the inspector says of messages and tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wimse.credentials import sign_compact
from wimse.httpsig import Fields, Request, parse_http1
from wimse.inspector import Explanation, Outcome, Step, explain
from wimse.keys import PrivateKey
from wimse.profiles.http_signature import REVISION_07, SignatureSettings, sign_request
from wimse.testing import InMemoryTrustDomain

NOW = 1_788_298_930
VECTORS = Path(__file__).parents[2] / "vectors" / "wimse" / "http-signature-07.json"
CASES: dict[str, Any] = {case["id"]: case for case in json.loads(VECTORS.read_bytes())["cases"]}
REQUEST = CASES["request"]["message"].encode("latin-1")
RESPONSE = CASES["response"]["message"].encode("latin-1")
SENT = parse_http1(REQUEST).message
KEY = PrivateKey.generate()


def steps(explanation: Explanation) -> dict[str, Step]:
    return {step.title: step for step in explanation.steps}


def outcomes(explanation: Explanation) -> dict[str, str]:
    return {step.title: step.outcome.value for step in explanation.steps}


def test_the_drafts_request() -> None:
    explained = explain(REQUEST, now=NOW)
    assert explained.kind == "request"
    assert outcomes(explained) == {
        "Message": "said",
        "Token: form": "ok",
        "Token: claims": "said",
        "Token: times": "ok",
        "Token: subject": "said",
        "Token: the workload's key": "ok",
        "Token: the issuer's signature": "unchecked",
        "Body and its digest": "said",
        "Signature sig1: what it covers": "said",
        "Signature sig1: parameters": "said",
        "Signature sig1: times": "ok",
        "Signature sig1: the WIMSE profile": "ok",
        "Signature sig1: the check": "ok",
    }
    assert dict(steps(explained)["Signature sig1: what it covers"].facts)["@path"] == "/gimme-ice-cream"
    assert json.loads(json.dumps(explained.to_document()))["kind"] == "request"


def test_the_drafts_response_with_and_without_its_request() -> None:
    assert isinstance(SENT, Request)
    together = outcomes(explain(RESPONSE, now=NOW, request=SENT))
    assert together["Signature sig1: the check"] == "ok"
    assert together["Signature sig1: the WIMSE profile"] == "ok"
    assert together["Body and its digest"] == "ok"
    lives = steps(explain(RESPONSE, now=NOW, request=SENT))["Signature sig1: times"]  # 302 s, in the draft itself
    assert (lives.outcome, lives.reason) == (Outcome.FAILED, "signature_lifetime")
    alone = steps(explain(RESPONSE, now=NOW))["Signature sig1: the check"]
    assert (alone.outcome, alone.block) == (Outcome.UNCHECKED, None)


def test_what_is_wrong_is_said_where_it_is() -> None:
    late = outcomes(explain(REQUEST, now=NOW + 9999))
    assert late["Token: times"] == late["Signature sig1: times"] == "failed"
    assert late["Signature sig1: the WIMSE profile"] == late["Signature sig1: the check"] == "ok"
    early = outcomes(explain(REQUEST, now=0))
    assert early["Signature sig1: times"] == "failed"
    changed = steps(explain(REQUEST.replace(b"vanilla", b"lemon"), now=NOW))["Signature sig1: the check"]
    assert (changed.outcome, changed.reason) == (Outcome.FAILED, "signature_invalid")
    body = steps(explain(RESPONSE + b"!", now=NOW))["Body and its digest"]
    assert (body.outcome, body.reason) == (Outcome.FAILED, "digest_mismatch")
    untagged = steps(explain(REQUEST.replace(b';nonce="abcd1111"', b""), now=NOW))["Signature sig1: the WIMSE profile"]
    assert (untagged.outcome, untagged.reason) == (Outcome.FAILED, "parameter_missing")


@pytest.mark.parametrize(
    ("message", "title", "outcome"),
    [
        (b"GET / HTTP/1.1\n\n", "Signatures", "said"),
        (b"GET / HTTP/1.1\n\n", "Token", "said"),
        (b"GET / HTTP/1.1\nSignature: x\n\n", "Signatures", "failed"),
        (b"GET / HTTP/1.1\nSignature: a=:AA==:\nSignature-Input: a=()\n\n", "Signature a: what it covers", "said"),
        (b"GET / HTTP/1.1\nSignature: a=:AA==:\nSignature-Input: a=()\n\n", "Signature a: the check", "unchecked"),
        (b"GET / HTTP/1.1\nSignature: a=:AA==:\nSignature-Input: a=()\n\n", "Signature a: times", "said"),
        (b'GET / HTTP/1.1\nSignature: a=:AA==:\nSignature-Input: a=("x")\n\n', "Signature a: the check", "failed"),
        (b"GET / HTTP/1.1\nWorkload-Identity-Token: a\nWorkload-Identity-Token: b\n\n", "Token", "failed"),
        (b"GET / HTTP/1.1\nWorkload-Identity-Token: a\n\n", "Token: form", "failed"),
        (b"POST / HTTP/1.1\n\nbody", "Body and its digest", "failed"),
        (b"nonsense", "Message", "failed"),
        (b" \n", "Input", "failed"),
        (b"a.b.c", "Token: form", "failed"),
    ],
)
def test_small_messages(message: bytes, title: str, outcome: str) -> None:
    assert outcomes(explain(message, now=NOW))[title] == outcome


def test_with_bundles_the_issuers_signature_is_checked() -> None:
    domain = InMemoryTrustDomain("spiffe://example.com")
    credential = domain.credential("/a", now=NOW)
    title = "Token: the issuer's signature"

    def said(token: str, other: InMemoryTrustDomain, now: int = NOW) -> tuple[str, str | None]:
        step = steps(explain(token.encode(), now=now, bundles=other.bundles))[title]
        return step.outcome.value, step.reason

    assert said(credential.wit, domain) == ("ok", None)
    assert said(credential.wit, InMemoryTrustDomain("spiffe://example.com")) == ("failed", "token_signature_invalid")
    assert said(credential.wit, InMemoryTrustDomain("wimse://example.com")) == ("failed", "trust_domain_unknown")
    assert said(credential.wit, domain, NOW + 9999) == ("failed", "token_expired")


def test_a_message_signed_with_another_key_than_the_tokens() -> None:
    domain = InMemoryTrustDomain("spiffe://example.com")
    one, two = domain.credential("/a", now=NOW), domain.credential("/b", now=NOW)
    request = Request(method="GET", target="/", authority="a", fields=Fields([("Host", "a")]))
    sent = sign_request(
        request, b"", one, revision=REVISION_07, settings=SignatureSettings(), now=NOW, nonce="n" * 22
    ).request
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.fields)
    data = f"GET / HTTP/1.1\r\n{lines}\r\n".replace(one.wit, two.wit).encode()
    assert steps(explain(data, now=NOW))["Signature wimse: the check"].reason == "signature_invalid"


@pytest.mark.parametrize(
    ("typ", "claims", "title", "outcome"),
    [
        ("JWT", {"sub": "spiffe://a/b"}, "Token: claims", "said"),
        ("wit+jwt", {}, "Token: subject", "failed"),
        ("wit+jwt", {"sub": "spiffe://a/b"}, "Token: the workload's key", "failed"),
        ("wit+jwt", {"sub": "spiffe://a/b", "cnf": {"jwk": {"kty": "RSA"}}}, "Token: the workload's key", "failed"),
        ("wit+jwt", {"sub": "spiffe://a/b", "exp": True}, "Token: times", "said"),
        ("wit+jwt", {"sub": "spiffe://a/b", "nbf": NOW + 1}, "Token: times", "failed"),
        ("wit+jwt", {"sub": "spiffe://a/b", "exp": 10**18}, "Token: times", "ok"),
    ],
)
def test_tokens(typ: str, claims: dict[str, object], title: str, outcome: str) -> None:
    token = sign_compact({"typ": typ}, claims, PrivateKey.generate())
    assert outcomes(explain(token.encode(), now=NOW))[title] == outcome


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(), st.binary().map(lambda data: b"GET / HTTP/1.1\n" + data), st.data()))
def test_nothing_that_is_given_is_an_exception(data: Any) -> None:
    if not isinstance(data, bytes):
        changed = bytearray(REQUEST)
        for _ in range(3):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
        data = bytes(changed)
    explained = explain(data, now=NOW)
    assert explained.steps
    json.dumps(explained.to_document())


def proof_case(name: str) -> tuple[bytes, int]:
    document = json.loads((VECTORS.parent / "proof-tokens.json").read_bytes())
    case = next(each for each in document["cases"] if each["id"] == name)
    return case["message"].encode("latin-1"), case["now"]


@pytest.mark.parametrize("revision", ["01", "02"])
def test_a_proof_in_a_request(revision: str) -> None:
    message, now = proof_case(f"request-{revision}")
    explained = explain(message, now=now)
    proof = f"Proof of revision {revision}"
    found = {title: outcome for title, outcome in outcomes(explained).items() if title.startswith("Proof")}
    assert found == {
        f"{proof}: form": "ok",
        f"{proof}: claims": "said",
        f"{proof}: times": "ok",
        f"{proof}: what it binds": "said",
        f"{proof}: the check": "ok",
    }
    bound = dict(steps(explained)[f"{proof}: what it binds"].facts)
    assert bound == {"wth": "the WIT", **({"ath": "an access token"} if revision == "01" else {})}


def test_a_proof_of_another_wit_or_key() -> None:
    title = "Proof of revision 01: the check"
    message, now = proof_case("request-01-another-signature")
    assert steps(explain(message, now=now))[title].reason == "signature_invalid"
    message, now = proof_case("request-01")
    case = json.loads((VECTORS.parent / "wits.json").read_bytes())["cases"][0]
    other = sign_compact({"typ": "wit+jwt"}, {"sub": "wimse://a/b", "cnf": {"jwk": case["expected"]["key"]}}, KEY)
    swapped = message.replace(case["token"].encode(), other.encode())
    assert steps(explain(swapped, now=now))[title].reason == "token_hash_mismatch"
    without = b"\n".join(line for line in message.split(b"\n") if not line.startswith(b"Workload-Identity"))
    assert steps(explain(without, now=now))[title].outcome is Outcome.UNCHECKED


def test_proofs_that_are_none() -> None:
    message, now = proof_case("request-01-two-proofs")
    assert steps(explain(message, now=now))["Proof of revision 01"].reason == "field_duplicated"
    message, now = proof_case("request-02")
    broken = message.replace(b"WPT ey", b"WPT !y")
    assert outcomes(explain(broken, now=now))["Proof of revision 02: form"] == "failed"


def test_a_proof_alone() -> None:
    claims = {"wth": "x", "oth": {"x-user-token": "y"}}
    explained = explain(sign_compact({"typ": "wpt+jwt"}, claims, KEY).encode(), now=NOW)
    bound = dict(steps(explained)["Token: what it binds"].facts)
    assert bound == {"wth": "the WIT", "oth x-user-token": "the field of this name"}
