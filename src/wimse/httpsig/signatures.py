"""The signatures of a message, each under its label, read from Signature-Input and Signature (RFC 9421 §4).

What concerns one label is kept with it: a member that is well-formed as a structured field and wrong as a signature is
set aside with the reason, and matters only to whoever chooses it (`selection`). Nobody can take a good signature down
by adding a bad one under another label (§7.2.6).

What concerns the whole is refused as a whole:

- A field that is no Dictionary. One member with a syntax error takes all down, as RFC 9651 §4.2 demands ("field
  specifications that use Structured Fields are not allowed to loosen this requirement"): where the broken member ends
  is a guess, an unclosed quote swallows the members that follow it, and two readers that guess differently see two
  different signatures. Whoever can add such bytes can as well remove the signature.
- A label that occurs twice. Structured fields let the last one win; a second reader may take the first.
- Limits of the whole: the size of a field, the number of labels, the components and parameters of all labels together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self, cast

import http_sf

from wimse.errors import Reason, Refused
from wimse.httpsig.components import ComponentIdentifier
from wimse.httpsig.limits import DEFAULT_LIMITS, Limits
from wimse.httpsig.message import Fields
from wimse.httpsig.parameters import PARAMETER_TYPES, SignatureInput, known_types
from wimse.httpsig.scanner import scan_signatures

__all__ = ["LabelledSignature", "MalformedSignature", "ParsedSignatures", "parse_signatures"]

# What separates members, begins items and begins parameters, and the two kinds of quoted text that may hold such
# characters. A Display String has no escapes; an open quote runs to the end, so that each character is looked at once.
_MARKS: Final = re.compile(
    r'%"[^"]*+"?|"[^"\\]*+(?:\\.[^"\\]*+)*+"?|,[\x20\t]*+|;\x20*+|[(\x20](?=[^\x20)])', re.DOTALL
)


class LabelledSignature(NamedTuple):
    """One signature of a message, not verified.

    Attributes:
        label: which means nothing (§7.2.5).
        input: what it says that it covers.
        value: the signature's bytes.
    """

    label: str
    input: SignatureInput
    value: bytes


@dataclass(frozen=True, slots=True)
class MalformedSignature:
    """A label under which no signature can be read.

    Attributes:
        label: the label.
        reason: why.
        detail: one line that explains it.
    """

    label: str
    reason: Reason
    detail: str
    _parameters: Mapping[str, object] | None = field(default=None, repr=False)
    _text: str | None = field(default=None, repr=False)

    def refusal(self) -> Refused:
        """The error that choosing this label raises."""
        return Refused(self.reason, self.detail)

    def may_have(self, name: str, value: str) -> bool | None:
        """Whether somebody could read the parameter `name` with this value here.

        Returns:
            True when a reader could; False when none could; None when that cannot be said, because the label stands
            in Signature only, or because the parameter is no String and does not look like this one either.
        """
        if self._parameters is None:
            return None
        if self.reason is Reason.PARAMETER_DUPLICATED:
            # One reader takes the first, another the last. Text that stands nowhere in the member is neither.
            return value.replace("\\", "\\\\").replace('"', '\\"') in (self._text or "")
        found = self._parameters.get(name)
        if found is None or isinstance(found, str):
            return found == value
        text = found.decode("latin-1") if isinstance(found, bytes) else str(found)
        return True if text == value else None


_NOTHING_MALFORMED: Final[Mapping[str, MalformedSignature]] = MappingProxyType({})


class ParsedSignatures(tuple[LabelledSignature, ...]):  # noqa: SLOT001 - a tuple has no slots but empty ones
    """The well-formed signatures of a message, in the order of Signature-Input; a tuple.

    Attributes:
        malformed: the labels under which none can be read, in their order, each with the reason.
    """

    malformed: Mapping[str, MalformedSignature] = _NOTHING_MALFORMED

    def __new__(
        cls, signatures: Iterable[LabelledSignature] = (), malformed: Iterable[MalformedSignature] = ()
    ) -> Self:
        """Hold both kinds."""
        made = super().__new__(cls, signatures)
        if by_label := {each.label: each for each in malformed}:
            made.malformed = MappingProxyType(by_label)
        return made

    @classmethod
    def well_formed(cls, signatures: list[tuple[str, SignatureInput, bytes]]) -> Self:
        """Hold label, metadata and value of signatures that all are as they should be."""
        return tuple.__new__(cls, [LabelledSignature(*each) for each in signatures])

    @property
    def labels(self) -> frozenset[str]:
        """Every label of the message, of both kinds: a new signature needs another one."""
        return frozenset((*(each.label for each in self), *self.malformed))


class _Member(NamedTuple):
    """A member of one of the two Dictionaries: its parsed value and parameters, its text, and what is wrong."""

    value: Any
    parameters: Mapping[str, object]
    text: str
    duplicated: bool


def parse_signatures(
    fields: Fields, *, limits: Limits = DEFAULT_LIMITS, extension_types: Mapping[str, type] | None = None
) -> ParsedSignatures:
    """Read all signatures of a message from Signature-Input and Signature (RFC 9421 §4.1, §4.2).

    Args:
        fields: of the message.
        limits: how much is read.
        extension_types: the types of further parameters that the application knows; those of §2.3 stay as they are.

    Returns:
        The signatures, and beside them the labels that are malformed: `signature_field_malformed` for a member that
        is no Inner List of Strings or no canonical Byte Sequence; `signature_label_unpaired`;
        `parameter_duplicated` and `parameter_type`; `component_unknown` and `component_parameter_unknown`;
        `too_many_components` and `too_many_parameters` of one label.

    Raises:
        Refused: `signature_field_malformed` for a field that is no Dictionary; `signature_label_duplicated`;
            `field_too_large`; `too_many_signatures`; `too_many_components` and `too_many_parameters` for more than
            all labels together may have.
    """
    return signatures_of(fields, known_types(extension_types) if extension_types else PARAMETER_TYPES, limits)


def signatures_of(fields: Fields, types: Mapping[str, type], limits: Limits) -> ParsedSignatures:
    """The same with the types of all parameters, as `known_types` puts them together; errors as `parse_signatures`."""
    written_inputs, written_values = fields.by_name.get("signature-input"), fields.by_name.get("signature")
    if written_inputs is not None and written_values is not None:
        scanned = scan_signatures(written_inputs, written_values, types, limits)
        if scanned is not None:
            return ParsedSignatures.well_formed(scanned)
    inputs = _dictionary(fields, "signature-input", limits)
    values = _dictionary(fields, "signature", limits)
    labels = list(dict.fromkeys((*inputs, *values)))
    if len(labels) > limits.max_signatures:
        raise _too_many_signatures(limits)
    good: list[LabelledSignature] = []
    malformed: list[MalformedSignature] = []
    for label in labels:
        member = inputs.get(label)
        try:
            good.append(_signature(label, member, values.get(label), types, limits))
        except Refused as refused:
            parameters, text = (member.parameters, member.text) if member else (None, None)
            malformed.append(MalformedSignature(label, refused.reason, refused.detail, parameters, text))
    return ParsedSignatures(good, malformed)


def _signature(
    label: str, member: _Member | None, value: _Member | None, types: Mapping[str, type], limits: Limits
) -> LabelledSignature:
    # First, because what occurs twice decides how the parameters are read (`may_have`).
    if any(each is not None and each.duplicated for each in (member, value)):
        raise Refused(Reason.PARAMETER_DUPLICATED, "a parameter occurs twice")
    if member is None or value is None:  # §4: present in one field but not in the other is an error
        field_without = "Signature-Input" if member is None else "Signature"
        raise Refused(Reason.SIGNATURE_LABEL_UNPAIRED, f"a label is missing in {field_without}")
    return LabelledSignature(label, _signature_input(member, types, limits), _signature_value(value))


def _dictionary(fields: Fields, name: str, limits: Limits) -> dict[str, _Member]:
    text = fields.combined(name)
    if text is None:
        return {}
    if len(text) > limits.max_signature_field_bytes:
        raise Refused(Reason.FIELD_TOO_LARGE, f"{name} is longer than {limits.max_signature_field_bytes} bytes")
    pieces = _members(text, limits)
    duplicates: list[str] = []

    def note(_: str, kind: str) -> None:
        if kind == "dictionary":
            raise Refused(Reason.SIGNATURE_LABEL_DUPLICATED, "a label occurs twice")
        duplicates.append(kind)

    try:
        parsed = cast(
            "dict[str, Any]", http_sf.parse(text.encode("latin-1"), tltype="dictionary", on_duplicate_key=note)
        )
    except http_sf.StructuredFieldError:
        raise Refused(Reason.SIGNATURE_FIELD_MALFORMED, f"{name} is not a Dictionary structured field") from None
    return {
        label: _Member(value, parameters, piece, bool(duplicates) and _has_duplicate(piece))
        for (label, (value, parameters)), piece in zip(parsed.items(), pieces, strict=False)
    }


def _members(text: str, limits: Limits) -> list[str]:
    # The text of each member, and counts, before anything is parsed. In a Dictionary a comma outside of quotes stands
    # between two members and nowhere else; in what is no Dictionary the cuts mean nothing, and the parser refuses.
    pieces: list[str] = []
    begin = items = parameters = 0
    for mark in _MARKS.finditer(text):
        kind = mark[0][0]
        if kind == ",":
            pieces.append(text[begin : mark.start()].strip(" \t"))
            begin = mark.end()
        elif kind == ";":
            parameters += 1
        elif kind in "( ":
            items += 1
    pieces.append(text[begin:].strip(" \t"))
    if len(pieces) > limits.max_signatures:
        raise _too_many_signatures(limits)
    most = limits.max_signatures * limits.max_components
    if items > most:
        raise Refused(Reason.TOO_MANY_COMPONENTS, f"the signatures cover more than {most} components together")
    if parameters > limits.max_parameters * (items + len(pieces)):
        raise Refused(
            Reason.TOO_MANY_PARAMETERS, f"there are more than {limits.max_parameters} parameters in one place"
        )
    return pieces


def _has_duplicate(piece: str) -> bool:
    found: list[str] = []
    http_sf.parse(piece.encode("latin-1"), tltype="dictionary", on_duplicate_key=lambda _, kind: found.append(kind))
    return bool(found)


def _too_many_signatures(limits: Limits) -> Refused:
    return Refused(Reason.TOO_MANY_SIGNATURES, f"the message has more than {limits.max_signatures} signatures")


def _signature_input(member: _Member, types: Mapping[str, type], limits: Limits) -> SignatureInput:
    items, parameters = member.value, member.parameters
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


def _signature_value(member: _Member) -> bytes:
    if not isinstance(member.value, bytes):
        raise Refused(Reason.SIGNATURE_FIELD_MALFORMED, "a member of Signature is not a Byte Sequence")
    # The parser takes missing padding and trailing bits, as RFC 9651 §4.2.7 lets it. A signature has one spelling.
    if not member.text.partition("=")[2].startswith(str(http_sf.ser(member.value))):
        raise Refused(Reason.SIGNATURE_FIELD_MALFORMED, "a member of Signature is not canonical base64")
    return member.value
