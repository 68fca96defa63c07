"""Tokens, explained."""

from __future__ import annotations

import json
from collections.abc import Mapping

from wimse.credentials import (
    WIT_TYPE,
    TrustBundle,
    TrustDomain,
    UnverifiedJWS,
    UnverifiedWIT,
    VerifiedWIT,
    verify_wit,
)
from wimse.errors import Refused
from wimse.inspector.steps import Outcome, Step, failed, times_step, value_text
from wimse.keys import PublicKey
from wimse.profiles.proof_token import PROOF_TYPE

__all__ = ["ExplainedToken", "explain_token"]

_KINDS = {
    WIT_TYPE: "a Workload Identity Token",
    f"application/{WIT_TYPE}": "a Workload Identity Token",
    PROOF_TYPE: "a Workload Proof Token, which proves that its sender holds the key of a WIT",
    "wimse-id+jwt": "a Workload Identity Token of drafts before August 2025; it is refused today",
    "JWT": "a JWT, such as a JWT-SVID: a bearer token, which whoever holds it can use",
}

_BOUND = {"wth": "the WIT", "ath": "an access token", "tth": "a transaction token"}

ExplainedToken = tuple[list[Step], PublicKey | None]
"""The steps, and the key that the token names, whether or not anybody vouches for it."""


def explain_token(
    text: str, *, now: int, bundles: Mapping[TrustDomain, TrustBundle] | None = None, title: str = "Token"
) -> ExplainedToken:
    """Explain a compact token.

    Args:
        text: the token.
        now: seconds since 1970.
        bundles: whom to trust; None leaves the token's signature unchecked.
        title: of the steps, where a message has more than one token.
    """
    try:
        jws = UnverifiedJWS.parse(text)
    except Refused as refused:
        return [failed(f"{title}: form", refused)], None
    typ = jws.header.get("typ")
    kind = _KINDS.get(typ, "a token of a type not known here") if isinstance(typ, str) else "a token without a type"
    header = [(name, value_text(value)) for name, value in jws.header.items()]
    steps = [
        Step(f"{title}: form", Outcome.OK, f"A well-formed compact JWS. By its typ it is {kind}.", tuple(header)),
        Step(f"{title}: claims", Outcome.SAID, "What its issuer wrote.", block=_pretty(jws.claims)),
        times_step(f"{title}: times", ((name, jws.claims.get(name)) for name in ("iat", "nbf", "exp")), now),
    ]
    if typ == PROOF_TYPE:
        return [*steps, _bound_step(title, jws.claims)], None
    if typ not in (WIT_TYPE, f"application/{WIT_TYPE}", "wimse-id+jwt"):
        return steps, None
    try:
        wit = UnverifiedWIT.parse(text)
    except Refused as refused:
        return [*steps, failed("Token: subject", refused)], None
    facts = (("identity", str(wit.claimed_identity)), ("trust domain", str(wit.trust_domain)))
    steps.append(Step("Token: subject", Outcome.SAID, "Whom the token speaks of, if its signature is good.", facts))
    key_step, key = _key_step(jws.claims)
    return [*steps, key_step, _signature_step(wit, now, bundles)], key


def _bound_step(title: str, claims: Mapping[str, object]) -> Step:
    others = claims.get("oth")
    named = [(name, _BOUND[name]) for name in _BOUND if name in claims]
    named += [(f"oth {name}", "the field of this name") for name in others] if isinstance(others, dict) else []
    text = (
        "The tokens that it is bound to, by their hashes: it is good beside these only. Nothing else of the message "
        "that it comes with is covered: neither method nor path, nor its content."
    )
    return Step(f"{title}: what it binds", Outcome.SAID, text, tuple(named))


def _pretty(claims: Mapping[str, object]) -> str:
    return json.dumps(dict(claims), indent=2, ensure_ascii=True)


def _key_step(claims: Mapping[str, object]) -> tuple[Step, PublicKey | None]:
    title = "Token: the workload's key"
    confirmation = claims.get("cnf")
    jwk = confirmation.get("jwk") if isinstance(confirmation, dict) else None
    if not isinstance(jwk, dict):
        return Step(
            "Token: the workload's key", Outcome.FAILED, "There is no cnf.jwk.", reason="token_confirmation"
        ), None
    try:
        key = PublicKey.from_jwk(jwk)
    except Refused as refused:
        return failed(title, refused), None
    facts = (("algorithm", key.algorithm.jose_name), ("SHA-256 thumbprint", key.thumbprint()))
    text = "Only the holder of its private half is the workload: the message must be signed with it."
    return Step(title, Outcome.OK, text, facts), key


def _signature_step(wit: UnverifiedWIT, now: int, bundles: Mapping[TrustDomain, TrustBundle] | None) -> Step:
    title = "Token: the issuer's signature"
    if bundles is None:
        text = f"Not checked: that takes the trust bundle of {wit.trust_domain}. Anybody may have written this token."
        return Step(title, Outcome.UNCHECKED, text)
    bundle = bundles.get(wit.trust_domain)
    if bundle is None:
        text = f"There is no trust bundle of {wit.trust_domain}."
        return Step(title, Outcome.FAILED, text, reason="trust_domain_unknown")
    try:
        verified: VerifiedWIT = verify_wit(wit, bundle, now=now)
    except Refused as refused:
        return failed(title, refused)
    return Step(title, Outcome.OK, f"The trust domain's bundle verifies it: {verified.identity}.")
