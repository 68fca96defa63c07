"""The metadata of a signature: covered components and parameters, in the order that is signed (RFC 9421 §2.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, cast

import http_sf

from wimse.errors import ConfigurationError
from wimse.httpsig.components import ComponentIdentifier, check_distinct

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
