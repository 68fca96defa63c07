"""The component value of a field (RFC 9421 §2.1), with the parameters `sf`, `key`, `bs` and `tr`.

Header fields and trailer fields are two sets of lines and never combined (§2.1.4).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final

from wimse.errors import Reason, Refused
from wimse.httpsig.field_types import StructuredFieldType, StructuredFieldTypes
from wimse.httpsig.message import Fields, Message, Request
from wimse.httpsig.structured import parse_structured, refuse_duplicates, serialize_structured

__all__ = ["field_resolver"]

_Resolver = Callable[[Message, Request | None], str]

# Each parameter's type (§2.1): True for a flag.
_PARAMETERS: Final[Mapping[str, type]] = {"sf": bool, "key": str, "bs": bool, "tr": bool}


def field_resolver(name: str, parameters: Mapping[str, bool | str], field_types: StructuredFieldTypes) -> _Resolver:
    """The function that reads the value of a field from a message.

    Args:
        name: the field's, in lower case.
        parameters: of the component, without `req`.
        field_types: the structured fields that are known.

    Raises:
        Refused: `component_parameter_unknown` for a parameter that is not one of a field; `component_not_applicable`
            for `bs` with `sf` or `key`, for `sf` with a field that is not known as a structured field, and for `key`
            with one that is not known as a Dictionary.

    The function raises:
        Refused: `component_absent` for a field, or a Dictionary's member, that is not there;
            `component_value_invalid` for a value outside ASCII, or not of the field's type, or with a duplicate.
    """
    for parameter, value in parameters.items():
        if type(value) is not _PARAMETERS.get(parameter):
            raise Refused(Reason.COMPONENT_PARAMETER_UNKNOWN, f"a parameter of {name} is not one of a field")
    if not parameters:
        return _plain(name)
    read = _reader(name, parameters, field_types)
    if "tr" in parameters:
        return lambda message, _: read(message.trailers)
    return lambda message, _: read(message.fields)


def _plain(name: str) -> _Resolver:
    return lambda message, _: _combined(message.fields, name)


def _reader(
    name: str, parameters: Mapping[str, bool | str], field_types: StructuredFieldTypes
) -> Callable[[Fields], str]:
    if "bs" in parameters:
        # §2.1: bs takes the bytes as they are, sf and key what they mean when parsed
        if "sf" in parameters or "key" in parameters:
            raise Refused(Reason.COMPONENT_NOT_APPLICABLE, f"bs goes with neither sf nor key, for {name}")
        return lambda fields: _wrapped(fields, name)
    if "key" in parameters:  # sf beside it changes nothing (§2.1)
        if field_types.get(name) is not StructuredFieldType.DICTIONARY:
            raise Refused(Reason.COMPONENT_NOT_APPLICABLE, f"{name} is not known as a Dictionary structured field")
        key = str(parameters["key"])
        return lambda fields: _member(fields, name, key)
    if "sf" in parameters:
        kind = field_types.get(name)
        if kind is None:
            raise Refused(Reason.COMPONENT_NOT_APPLICABLE, f"{name} is not known as a structured field")
        return lambda fields: serialize_structured(_parsed(fields, name, kind))
    return lambda fields: _combined(fields, name)


def _combined(fields: Fields, name: str) -> str:
    value = fields.combined(name)
    if value is None:
        raise Refused(Reason.COMPONENT_ABSENT, f"the message has no field {name} there")
    if not value.isascii():  # §2.5: no obs-text; other control characters than HTAB cannot be in Fields
        raise Refused(Reason.COMPONENT_VALUE_INVALID, f"the value of {name} is not ASCII")
    return value


def _wrapped(fields: Fields, name: str) -> str:
    # §2.1.3: each line, stripped, as a Byte Sequence; bytes outside ASCII are welcome. obs-fold cannot occur in Fields.
    values = fields.values(name)
    if not values:
        raise Refused(Reason.COMPONENT_ABSENT, f"the message has no field {name} there")
    return ", ".join([f":{b64encode(value.encode('latin-1')).decode('ascii')}:" for value in values])


def _member(fields: Fields, name: str, key: str) -> str:
    # §2.1.2. A duplicate anywhere in the field is refused, not only one of this key: where two readers may differ
    # about one member, they may differ about where the others begin.
    member = _parsed(fields, name, StructuredFieldType.DICTIONARY).get(key)
    if member is None:
        raise Refused(Reason.COMPONENT_ABSENT, f"{name} has no member of the key that is covered")
    # The member alone: that of `d` is the Boolean ?1, which only within the Dictionary is left out.
    return serialize_structured([member])


def _parsed(fields: Fields, name: str, kind: StructuredFieldType) -> Any:
    # Once for all components that are read from it: the time stays linear, however many keys are covered.
    return fields.once(("structured", name, kind), lambda: _parse(_combined(fields, name), name, kind))


def _parse(text: str, name: str, kind: StructuredFieldType) -> Any:
    invalid = Reason.COMPONENT_VALUE_INVALID
    on_duplicate = refuse_duplicates(invalid, invalid, name)
    return parse_structured(text, kind, malformed=invalid, what=name, on_duplicate=on_duplicate)
