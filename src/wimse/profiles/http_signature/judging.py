"""Judging signatures by the profile: of a request, and of the response to a request of ours.

The WIT comes first and is the caller's (`authentication`) to verify; here it is taken out of the message, and the
signature is checked with the key that the verified WIT names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final

from wimse.credentials import WIT_FIELD, VerifiedWIT
from wimse.errors import Reason, Refused, Violation
from wimse.httpsig import (
    Fields,
    Flow,
    Limits,
    Message,
    NeedKey,
    Request,
    Requirements,
    Response,
    VerifiedSignature,
    parse_signatures,
    verify,
)
from wimse.keys import Algorithm, PublicKey
from wimse.profiles.http_signature.making import SignedRequest, check_single_lines
from wimse.profiles.http_signature.revision import REQUEST_NONCE, Revision
from wimse.profiles.http_signature.settings import SignatureSettings

__all__ = ["begin_signature", "check_request_nonce", "has_profile_signature", "verify_signature", "wit_of"]

# §7.3.7 of RFC 9421: a signature over signatures proves little, and this profile has no use for it.
_NEVER_COVERED: Final = frozenset({"signature", "signature-input"})


def wit_of(fields: Fields) -> str:
    """Take the one WIT out of a message (workload-creds §5.1.1).

    Raises:
        Refused: `wit_missing` or `wit_duplicated`.
    """
    values = fields.values(WIT_FIELD)
    if not values:
        raise Refused(Reason.WIT_MISSING, "the message has no Workload-Identity-Token")
    if len(values) > 1:
        raise Refused(Reason.WIT_DUPLICATED, "the message has more than one Workload-Identity-Token")
    return values[0]


def has_profile_signature(message: Message, revision: Revision, limits: Limits) -> bool:
    """Whether the message carries a signature with the profile's tag.

    Raises:
        Refused: when its signature fields cannot be read, or a malformed signature may be the profile's: a message is
            not taken for an unsigned one because its signature is broken.
    """
    found = parse_signatures(message.fields, limits=limits, extension_types=revision.parameter_types)
    if any(each.input.text("tag") == revision.tag for each in found):
        return True
    for each in found.malformed.values():
        if each.may_have("tag", revision.tag) is not False:
            raise each.refusal()
    return False


def verify_signature(
    message: Request | Response,
    wit: VerifiedWIT,
    *,
    revision: Revision,
    settings: SignatureSettings,
    limits: Limits,
    now: int,
    request: Request | None = None,
) -> VerifiedSignature:
    """Verify the profile's signature of a message with the key of its WIT.

    Args:
        message: a request, or a response to `request`.
        wit: the message's own WIT, verified.
        revision: of the profile; the message must satisfy all of it.
        settings: times and sizes.
        limits: how much is read.
        now: seconds since 1970.
        request: when the message is a response, the request as it was sent.

    Raises:
        Refused: `signature_missing`, or `signature_ambiguous` for two with the tag (§3); whatever
            `httpsig.verify` refuses; `field_duplicated`, `component_forbidden`, `parameter_value`;
            `algorithm_not_allowed` for a key that the revision does not use; `signature_too_old` for a signature that
            was created before its WIT's `nbf`.
    """
    finish = begin_signature(
        message, wit, revision=revision, settings=settings, limits=limits, now=now, request=request
    )
    return finish()


def begin_signature(
    message: Request | Response,
    wit: VerifiedWIT,
    *,
    revision: Revision,
    settings: SignatureSettings,
    limits: Limits,
    now: int,
    request: Request | None = None,
) -> Callable[[], VerifiedSignature]:
    """Do all of `verify_signature` that needs no cryptography: whether the message is one of this revision at all.

    Arguments as `verify_signature`.

    Returns:
        What checks the signature itself, and returns it verified.

    Raises:
        Refused: as `verify_signature`, but for `signature_invalid` and what a signature base can be refused for.
    """
    algorithm = wit.key.algorithm
    if revision.algorithms is not None and algorithm not in revision.algorithms:
        raise _violated(Reason.ALGORITHM_NOT_ALLOWED, f"the revision {revision.name} does not use the WIT's algorithm")
    requirements = _requirements(revision, settings, algorithm, of_request=isinstance(message, Request))
    check_single_lines(message.fields, requirements.components, request)
    check_single_lines(message.fields, requirements.components_if_present, request)
    flow = verify(message, requirements, now=now, request=request, limits=limits)
    need: NeedKey = next(flow)
    metadata = need.signature.input
    if any(each.name in _NEVER_COVERED for each in metadata.components):
        raise _violated(Reason.COMPONENT_FORBIDDEN, "the signature covers signature fields")
    not_before, created = wit.claims.get("nbf"), metadata.integer("created")
    leeway = int(settings.leeway.total_seconds())
    if isinstance(not_before, int) and created is not None and created < not_before - leeway:
        # The WIT is covered, so it was there when this was signed. `iat` delays nothing (WIT-SVID §3.6).
        raise _violated(Reason.SIGNATURE_TOO_OLD, "the signature was created before its WIT was valid")
    nonce = metadata.text("nonce")  # required, but in the responses of one revision
    if nonce is not None:
        _check_nonce(nonce, settings)
    return partial(_finished, flow, wit.key)


def _finished(flow: Flow[VerifiedSignature], key: PublicKey) -> VerifiedSignature:
    try:
        flow.send(key)
    except StopIteration as end:
        signature: VerifiedSignature = end.value
        return signature
    raise AssertionError("a verification asks for one key")  # pragma: no cover


@lru_cache(maxsize=64)  # a deployment has one or two revisions and settings, and a few algorithms
def _requirements(
    revision: Revision, settings: SignatureSettings, algorithm: Algorithm, *, of_request: bool
) -> Requirements:
    parameters = revision.request_parameters if of_request else revision.response_parameters
    return Requirements(
        tag=revision.tag,
        components=revision.request_components if of_request else revision.response_components,
        components_if_present=revision.request_if_present if of_request else revision.response_if_present,
        parameters=parameters,
        forbidden_parameters=revision.request_forbidden if of_request else revision.response_forbidden,
        parameter_types=revision.parameter_types,
        max_lifetime=settings.max_lifetime,
        # A signature that says no end of its own does not live longer than one that does.
        max_age=None if "expires" in parameters else settings.max_lifetime,
        leeway=settings.leeway,
        # §3: the algorithm is the one of cnf.jwk, which is the key's.
        algorithms=frozenset({algorithm}),
    )


def check_request_nonce(verified: VerifiedSignature, sent: SignedRequest, revision: Revision) -> None:
    """Check that a response answers the request that we sent, and no other (§3.3).

    In a revision that does not bind responses it is checked where it is there.

    Raises:
        Refused: `request_nonce_mismatch`.
    """
    answered = verified.parameters.get(REQUEST_NONCE)
    if answered is None and not revision.binds_response:
        return
    if answered != sent.nonce:
        raise Refused(Reason.REQUEST_NONCE_MISMATCH, "the response answers another request than the one sent")


def _check_nonce(nonce: str, settings: SignatureSettings) -> None:
    if not settings.min_nonce_characters <= len(nonce) <= settings.max_nonce_characters:
        raise _violated(
            Reason.PARAMETER_VALUE,
            f"the nonce does not have {settings.min_nonce_characters} to {settings.max_nonce_characters} characters",
        )


def _violated(reason: Reason, detail: str) -> Refused:
    # With its violation, as `Requirements` reports one: it says how far a message is from satisfying a revision.
    return Refused.for_violations([Violation(reason, detail)])
