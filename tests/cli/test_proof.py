"""`wimse proof verify`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.support import Outcome, Run, process, vector_cases
from wimse.httpsig import Fields, Request
from wimse.profiles.proof_token import REVISIONS, ProofTokenSettings, prove_request
from wimse.testing import InMemoryTrustDomain

NOW = 1_788_298_930
AUDIENCE = "https://orders.example/items"
DOMAIN = InMemoryTrustDomain("spiffe://example.com")
CALLER = DOMAIN.credential("/client", now=NOW)
CASES = vector_cases("wimse/proof-tokens.json")


def to_bytes(request: Request) -> bytes:
    lines = [f"{request.method} {request.target} HTTP/1.1", *(f"{name}: {value}" for name, value in request.fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + b"{}"


@dataclass
class Judge:
    run: Run
    folder: Path

    def write(self, revision: str = "02", *lines: tuple[str, str], settings: ProofTokenSettings | None = None) -> None:
        fields = Fields([("Host", "orders.example"), *lines])
        head = Request(method="POST", target="/items?a=1", authority="orders.example", fields=fields)
        sent = prove_request(
            head,
            CALLER,
            revision=REVISIONS[revision],
            settings=settings or ProofTokenSettings(),
            now=NOW,
            token_id="i" * 22,
        )
        (self.folder / "request.http").write_bytes(to_bytes(sent.request))

    def __call__(self, *more: str, audience: str = AUDIENCE, now: int = NOW) -> Outcome:
        common = ["--bundle", "bundle.json", "--now", str(now), "--json"]
        return self.run("proof", "verify", "request.http", "--audience", audience, *common, *more)


@pytest.fixture
def judge(run: Run, tmp_path: Path) -> Judge:
    document = {**DOMAIN.bundle.to_jwks(), "trust_domain": "spiffe://example.com"}
    (tmp_path / "bundle.json").write_text(json.dumps(document))
    return Judge(run, tmp_path)


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_request_is_verified(judge: Judge, revision: str) -> None:
    judge.write(revision, ("Txn-Token", "a.b.c"))
    outcome = judge("--revision", revision)
    assert outcome.status == 0
    document = outcome.document
    assert document["valid"] is True
    assert document["identity"] == "spiffe://example.com/client"
    assert document["revision"] == f"wpt-{revision}"
    assert document["audience"] == AUDIENCE
    assert document["token_id"] == "i" * 22
    assert document["expires_at"] == NOW + 60
    assert document["covered"] == {"workload-identity-token": CALLER.wit, "txn-token": "a.b.c"}
    assert document["parameters"]["aud"] == AUDIENCE


def test_02_is_the_default_and_the_other_is_refused(judge: Judge) -> None:
    """WPTC-13, WPTC-35."""
    judge.write("02")
    assert judge().status == 0
    refused = judge("--revision", "01")
    assert (refused.status, refused.document["reason"]) == (1, "proof_missing")
    judge.write("01")
    assert judge().document["reason"] == "proof_missing"


def test_a_process_and_people(judge: Judge) -> None:
    judge.write()
    outcome = process(
        "proof", "verify", "request.http", "--bundle", "bundle.json", "--audience", AUDIENCE, "--now", str(NOW),
        cwd=judge.folder,
    )  # fmt: skip
    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.text.startswith("valid: spiffe://example.com/client\n")


def test_refusals_are_verdicts(judge: Judge) -> None:
    """WP-05, WP-06."""
    judge.write()
    elsewhere = judge(audience="https://other.example/items")
    assert elsewhere.status == 1
    assert elsewhere.document["reason"] == "audience_mismatch"
    late = judge(now=NOW + 90)
    assert (late.status, late.document["reason"], late.document["class"]) == (1, "proof_expired", "time")


def test_further_tokens_are_named(judge: Judge) -> None:
    """WP-10, WPTC-12, WPTC-25."""
    judge.write("02", ("X-User-Token", "u"), settings=ProofTokenSettings(context_fields=("x-user-token",)))
    assert judge().document["reason"] == "token_hash_unknown"
    assert judge("--context-field", "X-User-Token").document["covered"]["x-user-token"] == "u"


@pytest.mark.parametrize(
    "more",
    [
        ["--revision", "03"],
        ["--context-field", "a b"],
        ["--context-field", "authorization"],
        ["--audience", "https://a/?x"],
        ["--audience", ""],
    ],
)
def test_wrong_usage(judge: Judge, more: list[str]) -> None:
    judge.write()
    outcome = judge(*more)
    assert outcome.status == 2
    assert outcome.document["error"]


def test_a_response_has_no_proof(judge: Judge) -> None:
    (judge.folder / "request.http").write_bytes(b"HTTP/1.1 200 OK\r\n\r\n")
    assert judge().status == 2


@pytest.mark.parametrize("name", ["request-01", "request-02", "request-01-another-access-token", "request-02-typ"])
def test_the_drafts_requests(run: Run, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    public = {member: value for member, value in case["issuer_key"].items() if member != "d"}
    (tmp_path / "bundle.json").write_text(json.dumps({"keys": [{**public, "use": "wit-svid"}]}))
    (tmp_path / "request.http").write_bytes(case["message"].encode())
    outcome = run(
        "proof", "verify", "request.http", "--bundle", "bundle.json", "--trust-domain", "wimse://example.com",
        "--audience", "https://workload.example.com/path", "--revision", case["revision"],
        "--now", str(case["now"]), "--json",
    )  # fmt: skip
    expected = case["expected"]
    assert outcome.status == (1 if "reason" in expected else 0)
    assert outcome.document.get("reason") == expected.get("reason")
    assert outcome.document.get("identity") == expected.get("identity")
