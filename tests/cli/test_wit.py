"""`wimse wit`, and what says whose a bundle is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Run, process, vector_cases, write_json
from wimse.credentials import TrustBundle, TrustDomain, issue_x509_authority, sign_compact
from wimse.keys import PrivateKey
from wimse.testing import InMemoryTrustDomain

WPT = vector_cases("wimse/wits.json")["wpt-01-wit"]
NOW = 1_788_298_930


def public_jwks(case: dict[str, Any]) -> dict[str, object]:
    return {"keys": [{name: value for name, value in case["issuer_key"].items() if name != "d"}]}


@pytest.fixture
def domain() -> InMemoryTrustDomain:
    return InMemoryTrustDomain("spiffe://example.com")


@pytest.fixture
def token(domain: InMemoryTrustDomain) -> str:
    return domain.credential("/a", now=NOW).wit


def verified(run: Run, token: str, bundle: Path, *more: str, now: int = NOW) -> Any:
    return run("wit", "verify", token, "--bundle", bundle, "--now", str(now), "--json", *more).document


def test_the_wit_of_the_proof_token_draft(tmp_path: Path) -> None:
    bundle = write_json(tmp_path / "b.json", public_jwks(WPT))
    (tmp_path / "wit.txt").write_text(WPT["token"])
    more = ("--bundle", bundle, "--trust-domain", "wimse://example.com", "--now", "1745509000")
    for argument in (WPT["token"], "wit.txt"):
        outcome = process("wit", "verify", argument, *more, "--json", cwd=tmp_path)
        assert (outcome.status, outcome.document["identity"]) == (0, "wimse://example.com/specific-workload")
        assert outcome.document["key"]["algorithm"] == "EdDSA"
    plain = process("wit", "verify", "-", *more, stdin=WPT["token"].encode() + b"\n")
    assert (plain.status, plain.stderr) == (0, "")
    assert plain.text.startswith("valid: wimse://example.com/specific-workload\n")


def test_refusals_have_their_reasons(run: Run, tmp_path: Path, domain: InMemoryTrustDomain, token: str) -> None:
    bundle = write_json(tmp_path / "b.json", domain.bundle.to_jwks())
    spiffe = ("--trust-domain", "example.com")
    assert verified(run, token, bundle, *spiffe)["valid"] is True
    late = verified(run, token, bundle, *spiffe, now=NOW + 330)
    assert (late["reason"], late["class"]) == ("token_expired", "wit")
    assert verified(run, token, bundle, "--trust-domain", "wimse://example.com")["reason"] == "trust_domain_unknown"
    other = InMemoryTrustDomain("spiffe://example.com").bundle.to_jwks()
    assert verified(run, token, write_json(bundle, other), *spiffe)["reason"] == "token_signature_invalid"
    assert verified(run, token, write_json(bundle, {"keys": []}), *spiffe)["reason"] == "key_unknown"
    for malformed in (token[:-1], token + "=", token + ".e30", f"{token}\n{token}", "x", "eyJhbGciOiJub25lIn0.e30."):
        assert verified(run, malformed, bundle, *spiffe)["class"] in ("parse", "wit")
    assert run("wit", "verify", "missing.txt", "--bundle", bundle, *spiffe).status == 2
    assert run("wit", "verify", "no/such/file", "--bundle", bundle, *spiffe).status == 2


def test_whose_bundle_it_is(run: Run, tmp_path: Path, domain: InMemoryTrustDomain, token: str) -> None:
    jwks, path = domain.bundle.to_jwks(), tmp_path / "b.json"
    assert "--trust-domain" in verified(run, token, write_json(path, jwks))["error"]
    write_json(path, {**jwks, "trust_domain": "spiffe://example.com"})
    assert verified(run, token, path)["valid"] is True
    assert verified(run, token, path, "--trust-domain", "example.com")["valid"] is True
    assert "example.com" in verified(run, token, path, "--trust-domain", "example.org")["error"]
    for wrong in (7, "not a domain", "spiffe://", None):
        assert "error" in verified(run, token, write_json(path, {**jwks, "trust_domain": wrong}))


def test_a_map_of_bundles(run: Run, tmp_path: Path, domain: InMemoryTrustDomain, token: str) -> None:
    jwks, path = domain.bundle.to_jwks(), tmp_path / "b.json"
    write_json(path, {"trust_domains": {"example.com": jwks, "spiffe://example.org": {"keys": []}}})
    assert verified(run, token, path)["valid"] is True
    assert verified(run, token, path, "--trust-domain", "example.com")["valid"] is True
    assert verified(run, token, path, "--trust-domain", "example.org")["reason"] == "trust_domain_unknown"
    assert "error" in verified(run, token, path, "--trust-domain", "elsewhere")
    twice = f'{{"trust_domains": {{"example.com": {json.dumps(jwks)}, "example.com": {{"keys": []}}}}}}'
    path.write_text(twice)
    assert verified(run, token, path)["reason"] == "json_duplicate_member"
    write_json(path, {"trust_domains": {"example.com": jwks, "spiffe://example.com": {"keys": []}}})
    assert verified(run, token, path)["reason"] == "bundle_malformed"
    wrongs: list[object] = [{}, [], {"example.com": []}, {"EXAMPLE": jwks}, "example.com"]
    for wrong in wrongs:
        assert "error" in verified(run, token, write_json(path, {"trust_domains": wrong}))


def test_the_name_in_the_certificates(run: Run, tmp_path: Path, domain: InMemoryTrustDomain, token: str) -> None:
    def certified(*names: str) -> Path:
        authorities = tuple(
            issue_x509_authority(TrustDomain("spiffe", name), PrivateKey.generate(), not_before=NOW, not_after=NOW + 9)
            for name in names
        )
        bundle = TrustBundle(
            trust_domain=domain.trust_domain, wit_keys=domain.bundle.wit_keys, x509_authorities=authorities
        )
        return write_json(tmp_path / "b.json", bundle.to_jwks())

    assert verified(run, token, certified("example.com", "example.com"))["valid"] is True
    assert "--trust-domain" in verified(run, token, certified("example.com", "example.org"))["error"]
    assert verified(run, token, certified("example.org"))["reason"] == "trust_domain_unknown"
    assert verified(run, token, certified("example.org"), "--trust-domain", "example.com")["valid"] is True


def test_inspect_says_that_nothing_is_verified(run: Run, token: str) -> None:
    document = run("wit", "inspect", token, "--json").document
    assert document["verified"] is False
    assert document["identity"] == "spiffe://example.com/a"
    assert document["header"]["typ"] == "wit+jwt"
    assert document["claims"]["exp"] == NOW + 300
    plain = run("wit", "inspect", token)
    assert plain.status == 0
    assert plain.text.startswith("NOT VERIFIED")


def test_id_17_control_characters_of_a_token_do_not_reach_the_terminal(run: Run) -> None:
    """ID-17"""
    key = PrivateKey.generate(kid="k\x1b[31m\r\n\u202e")
    claims = {"sub": "spiffe://example.com/a", "exp": 10**20, "iss": "\x1b]0;x\x07", "cnf": {"jwk": {"kty": "\r\n"}}}
    text = sign_compact({"typ": "wit+jwt"}, {**claims, "exp": 10**15}, key)
    outcome = run("wit", "inspect", text)
    assert outcome.status == 0
    assert all(each.isprintable() or each == "\n" for each in outcome.text)
    assert "\\x1b[31m" in outcome.text
    subject = sign_compact({"typ": "wit+jwt"}, {**claims, "sub": "spiffe://example.com/a\r\n\x1b[2J"}, key)
    for command in (["wit", "inspect", subject], ["inspect", subject]):
        shown = run(*command)
        assert all(each.isprintable() or each == "\n" for each in shown.text + shown.stderr)
