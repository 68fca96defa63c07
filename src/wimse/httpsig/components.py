"""Component identifiers and their values (RFC 9421 §2).

Every derived component of §2.2, every field (§2.1), and every component parameter: `req` (§2.4), `sf`, `key`, `bs`,
`tr` (§2.1.1 to §2.1.4) and `name` (§2.2.8). Any other parameter is one that is not understood, and an error (§2.5 step
2.4). Reading a value has two steps: an identifier is resolved to a function, which is the same for every message and
kept; the function is applied to the message at hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, cast

import http_sf

from wimse.errors import Reason, Refused
from wimse.httpsig import targets
from wimse.httpsig.field_types import DEFAULT_FIELD_TYPES, StructuredFieldTypes
from wimse.httpsig.field_values import field_resolver
from wimse.httpsig.message import Message, Request, Response
from wimse.httpsig.structured import refuse_duplicates

__all__ = [
    "ComponentIdentifier",
    "Resolver",
    "check_applicable",
    "check_distinct",
    "component_value",
    "resolver_for",
]

ParameterValue = bool | str
Resolver = Callable[[Message, Request | None], str]

# Field names in lower case (§2.1), or a derived name (§2.2).
_NAME: Final = re.compile(r"@?[!#$%&'*+.^_`|~0-9a-z-]+", re.ASCII)
# §2.2: printable ASCII without a space at either end.
_DERIVED_VALUE: Final = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?", re.ASCII)
# Resolvers that are kept; one is a few hundred bytes.
_MAX_RESOLVERS: Final = 256
_TWICE: Final = refuse_duplicates(Reason.PARAMETER_DUPLICATED, Reason.PARAMETER_DUPLICATED, "a component identifier")


# Not slotted: it caches its own serialisation.
@dataclass(frozen=True, eq=False)
class ComponentIdentifier:
    """A component's name and parameters, such as ``"@method";req``.

    Two identifiers are equal when names and parameters are, in whatever order the parameters stand (§2); the order is
    kept for the serialisation.

    Attributes:
        name: in lower case; derived components begin with ``@``.
        parameters: in order, each True for a flag or a string.
    """

    name: str
    parameters: tuple[tuple[str, ParameterValue], ...] = ()

    @classmethod
    def parse(cls, text: str) -> ComponentIdentifier:
        """Read an identifier as it stands in a list of components, ``"@query-param";name="a"``, or a bare name.

        Raises:
            Refused: `component_unknown` when it is neither; `parameter_duplicated`; and as `from_item`.
        """
        if not text.startswith('"'):
            return cls.from_item(text, {})
        try:
            item = http_sf.parse(text.encode("ascii"), tltype="item", on_duplicate_key=_TWICE)
        except (http_sf.StructuredFieldError, UnicodeEncodeError):
            raise Refused(Reason.COMPONENT_UNKNOWN, "the component identifier is malformed") from None
        value, parameters = item if isinstance(item, tuple) else (item, {})
        return cls.from_item(value, parameters)

    @classmethod
    def from_item(cls, name: object, parameters: Mapping[str, object]) -> ComponentIdentifier:
        """Take an identifier from a parsed structured-field Item.

        Raises:
            Refused: `signature_field_malformed` when the Item is not a String; `component_unknown` for a name
                that no component can have, upper case included; `component_parameter_unknown` for a
                parameter that is neither a flag nor a String.
        """
        if not isinstance(name, str):
            raise Refused(Reason.SIGNATURE_FIELD_MALFORMED, "a component identifier is not a String")
        if not _NAME.fullmatch(name):
            raise Refused(Reason.COMPONENT_UNKNOWN, "a component's name is neither a lower-case field name nor derived")
        kept: list[tuple[str, ParameterValue]] = []
        for key, value in parameters.items():
            if value is not True and not isinstance(value, str):
                raise Refused(
                    Reason.COMPONENT_PARAMETER_UNKNOWN,
                    "a component's parameter is neither a flag nor a String",
                )
            kept.append((key, value))
        return cls(name, tuple(kept))

    @property
    def derived(self) -> bool:
        """Whether the name is one of a derived component, not of a field."""
        return self.name.startswith("@")

    @cached_property
    def field(self) -> str | None:
        """The name of the field whose value is taken from the message as it is; None for all else."""
        return None if self.parameters or self.derived else self.name

    @property
    def of_request(self) -> bool:
        """Whether the flag `req` is set: the value is the request's, in a response's signature (§2.4)."""
        return ("req", True) in self.parameters

    @cached_property
    def serialized(self) -> str:
        """The identifier as it stands in the signature base: a serialised String with its parameters."""
        return str(http_sf.ser(cast("Any", (self.name, dict(self.parameters)))))

    @cached_property
    def _key(self) -> tuple[str, frozenset[tuple[str, ParameterValue]]]:
        return self.name, frozenset(self.parameters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ComponentIdentifier) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __str__(self) -> str:
        """The identifier for people: as serialised, without the quotes around the name."""
        return self.serialized.replace('"', "", 2)


def component_value(
    identifier: ComponentIdentifier,
    message: Message,
    request: Request | None = None,
    *,
    field_types: StructuredFieldTypes = DEFAULT_FIELD_TYPES,
) -> str:
    """The component's canonical value (§2.1, §2.2; the checks of §2.5 step 2.4).

    Args:
        identifier: which component.
        message: the message that is signed.
        request: when that is a response, the request that it answers.
        field_types: the structured fields that are known, for `sf` and `key`.

    Raises:
        Refused: as `resolver_for` and the function that it returns.
    """
    return resolver_for(identifier, field_types)(message, request)


def resolver_for(identifier: ComponentIdentifier, field_types: StructuredFieldTypes = DEFAULT_FIELD_TYPES) -> Resolver:
    """The function that reads the component's value from a message and, for a response, from its request.

    It depends on no message and is kept, so that asking again costs a look-up.

    Args:
        identifier: which component.
        field_types: the structured fields that are known, for `sf` and `key`.

    Raises:
        Refused: `component_unknown` for a derived component that RFC 9421 does not define;
            `component_parameter_unknown` for a parameter that it does not define for this component;
            `parameter_duplicated`; `component_not_applicable` for parameters that exclude each other, `sf` or `key`
            for a field whose type is not known or does not fit, and `@status` with `req`.

    The function raises:
        Refused: `component_not_applicable` for `req` in a request's signature, a derived component of the other kind
            of message, no request at hand, or a query parameter that occurs twice; `component_absent`;
            `component_value_invalid` for a value outside ASCII, or not of the field's type; `too_many_parameters`.
    """
    if not identifier.parameters:  # nearly all: spares them the hash of an identifier
        return _DERIVED.get(identifier.name) or _without_parameters(identifier.name)
    return _resolver(identifier, field_types)


@lru_cache(maxsize=_MAX_RESOLVERS)
def _without_parameters(name: str) -> Resolver:
    if name.startswith("@"):
        return _derived_resolver(name, {})
    return field_resolver(name, {}, DEFAULT_FIELD_TYPES)


@lru_cache(maxsize=_MAX_RESOLVERS)
def _resolver(identifier: ComponentIdentifier, field_types: StructuredFieldTypes) -> Resolver:
    parameters = dict(identifier.parameters)
    if len(parameters) != len(identifier.parameters):
        raise Refused(Reason.PARAMETER_DUPLICATED, f"a parameter of {identifier.name} occurs twice")
    of_request = parameters.pop("req", None)
    if of_request not in (None, True):
        raise Refused(Reason.COMPONENT_PARAMETER_UNKNOWN, f"the parameter req of {identifier.name} is not a flag")
    if not identifier.derived:
        read = field_resolver(identifier.name, parameters, field_types)
    else:
        read = _derived_resolver(identifier.name, parameters)
    if not of_request:
        return read
    if identifier.name == "@status":  # §2.2.9
        raise Refused(Reason.COMPONENT_NOT_APPLICABLE, "a request has no @status")
    return lambda message, request: read(_request_of(message, request), None)


def _request_of(message: Message, request: Request | None) -> Request:
    if isinstance(message, Request):
        raise Refused(Reason.COMPONENT_NOT_APPLICABLE, "req has no meaning in the signature of a request")
    if request is None:
        raise Refused(Reason.COMPONENT_NOT_APPLICABLE, "the signature covers the request, which is not at hand")
    return request


def _derived_resolver(name: str, parameters: Mapping[str, ParameterValue]) -> Resolver:
    if name == "@query-param":
        wanted = parameters.get("name")
        if set(parameters) != {"name"} or not isinstance(wanted, str):
            raise Refused(Reason.COMPONENT_PARAMETER_UNKNOWN, "@query-param takes the one String parameter name")
        return _of_request(name, lambda request: targets.query_parameter(request, wanted))
    known = _DERIVED.get(name)
    if known is None:  # @signature-params is among the unknown: it MUST NOT be listed (§2.3)
        raise Refused(Reason.COMPONENT_UNKNOWN, "a derived component is not one that RFC 9421 defines")
    if parameters:
        raise Refused(Reason.COMPONENT_PARAMETER_UNKNOWN, f"a parameter of {name} is not one that it can have")
    return known


def _of_request(name: str, derive: Callable[[Request], str]) -> Resolver:
    def resolve(message: Message, _: Request | None) -> str:
        if not isinstance(message, Request):
            raise _not_of_a_response(name)
        value = derive(message)
        if not _DERIVED_VALUE.fullmatch(value):
            raise Refused(Reason.COMPONENT_VALUE_INVALID, f"the value of {name} is not printable ASCII")
        return value

    return resolve


def _not_of_a_response(name: str) -> Refused:
    return Refused(Reason.COMPONENT_NOT_APPLICABLE, f"a response has no {name} of its own; its request has, with req")


def _method(message: Message, _: Request | None) -> str:
    if not isinstance(message, Request):
        raise _not_of_a_response("@method")
    return message.method  # a token, as `Request` has seen to


def _path(message: Message, request: Request | None) -> str:
    # Of an origin-form, which nearly all targets have, without the detour; its characters are known to be printable.
    if isinstance(message, Request) and message.target[0] == "/":
        return message.target.partition("?")[0]
    return _path_of_any(message, request)


def _query(message: Message, request: Request | None) -> str:
    if isinstance(message, Request) and message.target[0] == "/":
        return "?" + message.target.partition("?")[2]
    return _query_of_any(message, request)


_path_of_any: Final = _of_request("@path", targets.path)
_query_of_any: Final = _of_request("@query", targets.query)


def _status(message: Message, _: Request | None) -> str:
    if not isinstance(message, Response):  # §2.2.9: MUST NOT be used in a request
        raise Refused(Reason.COMPONENT_NOT_APPLICABLE, "a request has no @status")
    return str(message.status)


_DERIVED: Final[Mapping[str, Resolver]] = {
    "@method": _method,
    "@target-uri": _of_request("@target-uri", targets.target_uri),
    "@authority": _of_request("@authority", targets.authority),
    "@scheme": _of_request("@scheme", targets.scheme),
    "@request-target": _of_request("@request-target", lambda request: request.target),
    "@path": _path,
    "@query": _query,
    "@status": _status,
}


def check_distinct(identifiers: Iterable[ComponentIdentifier]) -> None:
    """Refuse a list that names a component twice, in whatever order of parameters (§2, §2.5 step 2.0).

    `key` with and without `sf` says the same, so both together have "a parameterized key more than once" (§2.1.2).

    Raises:
        Refused: `component_duplicated`.
    """
    listed = tuple(identifiers)
    distinct = set(listed)
    if len(distinct) != len(listed):
        raise Refused(Reason.COMPONENT_DUPLICATED, "a component is covered twice")
    for each in listed:
        if len(each.parameters) > 1 and (other := _without_sf(each)) != each and other in distinct:
            raise Refused(Reason.COMPONENT_DUPLICATED, "a member of a Dictionary is covered twice")


def _without_sf(identifier: ComponentIdentifier) -> ComponentIdentifier:
    if not any(name == "key" for name, _ in identifier.parameters):
        return identifier
    return ComponentIdentifier(identifier.name, tuple(each for each in identifier.parameters if each[0] != "sf"))


def check_applicable(identifier: ComponentIdentifier, target: type[Request | Response]) -> None:
    """Refuse a component that no message of this kind has (§2.2, §2.4, §5).

    Args:
        identifier: which component.
        target: the kind of the message that is to be signed.

    Raises:
        Refused: `component_not_applicable`.
    """
    if target is Request and (identifier.of_request or identifier.name == "@status"):
        raise Refused(Reason.COMPONENT_NOT_APPLICABLE, f"{identifier} cannot be covered in a request")
    if target is Response and identifier.derived and identifier.of_request is (identifier.name == "@status"):
        raise Refused(Reason.COMPONENT_NOT_APPLICABLE, f"{identifier} cannot be covered in a response")
