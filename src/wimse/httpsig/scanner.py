"""A fast reader of Signature-Input and Signature in canonical form; all else is for the structured-field parser.

Signers write these fields in the one way in which RFC 9651 serialises them. Such fields are read here with a few
regular expressions, in one pass. Whatever deviates, be it white space, an escape, a number with a leading zero, an
unusual type, a duplicate, a limit that is exceeded, is given back unread (None), and the parser of structured fields
decides. So this reader never refuses, and what it reads is what the parser would have read, which tests hold it to.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Final

from wimse.httpsig.coverage import read_components
from wimse.httpsig.limits import Limits
from wimse.httpsig.parameters import SignatureInput

__all__ = ["INTEGER", "STRING", "member_of_signature", "scan_signatures", "scan_value"]

_KEY: Final = r"[a-z*][a-z0-9_.*-]*"
# An Inner List as far as its closing parenthesis; what is in it is checked by `read_components`.
_INNER: Final = r'\([^()"\\]*+(?:"[^"\\]*+"[^()"\\]*+)*+\)'
# An Integer without leading zeros; what is between the quotes of a String without escapes.
INTEGER: Final = r"0|-?[1-9][0-9]{0,14}+"
STRING: Final = r"[\x20\x21\x23-\x5b\x5d-\x7e]*+"
# Beside them the Boolean false; a key alone is the Boolean true.
_VALUE_OF_PARAMETER: Final = rf'("{STRING}")|({INTEGER})|(\?0)'
_PARAMETER: Final = rf";({_KEY}+)(?:=(?:{_VALUE_OF_PARAMETER}))?+"
_INPUT: Final = re.compile(
    rf"({_KEY}+)=({_INNER})((?:{re.sub(r'[(](?![?])', '(?:', _PARAMETER)})*+)(?:, (?=.)|\Z)", re.ASCII | re.DOTALL
)
_PARAMETERS: Final = re.compile(_PARAMETER, re.ASCII)


def scan_signatures(
    inputs: str, values: str, types: Mapping[str, type], limits: Limits
) -> list[tuple[str, SignatureInput, bytes]] | None:
    """Read all signatures of a message whose two fields are in canonical form.

    Args:
        inputs: the value of Signature-Input, its lines combined.
        values: the value of Signature, its lines combined.
        types: the types of the parameters that are known.
        limits: how much is read.

    Returns:
        Label, metadata and value of each signature, in the order of Signature-Input; None when anything is not in
        canonical form, or not in order.
    """
    if len(inputs) > limits.max_signature_field_bytes or len(values) > limits.max_signature_field_bytes:
        return None
    signatures = _scan_values(values, limits)
    if signatures is None:
        return None
    found: list[tuple[str, SignatureInput, bytes]] = []
    position, end = 0, len(inputs)
    while position < end:
        member = _INPUT.match(inputs, position)
        if member is None:
            return None
        label, inner, tail = member.groups()
        value = signatures.pop(label, None)  # a label that comes twice is not there the second time
        metadata = None if value is None else _scan_metadata(inner, tail, types, limits)
        if metadata is None or value is None:
            return None
        found.append((label, metadata, value))
        position = member.end()
    return None if signatures else found


def _scan_values(text: str, limits: Limits) -> dict[str, bytes] | None:
    # Neither a label nor base64 has a comma. Whether a label is one, Signature-Input tells, where each has its twin.
    found: dict[str, bytes] = {}
    for member in text.split(", "):
        label = member.partition("=")[0]
        value = scan_value(member, label)
        if value is None or label in found:
            return None
        found[label] = value
    return found if len(found) <= limits.max_signatures else None


def scan_value(text: str, label: str) -> bytes | None:
    """Read a member of Signature in canonical form.

    Args:
        text: the member.
        label: its label.
    """
    begin = len(label) + 2
    try:
        value = a2b_base64(text[begin:-1], strict_mode=True)
    except ValueError:  # binascii.Error is one, and what is not ASCII raises the plain one
        return None
    # Written again, it is the same to the letter: which rules out trailing bits, and whatever stands around it.
    return value if text == member_of_signature(label, value) else None


def member_of_signature(label: str, value: bytes) -> str:
    """A member of Signature: a Byte Sequence (RFC 9651 §4.1.8) under its label."""
    return f"{label}=:{b2a_base64(value, newline=False).decode('ascii')}:"


def _scan_metadata(inner: str, tail: str, types: Mapping[str, type], limits: Limits) -> SignatureInput | None:
    # Counted before anything is parsed: in canonical form there is one space between two components.
    if inner.count(" ") >= limits.max_components or inner.count(";") > limits.max_parameters:
        return None
    components = read_components(inner)
    if components is None:
        return None
    parameters: dict[str, object] = {}
    # The tail is one parameter after the other: `_INPUT` has seen to it.
    found = _PARAMETERS.findall(tail)
    for name, quoted, number, false in found:
        value: object = quoted[1:-1] if quoted else int(number) if number else not false
        if name in types and type(value) is not types[name]:
            return None
        parameters[name] = value
    if len(parameters) != len(found) or len(found) > limits.max_parameters:
        return None
    return SignatureInput.as_signed(components, parameters, inner + tail)
