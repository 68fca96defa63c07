"""Accept-Signature (RFC 9421 §5): asking for signatures, and reading what is asked.

In a request the field asks for signatures of its response; in a response, of the client's next request. What is asked
comes from the peer: `answering` decides whether to sign it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig.components import ComponentIdentifier, check_applicable, resolver_for
from wimse.httpsig.field_types import DEFAULT_FIELD_TYPES, StructuredFieldTypes
from wimse.httpsig.limits import DEFAULT_LIMITS, Limits
from wimse.httpsig.message import AnyMessage, Message, Request, Response, with_fields
from wimse.httpsig.parameters import SignatureInput
from wimse.httpsig.structured import parse_structured, refuse_duplicates, serialize_structured

__all__ = ["ACCEPT_SIGNATURE", "SignatureRequest", "parse_accept_signature", "request_signatures"]

ACCEPT_SIGNATURE: Final = "accept-signature"

# §5.1. created and expires "have no associated value": the Boolean true. `type()` decides: no Integer passes for one.
_PARAMETER_TYPES: Final[Mapping[str, type]] = {
    "created": bool,
    "expires": bool,
    "nonce": str,
    "alg": str,
    "keyid": str,
    "tag": str,
}
_MALFORMED: Final = Reason.SIGNATURE_FIELD_MALFORMED
_TWICE: Final = refuse_duplicates(Reason.SIGNATURE_LABEL_DUPLICATED, Reason.PARAMETER_DUPLICATED, ACCEPT_SIGNATURE)


@dataclass(frozen=True)
class SignatureRequest:
    """A signature that is asked for.

    Attributes:
        label: of the signature to be made.
        wanted: the exact components, and the parameters: True for `created` and `expires`, which the signer chooses;
            a text for `nonce`, `alg`, `keyid`, `tag`; any structured type for others.
    """

    label: str
    wanted: SignatureInput

    @classmethod
    def build(
        cls,
        components: Iterable[ComponentIdentifier | str],
        *,
        label: str = "sig1",
        created: bool = True,
        expires: bool = False,
        nonce: str | None = None,
        alg: str | None = None,
        keyid: str | None = None,
        tag: str | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> SignatureRequest:
        """Put together what is to be asked of a peer.

        Args:
            components: identifiers, or their text as `ComponentIdentifier.parse` reads it.
            label: the signature's name: lower-case letters, digits, ``_ - . *``.
            created: ask for a creation time.
            expires: ask for an expiration time.
            nonce: the nonce that the signature is to have.
            alg: the algorithm, by its name in the HTTP Signature Algorithms registry.
            keyid: the key.
            tag: the tag.
            parameters: further ones.

        Raises:
            ConfigurationError: for what a structured field cannot hold, a wrong type, or a parameter given twice.
            Refused: for a malformed identifier, or one that is listed twice.
        """
        identifiers = tuple(
            each if isinstance(each, ComponentIdentifier) else ComponentIdentifier.parse(each) for each in components
        )
        own = {
            "created": created or None,
            "expires": expires or None,
            "keyid": keyid,
            "alg": alg,
            "nonce": nonce,
            "tag": tag,
        }
        if parameters and not own.keys().isdisjoint(parameters):
            raise ConfigurationError("a parameter of a signature request has an argument of its own")
        chosen = {name: value for name, value in own.items() if value is not None} | dict(parameters or {})
        if any(type(value) is not _PARAMETER_TYPES.get(name, type(value)) for name, value in chosen.items()):
            raise ConfigurationError("a parameter of a signature request has the wrong type")
        try:
            made = cls(label, SignatureInput(identifiers, chosen))
            serialize_structured({label: True})
        except (ConfigurationError, ValueError, TypeError):
            raise ConfigurationError("a signature request cannot be written as a structured field") from None
        made.wanted.check_components()
        return made

    @property
    def components(self) -> tuple[ComponentIdentifier, ...]:
        """The components to be covered, exactly these."""
        return self.wanted.components

    @property
    def parameters(self) -> Mapping[str, object]:
        """The parameters that are asked for."""
        return self.wanted.parameters

    @property
    def serialized(self) -> str:
        """The member of Accept-Signature, without its label."""
        return self.wanted.serialized

    def check_target(
        self, target: type[Request | Response], field_types: StructuredFieldTypes = DEFAULT_FIELD_TYPES
    ) -> None:
        """Refuse components that do not apply to the message that is to be signed (§5, §5.2 step 2.3).

        Args:
            target: the kind of that message.
            field_types: the structured fields that are known, for `sf` and `key`.

        Raises:
            Refused: `component_not_applicable`, and as `resolver_for`.
        """
        for identifier in self.components:
            check_applicable(identifier, target)
            resolver_for(identifier, field_types)


def _target_of(carrier: Message) -> type[Request | Response]:
    # §5: a request asks for its response's signature, a response for that of the client's next request
    return Response if isinstance(carrier, Request) else Request


def request_signatures(
    message: AnyMessage,
    wanted: Iterable[SignatureRequest],
    *,
    field_types: StructuredFieldTypes = DEFAULT_FIELD_TYPES,
) -> AnyMessage:
    """Ask for signatures: the message with one Accept-Signature line more.

    A response to a request that asks should not be cached, or should have a Vary that lists Accept-Signature (§5).

    Args:
        message: a request, which asks for a signed response; or a response, for a signed next request.
        wanted: at least one, each with a label of its own.
        field_types: the structured fields that are known, for `sf` and `key`.

    Raises:
        ConfigurationError: for nothing asked.
        Refused: `signature_label_duplicated` for a label that occurs twice, also with what the message asks already;
            and as `SignatureRequest.check_target`.
    """
    members = list(wanted)
    if not members:
        raise ConfigurationError("an Accept-Signature asks for at least one signature")
    labels = {each.label for each in parse_accept_signature(message, field_types=field_types)}
    for each in members:
        each.check_target(_target_of(message), field_types)
        if each.label in labels:
            raise Refused(Reason.SIGNATURE_LABEL_DUPLICATED, "a label is asked for twice")
        labels.add(each.label)
    line = ", ".join(f"{each.label}={each.serialized}" for each in members)
    return with_fields(message, message.fields.adding(("Accept-Signature", line)))


def parse_accept_signature(
    message: Message,
    *,
    limits: Limits = DEFAULT_LIMITS,
    extension_types: Mapping[str, type] | None = None,
    field_types: StructuredFieldTypes = DEFAULT_FIELD_TYPES,
) -> tuple[SignatureRequest, ...]:
    """Read the signatures that a message asks for (§5.2 steps 1 to 2.3).

    Args:
        message: that carries the field. Its kind decides what the components must apply to: the response for a
            request, the client's next request for a response.
        limits: how much is read: those of signatures.
        extension_types: the types of further parameters that the application knows.
        field_types: the structured fields that are known, for `sf` and `key`.

    Returns:
        What is asked, in order; empty when the message has no such field.

    Raises:
        Refused: `signature_field_malformed`, `signature_label_duplicated`, `parameter_duplicated`, `parameter_type`,
            `component_duplicated`, `component_not_applicable`, and as `ComponentIdentifier.from_item` and
            `resolver_for`; `field_too_large`, `too_many_signatures`, `too_many_components`, `too_many_parameters`.
            One bad member refuses all: the field is one statement of the peer.
    """
    text = message.fields.combined(ACCEPT_SIGNATURE)
    if text is None:
        return ()
    if len(text) > limits.max_signature_field_bytes:
        raise Refused(
            Reason.FIELD_TOO_LARGE, f"{ACCEPT_SIGNATURE} is longer than {limits.max_signature_field_bytes} bytes"
        )
    members: dict[str, Any] = parse_structured(
        text, "dictionary", malformed=_MALFORMED, what=ACCEPT_SIGNATURE, on_duplicate=_TWICE
    )
    if len(members) > limits.max_signatures:
        raise Refused(Reason.TOO_MANY_SIGNATURES, f"more than {limits.max_signatures} signatures are asked for")
    types = {**(extension_types or {}), **_PARAMETER_TYPES}
    asked = tuple(SignatureRequest(label, _wanted(member, types, limits)) for label, member in members.items())
    for each in asked:
        each.check_target(_target_of(message), field_types)
    return asked


def _wanted(member: Any, types: Mapping[str, type], limits: Limits) -> SignatureInput:
    items, parameters = member
    if not isinstance(items, list):
        raise Refused(_MALFORMED, f"a member of {ACCEPT_SIGNATURE} is not an Inner List")
    if len(items) > limits.max_components:
        raise Refused(Reason.TOO_MANY_COMPONENTS, f"more than {limits.max_components} components are asked for")
    if max([len(parameters), *(len(each) for _, each in items)]) > limits.max_parameters:
        raise Refused(
            Reason.TOO_MANY_PARAMETERS, f"there are more than {limits.max_parameters} parameters in one place"
        )
    for name, value in parameters.items():
        if name in types and (type(value) is not types[name] or (name in ("created", "expires") and value is not True)):
            raise Refused(Reason.PARAMETER_TYPE, f"the parameter {name} that is asked for has the wrong type")
    wanted = SignatureInput(tuple(ComponentIdentifier.from_item(name, each) for name, each in items), parameters)
    wanted.check_components()
    return wanted
