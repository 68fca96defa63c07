"""The metadata of a signature: its covered components and parameters, parsed and serialised (RFC 9421 §2.3, §4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, cast

import http_sf

from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig.components import ComponentIdentifier, check_distinct
from wimse.httpsig.limits import DEFAULT_LIMITS, Limits
from wimse.httpsig.message import Fields

__all__ = ["LabelledSignature", "SignatureInput", "parse_signatures"]

# The types of §2.3. `type()` decides, not isinstance(): a Boolean is no Integer here.
PARAMETER_TYPES: Final[Mapping[str, type]] = {
    "created": int,
    "expires": int,
    "nonce": str,
    "alg": str,
    "keyid": str,
    "tag": str,
}


# Not slotted: it caches its own serialisation.
@dataclass(frozen=True)
class SignatureInput:
    """What a signature covers, and its parameters, both in the order in which they are signed.

    Attributes:
        components: the covered components.
        parameters: name to value; int, str, bool, or another structured-field type for names not known here.
    """

    components: tuple[ComponentIdentifier, ...]
    parameters: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def build(cls, components: Iterable[ComponentIdentifier | str], parameters: Mapping[str, object]) -> SignatureInput:
        """Put together the metadata of a signature to be made.

        Args:
            components: identifiers, or their text as `ComponentIdentifier.parse` reads it.
            parameters: in the order to be signed.

        Raises:
            ConfigurationError: for a parameter of the wrong type, or one that a structured field cannot hold.
            Refused: for a malformed identifier, or one that is listed twice.
        """
        identifiers = tuple(
            each if isinstance(each, ComponentIdentifier) else ComponentIdentifier.parse(each) for each in components
        )
        made = cls(identifiers, dict(parameters))
        made.check_components()
        wrong = [
            name for name, value in parameters.items() if type(value) is not PARAMETER_TYPES.get(name, type(value))
        ]
        if wrong:
            raise ConfigurationError(f"the signature parameter {wrong[0]} has the wrong type")
        try:
            made.serialized.encode("ascii")
        except (ValueError, TypeError):
            raise ConfigurationError("a signature parameter cannot be written as a structured field") from None
        return made

    @cached_property
    def serialized(self) -> str:
        """The value of `@signature-params` and of the member of Signature-Input (§2.3)."""
        components = [(each.name, dict(each.parameters)) for each in self.components]
        # A List of this one Inner List is serialised as the Inner List itself.
        return str(http_sf.ser(cast("Any", [(components, dict(self.parameters))])))

    def check_components(self) -> None:
        """Refuse a list that names a component twice, in whatever order of parameters (§2, §2.5 step 2.0).

        Raises:
            Refused: `component_duplicated`.
        """
        check_distinct(self.components)

    def integer(self, name: str) -> int | None:
        """An Integer parameter, or None when it is absent."""
        value = self.parameters.get(name)
        return value if type(value) is int else None

    def text(self, name: str) -> str | None:
        """A String parameter, or None when it is absent."""
        value = self.parameters.get(name)
        return value if isinstance(value, str) else None

    def flag(self, name: str) -> bool:
        """A Boolean parameter; False when it is absent."""
        return self.parameters.get(name) is True


@dataclass(frozen=True, slots=True)
class LabelledSignature:
    """One signature of a message, not verified.

    Attributes:
        label: which means nothing (§7.2.5).
        input: what it says that it covers.
        value: the signature's bytes.
    """

    label: str
    input: SignatureInput
    value: bytes


def parse_signatures(
    fields: Fields, *, limits: Limits = DEFAULT_LIMITS, extension_types: Mapping[str, type] | None = None
) -> tuple[LabelledSignature, ...]:
    """Read all signatures of a message from Signature-Input and Signature (RFC 9421 §4.1, §4.2).

    Args:
        fields: of the message.
        limits: how much is read.
        extension_types: the types of further parameters that the application knows.

    Returns:
        The signatures, in the order of Signature-Input; empty when the message has neither field.

    Raises:
        Refused: `signature_field_malformed`; `signature_label_duplicated` and `parameter_duplicated` (structured
            fields would let the last one win); `signature_label_unpaired`; `parameter_type`;
            `field_too_large`, `too_many_signatures`, `too_many_components`, `too_many_parameters`.
    """
    inputs = _dictionary(fields, "signature-input", limits)
    values = _dictionary(fields, "signature", limits)
    if inputs.keys() != values.keys():  # §4: present in one field but not in the other is an error
        raise Refused(Reason.SIGNATURE_LABEL_UNPAIRED, "Signature-Input and Signature do not have the same labels")
    if len(inputs) > limits.max_signatures:
        raise Refused(Reason.TOO_MANY_SIGNATURES, f"the message has more than {limits.max_signatures} signatures")
    types = {**PARAMETER_TYPES, **(extension_types or {})}
    raw = fields.combined("signature") or ""
    return tuple(
        LabelledSignature(label, _signature_input(member, types, limits), _signature_value(values[label], raw))
        for label, member in inputs.items()
    )


def _dictionary(fields: Fields, name: str, limits: Limits) -> dict[str, Any]:
    text = fields.combined(name)
    if text is None:
        return {}
    if len(text) > limits.max_signature_field_bytes:
        raise Refused(Reason.FIELD_TOO_LARGE, f"{name} is longer than {limits.max_signature_field_bytes} bytes")
    try:
        parsed = http_sf.parse(text.encode("latin-1"), tltype="dictionary", on_duplicate_key=_refuse_duplicate)
    except http_sf.StructuredFieldError:
        raise Refused(Reason.SIGNATURE_FIELD_MALFORMED, f"{name} is not a Dictionary structured field") from None
    return cast("dict[str, Any]", parsed)


def _refuse_duplicate(_: str, kind: str) -> None:
    if kind == "dictionary":
        raise Refused(Reason.SIGNATURE_LABEL_DUPLICATED, "a label occurs twice")
    raise Refused(Reason.PARAMETER_DUPLICATED, "a parameter occurs twice")


def _signature_input(member: Any, types: Mapping[str, type], limits: Limits) -> SignatureInput:
    items, parameters = member
    if not isinstance(items, list):
        raise Refused(Reason.SIGNATURE_FIELD_MALFORMED, "a member of Signature-Input is not an Inner List")
    if len(items) > limits.max_components:
        raise Refused(Reason.TOO_MANY_COMPONENTS, f"a signature covers more than {limits.max_components} components")
    if max(len(parameters), *(len(each) for _, each in items), 0) > limits.max_parameters:
        raise Refused(
            Reason.TOO_MANY_PARAMETERS, f"there are more than {limits.max_parameters} parameters in one place"
        )
    for name, value in parameters.items():
        if name in types and type(value) is not types[name]:
            raise Refused(Reason.PARAMETER_TYPE, f"the signature parameter {name} has the wrong type")
    return SignatureInput(tuple(ComponentIdentifier.from_item(name, each) for name, each in items), parameters)


def _signature_value(member: Any, raw: str) -> bytes:
    value = member[0]
    if not isinstance(value, bytes):
        raise Refused(Reason.SIGNATURE_FIELD_MALFORMED, "a member of Signature is not a Byte Sequence")
    # The parser takes missing padding and trailing bits, as RFC 9651 §4.2.7 lets it. A signature has one spelling.
    if http_sf.ser(value) not in raw:
        raise Refused(Reason.SIGNATURE_FIELD_MALFORMED, "a member of Signature is not canonical base64")
    return value
