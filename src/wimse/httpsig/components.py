"""Component identifiers and their values (RFC 9421 §2).

Known here: every derived component of §2.2 and every field (§2.1), with the parameter `req` (§2.4) and, for
`@query-param`, `name`. Any other parameter is one that is not understood, and an error (§2.5 step 2.4).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, cast
from urllib.parse import parse_qsl, quote

import http_sf

from wimse.errors import Reason, Refused
from wimse.httpsig.message import Message, Request, Response

__all__ = ["ComponentIdentifier", "component_value"]

ParameterValue = bool | str

# Field names in lower case (§2.1), or a derived name (§2.2).
_NAME: Final = re.compile(r"@?[!#$%&'*+.^_`|~0-9a-z-]+", re.ASCII)
# §2.2: printable ASCII without a space at either end; §2.5: field content without obs-text.
_DERIVED_VALUE: Final = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?", re.ASCII)
_FIELD_VALUE: Final = re.compile(r"[\t\x20-\x7e]*", re.ASCII)
_DEFAULT_PORTS: Final = {"https": ":443", "http": ":80"}
_MAX_QUERY_PARAMETERS: Final = 1_000


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
            Refused: `component_unknown` when it is neither.
        """
        if not text.startswith('"'):
            return cls.from_item(text, {})
        try:
            item = http_sf.parse(text.encode("ascii"), tltype="item")
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


def component_value(identifier: ComponentIdentifier, message: Message, request: Request | None = None) -> str:
    """The component's canonical value (§2.1, §2.2; the checks of §2.5 step 2.4).

    Args:
        identifier: which component.
        message: the message that is signed.
        request: when that is a response, the request that it answers.

    Raises:
        Refused: `component_parameter_unknown`; `component_not_applicable` for `req` in a request's signature, a
            derived component of the other kind of message, or no request at hand; `component_unknown`;
            `component_absent`; `component_value_invalid` for a value outside ASCII.
    """
    source = _source(identifier, message, request)
    parameters = {key: value for key, value in identifier.parameters if (key, value) != ("req", True)}
    if identifier.name == "@query-param":
        return _query_parameter(source, parameters)
    if parameters:
        raise Refused(Reason.COMPONENT_PARAMETER_UNKNOWN, f"a parameter of {identifier.name} is not supported")
    if identifier.derived:
        return _derived_value(identifier.name, source)
    value = source.fields.combined(identifier.name)
    if value is None:
        raise Refused(Reason.COMPONENT_ABSENT, f"the message has no field {identifier.name}")
    if not _FIELD_VALUE.fullmatch(value):
        raise Refused(Reason.COMPONENT_VALUE_INVALID, f"the value of {identifier.name} is not ASCII")
    return value


def _source(identifier: ComponentIdentifier, message: Message, request: Request | None) -> Message:
    if not identifier.of_request:
        return message
    if isinstance(message, Request):
        raise Refused(Reason.COMPONENT_NOT_APPLICABLE, "req has no meaning in the signature of a request")
    if request is None:
        raise Refused(Reason.COMPONENT_NOT_APPLICABLE, "the signature covers the request, which is not at hand")
    return request


def _derived_value(name: str, source: Message) -> str:
    if name == "@status":  # §2.2.9: MUST NOT be used in a request
        if not isinstance(source, Response):
            raise Refused(Reason.COMPONENT_NOT_APPLICABLE, "a request has no @status")
        return str(source.status)
    derive = _OF_REQUEST.get(name)
    if derive is None:  # @signature-params is among the unknown: it MUST NOT be listed (§2.3)
        raise Refused(Reason.COMPONENT_UNKNOWN, "a derived component is not one that RFC 9421 defines")
    if not isinstance(source, Request):
        raise Refused(
            Reason.COMPONENT_NOT_APPLICABLE, f"a response has no {name} of its own; its request has, with req"
        )
    value = derive(source)
    if not _DERIVED_VALUE.fullmatch(value):
        raise Refused(Reason.COMPONENT_VALUE_INVALID, f"the value of {name} is not printable ASCII")
    return value


def _authority(request: Request) -> str:
    # §2.2.3 with RFC 9110 §4.2.3: lower case, without the scheme's default port. §4.2.4 there: no user information.
    authority = (_absolute_form(request) or (None, request.authority, None))[1].lower()
    authority = authority.removesuffix(_DEFAULT_PORTS.get(request.scheme.lower(), "\0"))
    if not authority or authority.startswith(":") or "@" in authority or "/" in authority:
        raise Refused(Reason.COMPONENT_ABSENT, "the request has no authority that can be signed")
    return authority


def _target_uri(request: Request) -> str:
    # §2.2.2 with RFC 9110 §7.1
    if _absolute_form(request):
        return request.target
    if not request.target.startswith("/"):
        raise Refused(Reason.COMPONENT_ABSENT, "a target in authority or asterisk form has no @target-uri here")
    return f"{request.scheme.lower()}://{_authority(request)}{request.target}"


def _path_and_query(request: Request) -> tuple[str, str | None]:
    absolute = _absolute_form(request)
    if absolute is None and not request.target.startswith("/"):
        raise Refused(Reason.COMPONENT_ABSENT, "a target in authority or asterisk form has neither path nor query")
    target = absolute[2] if absolute else request.target
    path, mark, query = target.partition("?")
    return path, query if mark else None


def _absolute_form(request: Request) -> tuple[str, str, str] | None:
    scheme, separator, rest = request.target.partition("://")
    if not separator or request.target.startswith("/") or not scheme.isalnum():
        return None
    end = next((position for position, char in enumerate(rest) if char in "/?"), len(rest))
    return scheme, rest[:end], rest[end:]


def _path(request: Request) -> str:
    return _path_and_query(request)[0] or "/"  # §2.2.6: an empty path is a slash; escapes stay


def _query(request: Request) -> str:
    return "?" + (_path_and_query(request)[1] or "")  # §2.2.7: the leading ? also without a query


_OF_REQUEST: Final[Mapping[str, Callable[[Request], str]]] = {
    "@method": lambda request: request.method,
    "@target-uri": _target_uri,
    "@authority": _authority,
    "@scheme": lambda request: request.scheme.lower(),
    "@request-target": lambda request: request.target,
    "@path": _path,
    "@query": _query,
}


def _query_parameter(source: Message, parameters: Mapping[str, ParameterValue]) -> str:
    # §2.2.8: parsed as an HTML form, then encoded again, both the name and the value.
    name = parameters.get("name")
    if set(parameters) != {"name"} or not isinstance(name, str):
        raise Refused(Reason.COMPONENT_PARAMETER_UNKNOWN, "@query-param takes the one String parameter name")
    if not isinstance(source, Request):
        raise Refused(Reason.COMPONENT_NOT_APPLICABLE, "a response has no @query-param of its own")
    try:
        pairs = parse_qsl(
            _path_and_query(source)[1] or "",
            keep_blank_values=True,
            errors="replace",
            max_num_fields=_MAX_QUERY_PARAMETERS,
        )
    except ValueError:
        raise Refused(Reason.TOO_MANY_PARAMETERS, "the query has too many parameters") from None
    values = [value for key, value in pairs if _form_encode(key) == name]
    if not values:
        raise Refused(Reason.COMPONENT_ABSENT, "the query has no parameter of the name that is covered")
    if len(values) > 1:
        raise Refused(Reason.COMPONENT_NOT_APPLICABLE, "the query has the covered parameter more than once")
    return _form_encode(values[0])


def _form_encode(text: str) -> str:
    # The percent-encode set of application/x-www-form-urlencoded leaves letters, digits and *-._ as they are.
    return quote(text, safe="*-._").replace("~", "%7E")
