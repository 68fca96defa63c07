"""Proofs as an attacker, a careless sender or an honest one would write them; all of them really signed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from wimse.credentials import UnverifiedWIT, VerifiedWIT, WorkloadCredential, verify_wit
from wimse.httpsig import Fields, Request, with_fields
from wimse.keys import PrivateKey, Signer, b64url_encode
from wimse.profiles.proof_token import (
    REVISION_01,
    REVISION_02,
    ProofRevision,
    ProofTokenSettings,
    TokenHashes,
    VerifiedProof,
    VerifiedRequestProof,
    prove_request,
    token_hash,
    verify_proof,
    verify_request,
)
from wimse.testing import InMemoryTrustDomain

NOW: Final = 1_800_000_000
AUDIENCE: Final = "https://orders.example/orders"
TOKEN_ID: Final = "i" * 22
ACCESS_TOKEN: Final = "16_mAd0GiwaZokU26_0902100"
TXN_TOKEN: Final = "eyJ.eyJ.sig"
DOMAIN: Final = InMemoryTrustDomain()
WIMSE: Final = InMemoryTrustDomain("wimse://example.org")
CALLER: Final = DOMAIN.credential("/caller", now=NOW)
OTHER: Final = DOMAIN.credential("/other", now=NOW)
SETTINGS: Final = ProofTokenSettings()
WITH_USER: Final = ProofTokenSettings(context_fields=("x-user-token",))
HEAD: Final = Request(
    method="POST",
    target="/orders?x=1",
    authority="orders.example",
    fields=Fields([("Host", "orders.example"), ("Content-Type", "application/json"), ("Txn-Token", TXN_TOKEN)]),
)
REVISIONS: Final = (REVISION_02, REVISION_01)


def verified_wit(credential: WorkloadCredential = CALLER, domain: InMemoryTrustDomain = DOMAIN) -> VerifiedWIT:
    """The credential's WIT, verified."""
    return verify_wit(UnverifiedWIT.parse(credential.wit), domain.bundle, now=NOW)


WIT: Final = verified_wit()


def encode(value: object) -> str:
    """JSON in base64url; text is taken as JSON already, bytes as they are."""
    if isinstance(value, bytes):
        return b64url_encode(value)
    return b64url_encode((value if isinstance(value, str) else json.dumps(value)).encode("utf-8"))


def changed(base: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """`base` with `changes`; None takes a member out."""
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


def proof_claims(**changes: object) -> dict[str, object]:
    """The claims of a good proof without further tokens."""
    base = {"aud": AUDIENCE, "exp": NOW + 60, "jti": TOKEN_ID, "wth": token_hash(CALLER.wit)}
    return changed(base, changes)


def forge_proof(
    claims: object = None, *, header: object = None, key: Signer | None = None, **header_changes: object
) -> str:
    """A proof with any header and claims, signed by any key; both may be raw JSON text."""
    full = changed({"alg": "ES256", "typ": "wpt+jwt"}, header_changes) if header is None else header
    signing_input = f"{encode(full)}.{encode(proof_claims() if claims is None else claims)}"
    signer = key or CALLER.key
    return f"{signing_input}.{b64url_encode(signer.sign(signing_input.encode('ascii')))}"


def judge(
    token: str | bytes,
    *,
    wit: VerifiedWIT = WIT,
    revision: ProofRevision = REVISION_02,
    settings: ProofTokenSettings = SETTINGS,
    now: int = NOW,
    tokens: TokenHashes | None = None,
) -> VerifiedProof:
    """Verify a proof without HTTP."""
    return verify_proof(token, wit, revision=revision, settings=settings, now=now, tokens=tokens or TokenHashes())


def prove(
    head: Request = HEAD,
    revision: ProofRevision = REVISION_02,
    *,
    settings: ProofTokenSettings = SETTINGS,
    credential: WorkloadCredential = CALLER,
    audience: str | None = AUDIENCE,
    now: int = NOW,
) -> Request:
    """A request with its proof."""
    return prove_request(
        head, credential, revision=revision, settings=settings, now=now, token_id=TOKEN_ID, audience=audience
    ).request


def judge_request(
    request: Request,
    revision: ProofRevision = REVISION_02,
    *,
    settings: ProofTokenSettings = SETTINGS,
    wit: VerifiedWIT = WIT,
    now: int = NOW,
) -> VerifiedRequestProof:
    """Verify the proof of a request."""
    return verify_request(request, wit, revision=revision, settings=settings, now=now)


def carrying(token: str, revision: ProofRevision = REVISION_02, head: Request = HEAD, wit: str = "") -> Request:
    """A request that carries this proof, where the revision has it."""
    value = token if revision.scheme is None else f"{revision.scheme} {token}"
    return adding(head, ("Workload-Identity-Token", wit or CALLER.wit), (revision.field, value))


def adding(message: Request, *lines: tuple[str, str]) -> Request:
    """The message with further field lines at its end."""
    return with_fields(message, message.fields.adding(*lines))


def replacing(message: Request, name: str, *values: str) -> Request:
    """The message with the lines of one field replaced; no value takes the field out."""
    fields = message.fields.without(name.lower())
    return with_fields(message, fields.adding(*((name, value) for value in values)))


def new_key() -> PrivateKey:
    """A P-256 key that nobody knows."""
    return PrivateKey.generate()


def decoded(token: str) -> tuple[Any, Any]:
    """Header and claims of a token."""
    from wimse.credentials import UnverifiedJWS

    jws = UnverifiedJWS.parse(token)
    return dict(jws.header), dict(jws.claims)
