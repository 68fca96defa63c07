"""Every limit of this room in one place."""

from __future__ import annotations

from dataclasses import dataclass, fields

from wimse.errors import ConfigurationError

__all__ = ["DEFAULT_LIMITS", "Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a message may ask of us before it is refused, whatever it says.

    Nesting needs no number: a structured field nests an Item in an Inner List in a Dictionary and no deeper
    (RFC 9651 §3.1.1), and what nests deeper does not parse.

    Attributes:
        max_fields: field lines in a head. Default 128; proxies stop at 100 to 128.
        max_field_bytes: one field's name and value. Default 8,192, what every proxy measured lets through.
        max_signature_field_bytes: all Signature-Input or all Signature lines together. Default 16,384.
        max_signatures: labels in a message, malformed ones included. Default 8.
        max_components: components that one signature covers. Default 64.
        max_parameters: parameters of one signature, or of one component. Default 16.
        max_digests: members of a Content-Digest. Default 8.

    Raises on construction:
        ConfigurationError: for a limit below 1.
    """

    max_fields: int = 128
    max_field_bytes: int = 8_192
    max_signature_field_bytes: int = 16_384
    max_signatures: int = 8
    max_components: int = 64
    max_parameters: int = 16
    max_digests: int = 8

    def __post_init__(self) -> None:
        for each in fields(self):
            if getattr(self, each.name) < 1:
                raise ConfigurationError(f"{each.name} must be at least 1")


DEFAULT_LIMITS = Limits()
