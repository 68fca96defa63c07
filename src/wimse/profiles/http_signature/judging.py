"""Judging signatures by the profile: of a request, and of the response to a request of ours.

The WIT comes first and is the caller's (`authentication`) to verify; here it is taken out of the message, and the
signature is checked with the key that the verified WIT names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from wimse.credentials import WIT_FIELD, VerifiedWIT
from wimse.errors import Reason, Refused, Violation
from wimse.httpsig import Fields, Limits, Message, NeedKey, Request, Requirements, VerifiedSignature, parse_signatures
from wimse.httpsig.verifying import before_the_key, with_the_key
from wimse.keys import Algorithm
from wimse.profiles.http_signature.making import SignedRequest, check_single_lines
from wimse.profiles.http_signature.revision import REQUEST_NONCE, Revision
from wimse.profiles.http_signature.settings import SignatureSettings

__all__ = ["SignatureRules", "check_request_nonce", "has_profile_signature", "wit_of"]

# §7.3.7 of RFC 9421: a signature over signatures proves little, and this profile has no use for it.
_NEVER_COVERED: Final = frozenset({"signature", "signature-input"})


def wit_of(fields: Fields) -> str:
    """Take the one WIT out of a message (workload-creds §5.1.1).

    Raises:
        Refused: `wit_missing` or `wit_duplicated`.
    """
    value = fields.by_name.get(WIT_FIELD)
    if value is None:
        raise Refused(Reason.WIT_MISSING, "the message has no Workload-Identity-Token")
    if WIT_FIELD in fields.repeated:
        raise Refused(Reason.WIT_DUPLICATED, "the message has more than one Workload-Identity-Token")
    return value


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


class SignatureRules:
    """What the signatures of a revision must be like, in requests or in responses, worked out once.

    `verify` judges one completely; `begin` stops before cryptography and returns the rest, for whoever has to find out
    which of several revisions a message satisfies.
    """

    __slots__ = ("_by_algorithm", "_leeway", "_limits", "_of_request", "_revision", "_settings")

    def __init__(self, revision: Revision, settings: SignatureSettings, limits: Limits, *, of_request: bool) -> None:
        """Work them out.

        Args:
            revision: of the profile; a message must satisfy all of it.
            settings: times and sizes.
            limits: how much of a message is read.
            of_request: whether requests are judged, or responses.
        """
        self._revision = revision
        self._settings = settings
        self._limits = limits
        self._of_request = of_request
        self._leeway = int(settings.leeway.total_seconds())
        self._by_algorithm: dict[Algorithm, Requirements] = {}

    def verify(
        self, message: Message, wit: VerifiedWIT, *, now: int, request: Request | None = None
    ) -> VerifiedSignature:
        """Verify the profile's signature of a message with the key of its WIT.

        Args:
            message: a request, or a response to `request`.
            wit: the message's own WIT, verified.
            now: seconds since 1970.
            request: when the message is a response, the request as it was sent.

        Raises:
            Refused: `signature_missing`, or `signature_ambiguous` for two with the tag (§3); whatever
                `httpsig.verify` refuses; `field_duplicated`, `component_forbidden`, `parameter_value`;
                `algorithm_not_allowed` for a key that the revision does not use; `signature_too_old` for a signature
                that was created before its WIT's `nbf`.
        """
        requirements = self.requirements(wit.key.algorithm)
        need = self._before_the_key(message, wit, requirements, now, request)
        return with_the_key(need, wit.key, requirements, self._limits)

    def begin(
        self, message: Message, wit: VerifiedWIT, *, now: int, request: Request | None = None
    ) -> Callable[[], VerifiedSignature]:
        """Do all of `verify` that needs no cryptography: whether the message is one of this revision at all.

        Arguments as `verify`.

        Returns:
            What checks the signature itself, and returns it verified.

        Raises:
            Refused: as `verify`, but for `signature_invalid` and what a signature base can be refused for.
        """
        requirements = self.requirements(wit.key.algorithm)
        need = self._before_the_key(message, wit, requirements, now, request)
        return partial(with_the_key, need, wit.key, requirements, self._limits)

    def _before_the_key(
        self, message: Message, wit: VerifiedWIT, requirements: Requirements, now: int, request: Request | None
    ) -> NeedKey:
        if message.fields.repeated or (request is not None and request.fields.repeated):
            check_single_lines(message.fields, requirements.components, request)
            check_single_lines(message.fields, requirements.components_if_present, request)
        need = before_the_key(message, requirements, now, request, content=None, limits=self._limits)
        metadata = need.signature.input
        if not metadata.components.names.isdisjoint(_NEVER_COVERED):
            raise _violated(Reason.COMPONENT_FORBIDDEN, "the signature covers signature fields")
        not_before, created = wit.claims.get("nbf"), metadata.parameters.get("created")
        if type(not_before) is int and type(created) is int and created < not_before - self._leeway:
            # The WIT is covered, so it was there when this was signed. `iat` delays nothing (WIT-SVID §3.6).
            raise _violated(Reason.SIGNATURE_TOO_OLD, "the signature was created before its WIT was valid")
        nonce = metadata.parameters.get("nonce")  # required, but in the responses of one revision
        if isinstance(nonce, str):
            _check_nonce(nonce, self._settings)
        return need

    def requirements(self, algorithm: Algorithm) -> Requirements:
        """What RFC 9421 calls the requirements of the application (§3.2.1), for a WIT's key of this algorithm.

        Raises:
            Refused: `algorithm_not_allowed`.
        """
        requirements = self._by_algorithm.get(algorithm)
        if requirements is None:
            requirements = self._by_algorithm[algorithm] = self._make_requirements(algorithm)
        return requirements

    def _make_requirements(self, algorithm: Algorithm) -> Requirements:
        revision, settings, of_request = self._revision, self._settings, self._of_request
        if revision.algorithms is not None and algorithm not in revision.algorithms:
            detail = f"the revision {revision.name} does not use the WIT's algorithm"
            raise _violated(Reason.ALGORITHM_NOT_ALLOWED, detail)
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
