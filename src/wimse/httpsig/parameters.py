"""The metadata of a signature: covered components and parameters, in the order that is signed (RFC 9421 §2.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self, cast

import http_sf

from wimse.errors import ConfigurationError
from wimse.httpsig.components import ComponentIdentifier
from wimse.httpsig.coverage import CoveredComponents

__all__ = ["PARAMETER_TYPES", "SignatureInput"]

# The types of §2.3. `type()` decides, not isinstance(): a Boolean is no Integer here.
PARAMETER_TYPES: Final[Mapping[str, type]] = {
    "created": int,
    "expires": int,
    "nonce": str,
    "alg": str,
    "keyid": str,
    "tag": str,
}


def known_types(extension_types: Mapping[str, type]) -> Mapping[str, type]:
    """The types of §2.3, and of further parameters that an application knows; the former stay as they are."""
    return {**extension_types, **PARAMETER_TYPES}


class _Metadata(NamedTuple):
    components: CoveredComponents
    parameters: Mapping[str, Any]
    serialized: str


class SignatureInput(_Metadata):
    """What a signature covers, and its parameters, both in the order in which they are signed.

    Attributes:
        components: the covered components.
        parameters: name to value; int, str, bool, or another structured-field type for names not known here.
        serialized: the value of `@signature-params` and of the member of Signature-Input (§2.3).
    """

    __slots__ = ()

    def __new__(
        cls, components: Iterable[ComponentIdentifier], parameters: Mapping[str, object] = MappingProxyType({})
    ) -> Self:
        """Take both as they are, with whatever types the parameters have.

        Raises:
            ConfigurationError: for what a structured field cannot hold.
        """
        covered = CoveredComponents.of(components)
        return cls.as_signed(covered, parameters, covered.serialized + serialize_parameters(parameters, typed=False))

    @classmethod
    def build(cls, components: Iterable[ComponentIdentifier | str], parameters: Mapping[str, object]) -> Self:
        """Put together the metadata of a signature to be made.

        Args:
            components: identifiers, or their text as `ComponentIdentifier.parse` reads it.
            parameters: in the order to be signed.

        Raises:
            ConfigurationError: for a parameter of the wrong type, or one that a structured field cannot hold.
            Refused: for a malformed identifier, or one that is listed twice.
        """
        covered = CoveredComponents.of(components)
        covered.check_distinct()
        return cls.as_signed(covered, dict(parameters), covered.serialized + serialize_parameters(parameters))

    @classmethod
    def as_signed(cls, components: CoveredComponents, parameters: Mapping[str, object], serialized: str) -> Self:
        """Take metadata whose serialisation is known, from whoever read or wrote it.

        Args:
            components: the covered components.
            parameters: in their order.
            serialized: both, as §2.3 serialises them.
        """
        return tuple.__new__(cls, (components, parameters, serialized))

    def check_components(self) -> None:
        """Refuse a list that names a component twice, in whatever order of parameters (§2, §2.5 step 2.0).

        Raises:
            Refused: `component_duplicated`.
        """
        self.components.check_distinct()

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


# RFC 9651 §3.1.2: the key of a parameter.
_KEY: Final = re.compile(r"[a-z*][a-z0-9_.*-]*", re.ASCII)
_MAX_INTEGER: Final = 999_999_999_999_999


@lru_cache(maxsize=256)
def is_key(name: str) -> bool:
    """Whether a structured field can have this key: of a parameter, or a label."""
    return _KEY.fullmatch(name) is not None


class _Template(NamedTuple):
    """How parameters of certain names and types are written.

    Attributes:
        text: to be filled with their values; None where the library has to write them.
        integers: the places of the Integers.
        flags: whether any is a Boolean; the text is for the true one.
        quotes: how many quotes the text has.
        mistyped: the name of one that is not of the type of §2.3, or None.
    """

    text: str | None
    integers: tuple[int, ...]
    flags: bool
    quotes: int
    mistyped: str | None


def serialize_parameters(parameters: Mapping[str, Any], *, typed: bool = True) -> str:
    """Write the parameters of a signature as §2.3 says, in their order.

    Args:
        parameters: name to value.
        typed: whether those of §2.3 must be of their type; in an Accept-Signature field some are flags (§5.1).

    Raises:
        ConfigurationError: for one of the wrong type, or one that a structured field cannot hold.
    """
    # The common types by hand, as the library would write them; everything else, and what is wrong, is the library's.
    values = tuple(parameters.values())
    template, integers, flags, quotes, mistyped = _template(tuple(parameters), tuple(map(type, values)))
    if typed and mistyped:
        raise ConfigurationError(f"the signature parameter {mistyped} has the wrong type")
    if template is None or (flags and False in values):
        return _serialize_one_by_one(parameters)
    for place in integers:
        if not -_MAX_INTEGER <= values[place] <= _MAX_INTEGER:
            return _serialize_one_by_one(parameters)
    text = template % values
    # RFC 9651 §3.3.3: a String has printable ASCII, and escapes before what would be one more quote or a backslash.
    if text.isascii() and text.isprintable() and "\\" not in text and text.count('"') == quotes:
        return text
    return _serialize_one_by_one(parameters)


@lru_cache(maxsize=256)
def _template(names: tuple[str, ...], types: tuple[type, ...]) -> _Template:
    """The template for parameters of these names and types."""
    pieces, pairs = {str: '="%s"', int: "=%d", bool: "%.0s"}, tuple(zip(names, types, strict=True))
    common = {*types} <= pieces.keys() and all(map(is_key, names))
    return _Template(
        "".join(f";{name}{pieces[kind]}" for name, kind in pairs) if common else None,
        tuple(place for place, kind in enumerate(types) if kind is int),
        bool in types,
        2 * types.count(str),
        next((name for name, kind in pairs if PARAMETER_TYPES.get(name, kind) is not kind), None),
    )


def _serialize_one_by_one(parameters: Mapping[str, object]) -> str:
    # Each as the only parameter of an Item, since a List or an Inner List is no value of a parameter.
    try:
        text = "".join(
            http_sf.ser((True, {name: cast("Any", value)})).removeprefix("?1") for name, value in parameters.items()
        )
        text.encode("ascii")
    except (ValueError, TypeError):
        raise ConfigurationError("a signature parameter cannot be written as a structured field") from None
    return text
