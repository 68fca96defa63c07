#!/usr/bin/env python3
"""Write the seed corpus, `fuzz/corpus/TARGET/`, from `vectors/`: plain files, each an input as it is.

    fuzz/seeds.py

Files that are there already under other names stay: what once failed is kept there by hand.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from fuzz.targets import WIT  # noqa: E402 - found by the path above

MAX_SEEDS_OF_A_SET = 24

Seed = tuple[str, str, bytes]  # target, name, input

DIGESTS = {
    "both": "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:, "
    "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
    "beside-unknown": "x=:AAAA:,sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
    "wrong": "sha-256=:d435Qo+nKZ+gLcUHn7GQtQ72hiBVAgqoLsZnZPiTGPk=:",
    "deprecated": "md5=:Sd/dVLAcvNLSq16eXua5uQ==:, unixsum=:GQU=:",
    "excess-padding": "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg==:",
    "parameters": "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:;q=1",
}
WANTED = ["sha-256=1", "sha-512=3, sha-256=10, unixsum=0", "sha=10", "sha-256=11", "sha-256", "sha-256=1;q", "a=1.0"]
ASKED = [
    'sig1=("@status" "@method";req);created;expires;nonce="abc";tag="app"',
    'sig1=("@path" "content-type");keyid="issuer";alg="ed25519", sig2=("@path")',
    'sig1=("@path" "authorization")',
    'sig1=("@path");created=1',
    'sig1=("@path");keyid="other"',
    'sig1=("@status";req)',
    "sig1=1",
]
MAPS = {
    "empty-map": '{"trust_domains": {}}',
    "domain-twice": '{"trust_domains": {"a.example": {"keys": []}, "a.example": {"keys": []}}}',
    "no-map": '{"keys": []}',
    "upper-case": '{"trust_domains": {"A.example": {"keys": []}}}',
}
_ENTRY = '[[entries]]\nentry_id = "a"\npath = "/a"\nselectors = ["unix:uid:1", "unix:path:/bin/a"]\n'
ENTRIES = {
    "one": f"prune = true\n{_ENTRY}hint = 'h'\nwit_lifetime_seconds = 60\nfederates_with = ['b.example']\n",
    "twice": _ENTRY + _ENTRY,
    "template": '[[entries]]\nentry_id = "t"\npath = "/bin/{exe}/gid/{gid}/pid/{pid}/uid/{uid}"\n',
    "whole-identity": _ENTRY.replace("/a", "spiffe://example.org/a"),
    "unknown-field": f"{_ENTRY}spiffe_id = 1\n",
}
COMPONENTS = ['"@method";req', '"@query-param";name="a%20b"', "content-type", '"x";key="a"', '"x";sf;bs;tr', "@status"]


def cases(path: str) -> list[dict[str, Any]]:
    """The cases of one file of vectors, the first so many."""
    found: list[dict[str, Any]] = json.loads((ROOT / "vectors" / path).read_text(encoding="utf-8"))["cases"]
    return found[:MAX_SEEDS_OF_A_SET]


def of_messages() -> Iterator[Seed]:
    """Messages, their signatures and their signature fields."""
    for path in ("rfc9421/signatures.json", "wimse/http-signature-07.json", "rfc9421/components.json"):
        for case in cases(path):
            data = case["message"].encode("latin-1")
            yield "message", case["id"], data
            yield "signatures", case["id"], data
            fields = dict(re.findall(r"(?mi)^(signature(?:-input)?):[ \t]*(.*?)\r?$", case["message"]))
            lines = {name.lower(): value for name, value in fields.items()}
            if lines.keys() == {"signature", "signature-input"}:
                both = f"{lines['signature-input']}\n{lines['signature']}"
                yield "signature_fields", case["id"], both.encode("latin-1")


def of_proofs() -> Iterator[Seed]:
    """Proofs: the value of their field, and header and payload of others that the target signs."""
    for case in cases("wimse/proof-tokens.json"):
        fields = dict(re.findall(r"(?mi)^(workload-proof-token|authorization):[ \t]*(.*?)\r?$", case["message"]))
        for value in fields.values():
            yield "wpt", case["id"], value.encode("latin-1")
    bound = {"tth": hash_of("a.b.c"), "oth": {"x-user-token": hash_of("u")}, "wth": hash_of(WIT.text)}
    claims = {"aud": "https://orders.example/", "exp": 1_700_000_060, "jti": "__bwc4ESC3acc2LTC1-_x", **bound}
    header = {"alg": "EdDSA", "typ": "wpt+jwt"}
    for name, changed in (
        ("good", {}),
        ("expired", {"exp": 1}),
        ("audiences", {"aud": ["a"]}),
        ("nbf", {"nbf": True}),
        ("ath", {"ath": bound["tth"]}),
        ("oth", {"oth": {"x": []}}),
    ):
        yield "wpt", name, f"{json.dumps(header)}\n{json.dumps({**claims, **changed})}".encode()


def hash_of(value: str) -> str:
    """As `wth` and the like have it."""
    return base64.urlsafe_b64encode(hashlib.sha256(value.encode("ascii")).digest()).rstrip(b"=").decode("ascii")


def of_credentials() -> Iterator[Seed]:
    """Tokens, identifiers, bundles and keys."""
    for case in cases("wimse/wits.json"):
        yield "jws", case["id"], case["token"].encode("ascii")
    key = cases("wimse/wits.json")[0]["expected"]["key"]
    claims = {"sub": "wimse://example.org/a", "exp": 1_700_000_060, "iat": 1_700_000_000, "cnf": {"jwk": key}}
    header = {"alg": "EdDSA", "typ": "wit+jwt", "kid": "issuer"}
    for name, changed in (
        ("good", {}),
        ("expired", {"exp": 1}),
        ("crit", {"nbf": True}),
        ("spiffe", {"sub": "spiffe://a/b"}),
    ):
        yield "wit_claims", name, f"{json.dumps(header)}\n{json.dumps({**claims, **changed})}".encode()
    for case in cases("spiffe/identifiers.json"):
        yield "identifier", case["id"], case["uri"].encode("utf-8", "surrogateescape")
    for case in cases("spiffe/bundles.json"):
        yield "bundle", case["id"], json.dumps(case["document"]).encode()
        both = {"trust_domains": {"example.org": case["document"], "b.example": {"keys": [], "spiffe_sequence": 1}}}
        yield "bundle_map", case["id"], json.dumps(both).encode()
    for name, text in MAPS.items():
        yield "bundle_map", name, text.encode()
    for name, text in ENTRIES.items():
        yield "entries_file", name, text.encode()
    for case in cases("rfc9421/keys.json"):
        yield "jwk", case["id"], json.dumps(case["jwk"]).encode()
        yield "key_file", f"{case['id']}-jwk", json.dumps({"keys": [case["jwk"]]}).encode()
        for form in ("public_pem", "private_pem"):
            if case.get(form):
                yield "key_file", f"{case['id']}-{form}", case[form].encode()


def of_fields() -> Iterator[Seed]:
    """Single fields and identifiers, from RFC 9421 and RFC 9530."""
    for name, value in DIGESTS.items():
        yield "digest", name, f'{value}\n{{"hello": "world"}}'.encode()
    for number, value in enumerate(WANTED):
        yield "want_content_digest", f"wanted-{number}", value.encode()
    for number, value in enumerate(ASKED):
        yield "accept_signature", f"asked-{number}", value.encode()
    for number, value in enumerate(COMPONENTS):
        yield "component", f"component-{number}", value.encode()


def main() -> None:
    """Write every seed once."""
    seen: set[tuple[str, bytes]] = set()
    for seeds in (of_messages(), of_credentials(), of_proofs(), of_fields()):
        for target, name, data in seeds:
            if (target, data) in seen:
                continue
            seen.add((target, data))
            path = ROOT / "fuzz" / "corpus" / target / re.sub(r"[^A-Za-z0-9._-]", "_", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    print(f"{len(seen)} seeds")


if __name__ == "__main__":
    main()
