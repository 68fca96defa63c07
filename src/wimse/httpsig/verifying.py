"""Verifying a signature (RFC 9421 §3.2), with what the application requires of it (§3.2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from wimse.errors import ConfigurationError, Reason, Refused, Violation
from wimse.httpsig.base import signature_base
from wimse.httpsig.components import ComponentIdentifier
from wimse.httpsig.flow import Flow
from wimse.httpsig.limits import DEFAULT_LIMITS, Limits
from wimse.httpsig.message import Message, Request
from wimse.httpsig.parameters import LabelledSignature, SignatureInput, parse_signatures
from wimse.keys import Algorithm, PublicKey, SecretKey, VerificationKey
from wimse.keys.algorithms import algorithm_of_http_name

__all__ = ["NeedKey", "Requirements", "VerifiedSignature", "select_signature", "verify"]

MAX_LEEWAY: Final = timedelta(seconds=120)
_MADE_BY_VERIFICATION: Final = object()
_VERIFICATION_KEYS: Final = (PublicKey, SecretKey)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What an application asks of a signature. All violations are reported together.

    Attributes:
        label: the signature to verify, by label.
        tag: the signature to verify, by its tag; exactly one must have it.
        components: identifiers that must be covered, exactly these: ``content-digest;key=…`` is another one.
        components_if_present: identifiers that must be covered when the message (or with `req` the request)
            has the field.
        parameters: names that must be present.
        forbidden_parameters: names that must be absent.
        parameter_types: types of further parameters that the application knows.
        max_age: longest time since `created`; None does not look at age.
        max_lifetime: longest time from `created` to `expires`; None does not look at it.
        leeway: how far the two clocks may be apart. Default 30 s, at most 120 s.
        algorithms: those that are allowed; None allows each that is supported.

    Raises on construction:
        ConfigurationError: for a leeway that is negative or above 120 s.
    """

    label: str | None = None
    tag: str | None = None
    components: tuple[ComponentIdentifier, ...] = ()
    components_if_present: tuple[ComponentIdentifier, ...] = ()
    parameters: tuple[str, ...] = ()
    forbidden_parameters: tuple[str, ...] = ()
    parameter_types: Mapping[str, type] = field(default_factory=dict)
    max_age: timedelta | None = None
    max_lifetime: timedelta | None = None
    leeway: timedelta = timedelta(seconds=30)
    algorithms: frozenset[Algorithm] | None = None

    def __post_init__(self) -> None:
        if not timedelta(0) <= self.leeway <= MAX_LEEWAY:
            raise ConfigurationError(f"leeway must be between 0 and {MAX_LEEWAY.seconds} seconds")

    def check(self, metadata: SignatureInput, message: Message, now: int, request: Request | None = None) -> None:
        """Compare a signature's metadata with these requirements (§3.2 step 4).

        Args:
            metadata: components and parameters.
            message: the message that carries the signature.
            now: seconds since 1970.
            request: when the message is a response, the request that it answers.

        Raises:
            Refused: with every violation; its reason is that of the first one.
        """
        violations = [
            *self._coverage(metadata, message, request),
            *self._parameters(metadata),
            *self._times(metadata, now),
        ]
        if violations:
            raise Refused.for_violations(violations)

    def _coverage(self, metadata: SignatureInput, message: Message, request: Request | None) -> list[Violation]:
        covered = set(metadata.components)
        required = list(self.components)
        for identifier in self.components_if_present:
            source = request if identifier.of_request else message
            if source is not None and identifier.name in source.fields:
                required.append(identifier)
        return [
            Violation(Reason.COMPONENT_NOT_COVERED, f"{identifier} is not covered")
            for identifier in required
            if identifier not in covered
        ]

    def _parameters(self, metadata: SignatureInput) -> list[Violation]:
        missing = [
            Violation(Reason.PARAMETER_MISSING, f"the parameter {name} is missing")
            for name in self.parameters
            if name not in metadata.parameters
        ]
        forbidden = [
            Violation(Reason.PARAMETER_FORBIDDEN, f"the parameter {name} must not be used")
            for name in self.forbidden_parameters
            if name in metadata.parameters
        ]
        return missing + forbidden

    def _times(self, metadata: SignatureInput, now: int) -> list[Violation]:
        # Plain integers throughout: a `created` of fifteen digits is no date and must not become an exception.
        created, expires = metadata.integer("created"), metadata.integer("expires")
        leeway, found = int(self.leeway.total_seconds()), []
        if expires is not None and now >= expires + leeway:
            found.append(Violation(Reason.SIGNATURE_EXPIRED, "the signature has expired"))
        if created is not None and created > now + leeway:
            found.append(Violation(Reason.SIGNATURE_NOT_YET_VALID, "the signature was created in the future"))
        if created is not None and expires is not None and expires <= created:
            found.append(Violation(Reason.SIGNATURE_LIFETIME, "the signature expires before it was created"))
        if self.max_age is not None:
            if created is None:
                found.append(Violation(Reason.PARAMETER_MISSING, "the parameter created is missing"))
            elif now - created > int(self.max_age.total_seconds()) + leeway:
                found.append(Violation(Reason.SIGNATURE_TOO_OLD, "the signature is older than is accepted"))
        if self.max_lifetime is not None and created is not None and expires is not None:
            longest = int(self.max_lifetime.total_seconds())
            if expires - created > longest:
                found.append(Violation(Reason.SIGNATURE_LIFETIME, f"the signature lives longer than {longest} seconds"))
        return found


@dataclass(frozen=True, slots=True)
class NeedKey:
    """What `verify` yields: the key of this signature is needed. The answer is a `PublicKey`, or a `SecretKey`.

    Attributes:
        signature: whose key.
        message: the message that carries it.
    """

    signature: LabelledSignature
    message: Message


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """A signature that was verified. Only `verify` makes one.

    Attributes:
        label: its label.
        key: the key that verified it.
        components: what it covers.
        covered: each covered component and its VALUE: what was signed, for an application to use.
        parameters: its parameters.
    """

    label: str
    key: VerificationKey
    components: tuple[ComponentIdentifier, ...]
    covered: Mapping[str, str] = field(repr=False)
    parameters: Mapping[str, object] = field(repr=False)
    # Not kept: what is kept could be handed on, and `dataclasses.replace` would.
    _made_by: InitVar[object] = None

    def __post_init__(self, _made_by: object) -> None:
        if _made_by is not _MADE_BY_VERIFICATION:
            raise TypeError("a VerifiedSignature is made by verify only")


def select_signature(signatures: tuple[LabelledSignature, ...], requirements: Requirements) -> LabelledSignature:
    """Determine which signature to verify (§3.2 step 1.1).

    Raises:
        Refused: `signature_missing` when none fits; `signature_ambiguous` when several do.
    """
    fitting = [
        each
        for each in signatures
        if (requirements.label is None or each.label == requirements.label)
        and (requirements.tag is None or each.input.text("tag") == requirements.tag)
    ]
    if not fitting:
        raise Refused(Reason.SIGNATURE_MISSING, "the message has no signature that fits")
    if len(fitting) > 1:
        raise Refused(Reason.SIGNATURE_AMBIGUOUS, "the message has more than one signature that fits")
    return fitting[0]


def verify(
    message: Message,
    requirements: Requirements,
    *,
    now: int,
    request: Request | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Flow[VerifiedSignature]:
    """Verify one signature of a message. A generator: run it with `flow.run` or `flow.run_async`.

    It yields one `NeedKey` and is sent a `PublicKey` or a `SecretKey`. At most one signature is checked
    cryptographically.

    Args:
        message: the message.
        requirements: which signature, and what it must be like.
        now: seconds since 1970.
        request: when the message is a response, the request that it answers.
        limits: how much is read.

    Returns:
        The verified signature.

    Raises:
        Refused: with the reason of the first step of §3.2 that fails.
    """
    # Steps 1 to 3
    found = parse_signatures(message.fields, limits=limits, extension_types=requirements.parameter_types)
    chosen = select_signature(found, requirements)
    requirements.check(chosen.input, message, now, request)  # step 4
    key = yield NeedKey(chosen, message)  # step 5
    # A secret verifies only where whoever knows the keys has answered with one (§7.3.6): no public key turns into one.
    if not isinstance(key, _VERIFICATION_KEYS):
        raise Refused(Reason.KEY_UNKNOWN, "no key is known for the signature")
    _check_algorithm(chosen.input, key, requirements)  # step 6
    base = signature_base(chosen.input, message, request)  # step 7
    key.verify(chosen.value, base.data)  # step 8
    return VerifiedSignature(
        label=chosen.label,
        key=key,
        components=chosen.input.components,
        covered=MappingProxyType(base.covered),
        parameters=MappingProxyType(dict(chosen.input.parameters)),
        _made_by=_MADE_BY_VERIFICATION,
    )


def _check_algorithm(metadata: SignatureInput, key: VerificationKey, requirements: Requirements) -> None:
    if requirements.algorithms is not None and key.algorithm not in requirements.algorithms:
        raise Refused(Reason.ALGORITHM_NOT_ALLOWED, "the key's algorithm is not among those allowed")
    if "alg" in metadata.parameters and algorithm_of_http_name(metadata.parameters["alg"]) is not key.algorithm:
        raise Refused(Reason.ALGORITHM_MISMATCH, "the parameter alg is not the algorithm of the key")
