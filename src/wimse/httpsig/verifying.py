"""Verifying a signature (RFC 9421 §3.2), with what the application requires of it (§3.2.1)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from inspect import isawaitable
from types import MappingProxyType
from typing import Any, Final

from wimse.errors import ConfigurationError, Reason, Refused, Unavailable, WimseError
from wimse.httpsig.base import base_parts
from wimse.httpsig.components import ComponentIdentifier
from wimse.httpsig.digest import check_content_digest
from wimse.httpsig.field_types import DEFAULT_FIELD_TYPES, StructuredFieldTypes
from wimse.httpsig.flow import Flow, run_async
from wimse.httpsig.limits import DEFAULT_LIMITS, Limits
from wimse.httpsig.message import Message, Request
from wimse.httpsig.needs import AsyncKeyResolver, KeyResolver, NeedKey
from wimse.httpsig.parameters import SignatureInput
from wimse.httpsig.requirements import CONTENT_DIGEST_COMPONENT, Requirements
from wimse.httpsig.selection import select_signature
from wimse.httpsig.signatures import LabelledSignature, signatures_of
from wimse.keys import PublicKey, SecretKey, VerificationKey
from wimse.keys.algorithms import algorithm_of_http_name

__all__ = [
    "VerifiedSignature",
    "before_the_key",
    "verify",
    "verify_message",
    "verify_message_async",
    "with_the_key",
]

_VERIFICATION_KEYS: Final = (PublicKey, SecretKey)


# Not slotted: it keeps what it works out.
@dataclass(frozen=True, init=False)
class VerifiedSignature:
    """A signature that was verified. Only `verify` makes one.

    What is not in here was not signed: an application that takes method, path, fields and content from here and not
    from the message uses only what was (§7.2.1).

    Attributes:
        label: its label, which was not signed.
        key: the key that verified it; it says the algorithm.
        components: what it covers.
        parameters: its parameters.
        content: the content, when it was given to `verify` and is covered through Content-Digest; else None.
    """

    label: str
    key: VerificationKey
    components: tuple[ComponentIdentifier, ...]
    parameters: Mapping[str, object] = field(repr=False)
    content: bytes | None = field(repr=False)
    _names: Sequence[str] = field(repr=False)
    _values: Sequence[str] = field(repr=False)

    def __init__(self, *_: object, **__: object) -> None:
        """Refuse: neither a caller nor `dataclasses.replace` makes one.

        Raises:
            TypeError: always.
        """
        raise TypeError("a VerifiedSignature is made by verify only")

    @cached_property
    def covered(self) -> Mapping[str, str]:
        """Each covered component and its VALUE: what was signed, for an application to use."""
        return MappingProxyType(dict(zip(self._names, self._values, strict=True)))

    def value_of(self, component: ComponentIdentifier | str) -> str:
        """The signed value of a component, which must be covered.

        Args:
            component: an identifier, or its text as `ComponentIdentifier.parse` reads it; the order of its
                parameters does not matter.

        Raises:
            Refused: `component_not_covered`.
        """
        identifier = component if isinstance(component, ComponentIdentifier) else ComponentIdentifier.parse(component)
        for each in self.components:
            if each == identifier:
                return self.covered[str(each)]
        raise Refused(Reason.COMPONENT_NOT_COVERED, f"{identifier} is not covered")


def verify(
    message: Message,
    requirements: Requirements,
    *,
    now: int,
    request: Request | None = None,
    content: bytes | None = None,
    limits: Limits = DEFAULT_LIMITS,
    field_types: StructuredFieldTypes = DEFAULT_FIELD_TYPES,
) -> Flow[VerifiedSignature]:
    """Verify one signature of a message. A generator: run it with `flow.run` or `flow.run_async`.

    It yields one `NeedKey` and is sent a `VerificationKey`. At most one signature is checked cryptographically, after
    everything that costs less; nothing is ever taken from a signature base made elsewhere (§7.4.2).

    Content is covered when exactly ``content-digest`` is. Then it must be the content that the field says, which is
    checked before the key is asked for; else it is neither checked nor handed on. `Requirements.cover_content` refuses
    a message whose content is not covered.

    Args:
        message: the message.
        requirements: which signature, and what it must be like.
        now: seconds since 1970.
        request: when the message is a response, the request that it answers.
        content: the message's content as received, before any content coding is undone; None when it is not at hand
            or somebody else checks its digest.
        limits: how much is read.
        field_types: the structured fields that are known, for `sf` and `key`.

    Returns:
        The verified signature.

    Raises:
        Refused: with the reason of the first step of §3.2 that fails, or a reason of the class `digest`.
        Unavailable: `trust_unavailable` when the key cannot be had now.
        ConfigurationError: when the requirements ask for the content and it is not given.
    """
    need = before_the_key(message, requirements, now, request, content=content, limits=limits)
    key = yield from _key_of(need)  # step 5
    return with_the_key(need, key, requirements, limits, field_types)


def verify_message(
    message: Message,
    requirements: Requirements,
    resolver: KeyResolver,
    *,
    now: int,
    request: Request | None = None,
    content: bytes | None = None,
    limits: Limits = DEFAULT_LIMITS,
    field_types: StructuredFieldTypes = DEFAULT_FIELD_TYPES,
) -> VerifiedSignature:
    """Verify one signature of a message with a key that `resolver` finds at once.

    Arguments, result and errors as `verify`; what `resolver` may raise stands with `KeyResolver`.

    Raises:
        ConfigurationError: also for a resolver whose answer has to be awaited.
    """
    # The steps of `verify` without its generator, which asks one question: it and its driver would be 3 % of a
    # verification with P-256.
    need = before_the_key(message, requirements, now, request, content=content, limits=limits)
    return with_the_key(need, _key_at_once(resolver, need), requirements, limits, field_types)


async def verify_message_async(
    message: Message,
    requirements: Requirements,
    resolver: AsyncKeyResolver,
    *,
    now: int,
    request: Request | None = None,
    content: bytes | None = None,
    limits: Limits = DEFAULT_LIMITS,
    field_types: StructuredFieldTypes = DEFAULT_FIELD_TYPES,
) -> VerifiedSignature:
    """The same with a resolver whose answer may have to be awaited; arguments, result and errors as `verify`."""
    flow = verify(
        message, requirements, now=now, request=request, content=content, limits=limits, field_types=field_types
    )
    return await run_async(flow, resolver)


def before_the_key(
    message: Message,
    requirements: Requirements,
    now: int,
    request: Request | None,
    *,
    content: bytes | None,
    limits: Limits,
) -> NeedKey:
    """Do the steps of `verify` that come before the key, for whoever has it at hand; arguments as there."""
    # Steps 1 to 3
    only = requirements.forms.read(message.fields, limits)
    found = (only,) if only else signatures_of(message.fields, requirements.known_types, limits)
    chosen = select_signature(found, requirements)
    requirements.check(chosen.input, message, now, request, content=content)  # step 4
    covered_content = None if content is None or not chosen.input.components.has(CONTENT_DIGEST_COMPONENT) else content
    if covered_content is not None:  # §7.2.8: the signature alone does not say that the content is its own
        check_content_digest(message.fields, covered_content, limits=limits)
    return NeedKey(chosen, message, request, covered_content)


def with_the_key(
    need: NeedKey,
    key: VerificationKey,
    requirements: Requirements,
    limits: Limits,
    field_types: StructuredFieldTypes = DEFAULT_FIELD_TYPES,
) -> VerifiedSignature:
    """Do the steps of `verify` that come after the key.

    Args:
        need: what `before_the_key` returned for these requirements and limits.
        key: the key.
        requirements: as there.
        limits: as there.
        field_types: the structured fields that are known, for `sf` and `key`.
    """
    chosen = need.signature
    _check_algorithm(chosen.input, key, requirements)  # step 6
    components, _, metadata = chosen.input
    data, names, values = base_parts(components, metadata, need.message, need.request, field_types)  # step 7
    key.verify(chosen.value, data)  # step 8
    requirements.forms.learn(chosen, limits)
    return _verified(chosen, key, names, values, need.content)


def _verified(
    signature: LabelledSignature,
    key: VerificationKey,
    names: Sequence[str],
    values: Sequence[str],
    content: bytes | None,
) -> VerifiedSignature:
    made = object.__new__(VerifiedSignature)
    label, (components, parameters, _), _ = signature
    made.__dict__.update(
        label=label,
        key=key,
        components=components,
        parameters=MappingProxyType(parameters),
        content=content,
        _names=names,
        _values=values,
    )
    return made


def _key_of(need: NeedKey) -> Flow[VerificationKey]:
    try:
        key = yield need
    except WimseError:
        raise
    except Exception as error:  # whatever it is: the resolver is not ours
        raise _translated(error) from error
    return _checked_key(key)


def _key_at_once(resolver: Callable[[NeedKey], Any], need: NeedKey) -> VerificationKey:
    try:
        reply = resolver(need)
    except WimseError:
        raise
    except Exception as error:  # whatever it is: the resolver is not ours
        raise _translated(error) from error
    if not isinstance(reply, _VERIFICATION_KEYS) and isawaitable(reply):
        if isinstance(reply, Coroutine):
            reply.close()
        raise ConfigurationError("the key resolver is asynchronous: use verify_message_async")
    return _checked_key(reply)


def _translated(error: Exception) -> WimseError:
    # A port translates: what a resolver raises of its own becomes one of the documented errors.
    if isinstance(error, LookupError | ValueError):
        return Refused(Reason.KEY_UNKNOWN, "the key resolver finds no key for the signature")
    return Unavailable(Reason.TRUST_UNAVAILABLE, "the key resolver failed")


def _checked_key(key: object) -> VerificationKey:
    # A secret verifies only where whoever knows the keys has answered with one (§7.3.6): no public key turns into one.
    if not isinstance(key, _VERIFICATION_KEYS):
        raise Refused(Reason.KEY_UNKNOWN, "no key is known for the signature")
    return key


def _check_algorithm(metadata: SignatureInput, key: VerificationKey, requirements: Requirements) -> None:
    if requirements.algorithms is not None and key.algorithm not in requirements.algorithms:
        raise Refused(Reason.ALGORITHM_NOT_ALLOWED, "the key's algorithm is not among those allowed")
    if "alg" in metadata.parameters and algorithm_of_http_name(metadata.parameters["alg"]) is not key.algorithm:
        raise Refused(Reason.ALGORITHM_MISMATCH, "the parameter alg is not the algorithm of the key")
