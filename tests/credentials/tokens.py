"""Tokens that no honest issuer writes, for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from wimse.credentials import JWT_SVID, WIT_SVID, TrustBundle, TrustDomain, WorkloadIdentifier
from wimse.keys import EDDSA, PrivateKey, PublicKey, b64url_encode

NOW: Final = 1_700_000_000
SPIFFE: Final = TrustDomain("spiffe", "example.org")
WIMSE: Final = TrustDomain("wimse", "example.org")
ISSUER: Final = PrivateKey.generate(kid="issuer")
ED_ISSUER: Final = PrivateKey.generate(EDDSA, kid="ed")
OTHER: Final = PrivateKey.generate(kid="issuer")  # another key under the same kid
WORKLOAD: Final = PrivateKey.generate()
ABSENT: Final = object()


def bundle(domain: TrustDomain = SPIFFE, *keys: PublicKey) -> TrustBundle:
    return TrustBundle(trust_domain=domain, wit_keys=keys or (ISSUER.public_key,))


def workload(domain: TrustDomain = SPIFFE) -> WorkloadIdentifier:
    return domain.workload("/a")


def encode(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return b64url_encode(data)


def jws(header: object, claims: object, key: PrivateKey = ISSUER) -> str:
    """Sign anything."""
    text = f"{encode(header)}.{encode(claims)}"
    return f"{text}.{b64url_encode(key.sign(text.encode()))}"


def wit(
    domain: TrustDomain = SPIFFE,
    *,
    key: PrivateKey = ISSUER,
    header: Mapping[str, object] | None = None,
    jwk: Mapping[str, object] | None = None,
    **claims: object,
) -> str:
    """A good WIT, with members replaced, or left out where they are ABSENT."""
    head = {"alg": key.algorithm.jose_name, "kid": key.kid, "typ": "wit+jwt", **(header or {})}
    members = {**WORKLOAD.public_key.to_jwk(), **(jwk or {})}
    body = {
        "sub": str(workload(domain)),
        "iat": NOW,
        "exp": NOW + 600,
        "cnf": {"jwk": {name: value for name, value in members.items() if value is not ABSENT}},
        **claims,
    }
    return jws(
        {name: value for name, value in head.items() if value is not ABSENT},
        {name: value for name, value in body.items() if value is not ABSENT},
        key,
    )


__all__ = [
    "ABSENT",
    "ED_ISSUER",
    "ISSUER",
    "JWT_SVID",
    "NOW",
    "OTHER",
    "SPIFFE",
    "WIMSE",
    "WIT_SVID",
    "WORKLOAD",
    "bundle",
    "encode",
    "jws",
    "wit",
    "workload",
]
