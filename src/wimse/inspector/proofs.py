"""Workload proof tokens in requests, explained."""

from __future__ import annotations

from wimse.credentials import WIT_FIELD, UnverifiedJWS
from wimse.errors import Reason, Refused
from wimse.httpsig import Request
from wimse.inspector.steps import Outcome, Step, failed
from wimse.inspector.tokens import explain_token
from wimse.keys import PublicKey
from wimse.profiles.proof_token import REVISIONS, ProofRevision, has_proof, token_hash

__all__ = ["explain_proofs"]


def explain_proofs(request: Request, key: PublicKey | None, *, now: int) -> list[Step]:
    """Explain what a request has of proof tokens, under every revision.

    Args:
        request: the head.
        key: the one that its WIT names, whether or not anybody vouches for it; None when it is not known.
        now: seconds since 1970.
    """
    steps: list[Step] = []
    for revision in REVISIONS.values():
        if has_proof(request.fields, revision):
            steps.extend(_explain(request, revision, key, now))
    return steps


def _explain(request: Request, revision: ProofRevision, key: PublicKey | None, now: int) -> list[Step]:
    title = f"Proof of revision {revision.name}"
    values = request.fields.values(revision.field)
    if len(values) > 1:
        text = f"There is more than one {revision.field}, and one is all that there may be."
        return [Step(title, Outcome.FAILED, text, reason=Reason.FIELD_DUPLICATED.code)]
    text = values[0] if revision.scheme is None else values[0].partition(" ")[2].lstrip(" ")
    steps, _ = explain_token(text, now=now, title=title)
    return steps if steps[0].outcome is Outcome.FAILED else [*steps, _check_step(title, text, request, key)]


def _check_step(title: str, text: str, request: Request, key: PublicKey | None) -> Step:
    title = f"{title}: the check"
    wits = request.fields.values(WIT_FIELD)
    if key is None or len(wits) != 1:
        return Step(title, Outcome.UNCHECKED, "Not checked: it takes one WIT, which names the key.")
    jws = UnverifiedJWS.parse(text)
    try:
        if jws.claims.get("wth") != token_hash(wits[0]):
            raise Refused(Reason.TOKEN_HASH_MISMATCH, "its wth is not the hash of the WIT beside it")
        key.verify(jws.signature, jws.signing_input)
    except Refused as refused:
        return failed(title, refused)
    return Step(title, Outcome.OK, "Made with the key that the token beside it names, for this very token.")
