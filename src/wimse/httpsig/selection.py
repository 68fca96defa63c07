"""Which of a message's signatures is meant (RFC 9421 §3.2 step 1.1).

Exactly one must fit. That another one would verify is no help: "any of them is valid" lets whoever can add a signature
choose which one counts (§7.2.6).

A malformed label is neither verified nor ignored, but refused with its own reason, when it is one that is asked for:

- its label is the one asked for, or its tag or keyid can be read as the one asked for;
- nothing is asked for, so that every label is.

When that cannot be said (the label stands in Signature only, the tag is no String, the predicate would judge it), it
gives the reason when nothing else fits, and else does not matter. One that is not asked for never matters.
"""

from __future__ import annotations

from wimse.errors import Reason, Refused
from wimse.httpsig.requirements import Requirements
from wimse.httpsig.signatures import LabelledSignature, MalformedSignature, ParsedSignatures

__all__ = ["select_signature"]


def select_signature(signatures: tuple[LabelledSignature, ...], requirements: Requirements) -> LabelledSignature:
    """Determine which signature to verify (§3.2 step 1.1).

    Args:
        signatures: as `parse_signatures` gives them.
        requirements: their `label`, `tag`, `keyid` and `predicate`, each of which must fit where it is given.

    Raises:
        Refused: `signature_missing` when none fits; `signature_ambiguous` when several do; the reason of a malformed
            one that is asked for.
    """
    malformed = signatures.malformed.values() if isinstance(signatures, ParsedSignatures) else ()
    judged = [(each, _asked_for(each, requirements)) for each in malformed] if malformed else []
    for each, asked_for in judged:
        if asked_for:
            raise each.refusal()
    label, tag, keyid, predicate = requirements.label, requirements.tag, requirements.keyid, requirements.predicate
    chosen: LabelledSignature | None = None
    for signature in signatures:
        parameters = signature.input.parameters
        if (
            (label is None or signature.label == label)
            and (tag is None or parameters.get("tag") == tag)  # only a String is equal to one
            and (keyid is None or parameters.get("keyid") == keyid)
            and (predicate is None or predicate(signature))
        ):
            if chosen is not None:
                raise Refused(Reason.SIGNATURE_AMBIGUOUS, "the message has more than one signature that fits")
            chosen = signature
    if chosen is not None:
        return chosen
    for each, asked_for in judged:
        if asked_for is None:
            raise each.refusal()
    raise Refused(Reason.SIGNATURE_MISSING, "the message has no signature that fits")


def _asked_for(signature: MalformedSignature, requirements: Requirements) -> bool | None:
    # None: it cannot be said.
    answers: list[bool | None] = []
    if requirements.label is not None:
        answers.append(signature.label == requirements.label)
    if requirements.tag is not None:
        answers.append(signature.may_have("tag", requirements.tag))
    if requirements.keyid is not None:
        answers.append(signature.may_have("keyid", requirements.keyid))
    if requirements.predicate is not None:
        answers.append(None)
    if False in answers:
        return False
    return None if None in answers else True
