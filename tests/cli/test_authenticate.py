"""`wimse authenticate`: complete, for requests and for responses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.support import Outcome, Run, process
from wimse.authentication import Authenticator, any_trusted
from wimse.credentials import WorkloadCredential
from wimse.httpsig import Fields, Request, Response
from wimse.profiles.http_signature import (
    BRIDGE,
    COFIDE_POC,
    REVISION_07,
    REVISIONS,
    Revision,
    SignatureSettings,
    SignedRequest,
    sign_request,
)
from wimse.stores.memory import MemoryReplayStore
from wimse.testing import InMemoryTrustDomain

NOW = 1_788_298_930
AUDIENCE = "https://orders.example/items"
BODY = b'{"flavor": "vanilla"}'
SETTINGS = SignatureSettings()


def to_bytes(message: Request | Response, content: bytes) -> bytes:
    start = (
        f"{message.method} {message.target} HTTP/1.1"
        if isinstance(message, Request)
        else f"HTTP/1.1 {message.status} X"
    )
    lines = [start, *(f"{name}: {value}" for name, value in message.fields), "", ""]
    return "\r\n".join(lines).encode("latin-1") + content


@dataclass
class Exchange:
    """A request, its response, and the bundle, as files."""

    run: Run
    folder: Path
    domain: InMemoryTrustDomain
    client: WorkloadCredential
    server: WorkloadCredential

    def request(
        self,
        *,
        body: bytes = BODY,
        must_be_signed: bool = True,
        nonce: str = "abcd1111",
        revision: Revision = REVISION_07,
    ) -> SignedRequest:
        fields = [("Host", "orders.example"), ("Content-Type", "application/json"), ("Authorization", "Bearer x")]
        head = Request(method="POST", target="/items?a=1", authority="orders.example", fields=Fields(fields))
        sent = sign_request(
            head, body, self.client, revision=revision, settings=SETTINGS, now=NOW, nonce=nonce,
            require_signed_response=must_be_signed,
        )  # fmt: skip
        self.write("request.http", to_bytes(sent.request, body))
        return sent

    def response(
        self, sent: SignedRequest, *, body: bytes = b"done", status: int = 200, revision: Revision = REVISION_07
    ) -> None:
        entrance = Authenticator(
            bundles=self.domain.bundles,
            audience=AUDIENCE,
            replay=MemoryReplayStore(),
            policy=any_trusted,
            revision=revision,
        )
        content = BODY if "content-digest" in sent.request.fields else b""
        caller = entrance.authenticate(sent.request, content, now=NOW)
        head = Response(status=status, fields=Fields([("Content-Type", "text/plain"), ("Date", "today")]))
        signed = entrance.sign_response(
            head, body, self.server, request=sent.request, caller=caller, now=NOW, nonce="abcd2222"
        )
        self.write("response.http", to_bytes(signed, body))

    def write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def judge_request(self, *more: str, audience: str = AUDIENCE) -> Outcome:
        return self.judge("request.http", "--audience", audience, *more)

    def judge_response(self, *more: str) -> Outcome:
        return self.judge("response.http", "--audience", AUDIENCE, "--request", "request.http", *more)

    def judge_process(self, *more: str) -> Outcome:
        arguments = ("request.http", "--bundle", "bundle.json", "--audience", AUDIENCE, "--now", str(NOW), *more)
        return process("authenticate", *arguments, cwd=self.folder)

    def judge(self, name: str, *more: str) -> Outcome:
        return self.run("authenticate", name, "--bundle", "bundle.json", "--now", str(NOW), "--json", *more)


@pytest.fixture
def exchange(run: Run, tmp_path: Path) -> Exchange:
    domain = InMemoryTrustDomain("spiffe://example.com")
    document = {**domain.bundle.to_jwks(), "trust_domain": "spiffe://example.com"}
    (tmp_path / "bundle.json").write_text(json.dumps(document))
    return Exchange(run, tmp_path, domain, domain.credential("/client", now=NOW), domain.credential("/orders", now=NOW))


def test_a_request_is_authenticated(exchange: Exchange) -> None:
    exchange.request()
    document = exchange.judge_request().document
    assert document["valid"] is True
    assert document["identity"] == "spiffe://example.com/client"
    assert document["revision"] == "07"
    assert document["label"] == "wimse"
    assert list(document["covered"])[:4] == ["@method", "@path", "@query", "workload-identity-token"]
    assert document["parameters"]["wimse-aud"] == AUDIENCE
    assert document["parameters"]["wimse-sign-response"] is True


def test_the_same_in_a_process_and_for_people(exchange: Exchange) -> None:
    exchange.request()
    outcome = exchange.judge_process()
    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.text.startswith("valid: spiffe://example.com/client\n")


def test_a_response_is_judged_as_its_client_would(exchange: Exchange) -> None:
    exchange.response(exchange.request())
    document = exchange.judge_response().document
    assert document["identity"] == "spiffe://example.com/orders"
    assert document["parameters"]["wimse-req-nonce"] == "abcd1111"
    assert document["covered"]["@path;req"] == "/items"


# What a message of one revision satisfies beside its own: a bridge is made for that; 06 asks all that cofide-poc does,
# and the answers of 07 and of the bridge are the same.
OTHER_REQUESTS = {"bridge": {"06", "07", "cofide-poc"}, "06": {"cofide-poc"}}
OTHER_RESPONSES = {"bridge": {"07", "cofide-poc"}, "07": {"bridge", "cofide-poc"}, "06": {"cofide-poc"}}
BY_NAME = pytest.mark.parametrize("other", REVISIONS)


@BY_NAME
@pytest.mark.parametrize("made", REVISIONS.values(), ids=lambda each: f"made by {each.name}")
def test_a_revision_is_accepted_under_its_own_name(exchange: Exchange, made: Revision, other: str) -> None:
    """HS-38, HS-01: and under another one only if it satisfies that completely."""
    exchange.response(exchange.request(revision=made), revision=made)
    for judge, others in ((exchange.judge_request, OTHER_REQUESTS), (exchange.judge_response, OTHER_RESPONSES)):
        outcome = judge("--revision", other)
        if other == made.name or other in others.get(made.name, ()):
            assert (outcome.status, outcome.document["revision"]) == (0, other)
        else:
            assert outcome.status == 1
            assert outcome.document["reason"] in {"component_not_covered", "parameter_missing", "parameter_forbidden"}


def test_cofide_poc_needs_no_audience_and_refuses_one_that_is_not_ours(exchange: Exchange) -> None:
    """HS-26: it names none; a bridge request does, and without a name of ours it is for another one."""
    exchange.request(revision=COFIDE_POC)
    accepted = exchange.judge("request.http", "--revision", "cofide-poc")
    assert (accepted.status, accepted.document["revision"]) == (0, "cofide-poc")
    assert "binds neither the audience nor the response" in exchange.judge_process("--revision", "cofide-poc").stderr
    exchange.request(revision=BRIDGE)
    refused = exchange.judge("request.http", "--revision", "cofide-poc")
    assert (refused.status, refused.document["reason"]) == (1, "audience_mismatch")
    assert exchange.judge_request("--revision", "cofide-poc").status == 0


def test_an_answer_of_cofide_poc_is_always_signed(exchange: Exchange) -> None:
    exchange.write("response.http", b"HTTP/1.1 200 OK\r\n\r\nhello")
    exchange.request(revision=COFIDE_POC, must_be_signed=False)
    outcome = exchange.judge_response("--revision", "cofide-poc")
    assert (outcome.status, outcome.document["reason"]) == (1, "response_unsigned")


def test_the_help_names_every_revision(run: Run) -> None:
    text = run("authenticate", "--help").text
    assert all(name in text[text.index("--revision") :].splitlines()[0] for name in REVISIONS)


def test_a_response_to_another_request_is_refused(exchange: Exchange) -> None:
    exchange.response(exchange.request())
    exchange.request(nonce="abcd3333")
    outcome = exchange.judge_response()
    assert (outcome.status, outcome.document["reason"]) == (1, "request_nonce_mismatch")


def test_an_unsigned_response_counts_only_where_none_was_asked_for(exchange: Exchange) -> None:
    exchange.write("response.http", b"HTTP/1.1 200 OK\r\n\r\nhello")
    exchange.request()
    refused = exchange.judge_response()
    assert (refused.status, refused.document["reason"]) == (1, "response_unsigned")
    exchange.request(must_be_signed=False)
    accepted = exchange.judge_response()
    assert (accepted.status, accepted.document["identity"], accepted.document["covered"]) == (0, None, {})


def test_audiences(exchange: Exchange) -> None:
    exchange.request()
    refused = exchange.judge_request(audience="https://orders.example")
    assert (refused.status, refused.document["reason"]) == (1, "audience_mismatch")
    assert exchange.judge_request("--audience", "another").status == 0
    assert exchange.judge("request.http").status == 2
    assert exchange.judge_request(audience="").status == 2


def test_what_belongs_together(exchange: Exchange) -> None:
    exchange.response(exchange.request())
    assert exchange.judge("response.http", "--audience", AUDIENCE).status == 2
    assert exchange.judge_request("--request", "request.http").status == 2
    assert exchange.judge("response.http", "--request", "response.http").status == 2
    exchange.write("request.http", b"GET / HTTP/1.1\r\n\r\n")
    assert exchange.judge_response().status == 2  # nothing that a response could be bound to
    assert exchange.judge_request("--revision", "99").status == 2
    assert exchange.judge_request("--scheme", "no scheme").status == 2


def test_the_content_is_that_of_the_digest(exchange: Exchange) -> None:
    exchange.response(exchange.request())
    for name, judge in (("request.http", exchange.judge_request), ("response.http", exchange.judge_response)):
        path = exchange.folder / name
        path.write_bytes(path.read_bytes() + b"!")
        outcome = judge()
        assert (outcome.status, outcome.document["class"]) == (1, "digest")


def test_trust(exchange: Exchange) -> None:
    exchange.request()
    exchange.write("other.json", InMemoryTrustDomain("spiffe://example.com").bundle.to_json())
    other = (
        "authenticate",
        "request.http",
        "--bundle",
        "other.json",
        "--audience",
        AUDIENCE,
        "--now",
        str(NOW),
        "--json",
    )
    assert exchange.run(*other).status == 2
    assert exchange.run(*other, "--trust-domain", "example.com").document["reason"] == "token_signature_invalid"
    assert exchange.run(*other, "--trust-domain", "example.org").document["reason"] == "trust_domain_unknown"


def test_replay_is_not_judged_between_calls(exchange: Exchange) -> None:
    exchange.request()
    assert exchange.judge_request().status == exchange.judge_request().status == 0
    assert "Replay is judged within this one call only" in exchange.run("authenticate", "--help").text.replace(
        "\n", " "
    )


def changed_bytes(data: bytes, *fields: bytes) -> list[int]:
    """Positions of the start line and of the values of these fields, thinned where they are long."""
    end = data.index(b" HTTP/1.1\r\n") if not data.startswith(b"HTTP") else data.index(b" X\r\n")
    positions = list(range(0 if not data.startswith(b"HTTP") else 9, end))
    for field in fields:
        start = data.index(field + b": ") + len(field) + 2
        stop = data.index(b"\r\n", start)
        positions.extend(range(start, stop, 1 if stop - start < 120 else 5))
    return positions


COVERED = (b"Content-Type", b"Content-Digest", b"Workload-Identity-Token", b"Signature-Input", b"Signature")


def test_any_changed_byte_of_a_request_is_refused(exchange: Exchange) -> None:
    exchange.request()
    path = exchange.folder / "request.http"
    data = path.read_bytes()
    for position in changed_bytes(data, b"Authorization", *COVERED):
        changed = bytearray(data)
        changed[position] ^= 1
        path.write_bytes(changed)
        outcome = exchange.judge_request()
        assert outcome.status == 1, bytes(changed)
        assert outcome.document["valid"] is False


def test_any_changed_byte_of_a_response_is_refused(exchange: Exchange) -> None:
    exchange.response(exchange.request())
    path = exchange.folder / "response.http"
    data = path.read_bytes()
    for position in changed_bytes(data, *COVERED):
        if 9 + data[9:].index(b" ") <= position < data.index(b"\r\n"):
            continue
        changed = bytearray(data)
        changed[position] ^= 1
        path.write_bytes(changed)
        assert exchange.judge_response().status == 1, bytes(changed)
