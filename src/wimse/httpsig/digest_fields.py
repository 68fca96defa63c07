"""The Integrity fields (RFC 9530 §2, §3) as Dictionaries: their names, and one strict reader for both."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import Any, Final, cast

import http_sf

from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig.limits import DEFAULT_LIMITS, Limits
from wimse.httpsig.message import Fields

__all__ = ["CONTENT_DIGEST", "REPR_DIGEST", "name_as_written", "parse_digests"]

CONTENT_DIGEST: Final = "content-digest"
REPR_DIGEST: Final = "repr-digest"
_WRITTEN: Final[Mapping[str, str]] = {CONTENT_DIGEST: "Content-Digest", REPR_DIGEST: "Repr-Digest"}
# One member as every signer writes it: most messages have no other form.
_ONE_MEMBER: Final = re.compile(r"([a-z*][a-z0-9_.*-]*+)=:([A-Za-z0-9+/]*+={0,2}):", re.ASCII)
_WITHOUT_SPACE: Final = {ord(" "): None, ord("\t"): None}


def name_as_written(name: str) -> str:
    """The name of an Integrity field with its capitals, from the one in lower case.

    Raises:
        ConfigurationError: for another name.
    """
    if name not in _WRITTEN:
        raise ConfigurationError(f"a digest is in {CONTENT_DIGEST} or {REPR_DIGEST}")
    return _WRITTEN[name]


def parse_digests(
    fields: Fields, name: str = CONTENT_DIGEST, *, limits: Limits = DEFAULT_LIMITS
) -> dict[str, bytes] | None:
    """Read an Integrity field; nothing is compared.

    Args:
        fields: of the message.
        name: `CONTENT_DIGEST` or `REPR_DIGEST`.
        limits: how long the field is, and how many members are read.

    Returns:
        Every member in order, also of algorithms that are not supported; None when the message has no such field.

    Raises:
        Refused: `digest_unusable` for a field that is malformed, has a member twice, or has one that is not a plain
            Byte Sequence in canonical base64; `too_many_digests`; `field_too_large`.
        ConfigurationError: for another `name`.
    """
    written = name_as_written(name)
    text = fields.combined(name)
    if text is None:
        return None
    if len(text) > limits.max_field_bytes:
        raise Refused(Reason.FIELD_TOO_LARGE, f"{written} is longer than {limits.max_field_bytes} bytes")
    return _scan(text) or _parse(text, written, limits)


def _scan(text: str) -> dict[str, bytes] | None:
    """Read a single member in canonical form, as `_parse` would; None leaves it to that."""
    found = _ONE_MEMBER.fullmatch(text)
    if found is None:
        return None
    try:
        value = binascii.a2b_base64(found[2], strict_mode=True)
    except binascii.Error:
        return None
    if binascii.b2a_base64(value, newline=False).decode("ascii") != found[2]:
        return None
    return {found[1]: value}


def _parse(text: str, written: str, limits: Limits) -> dict[str, bytes]:
    def refuse_duplicate(_: str, __: str) -> None:
        # Structured fields let the last one win; a second reader may take the first.
        raise Refused(Reason.DIGEST_UNUSABLE, f"{written} has a member twice")

    try:
        parsed = http_sf.parse(text.encode("latin-1"), tltype="dictionary", on_duplicate_key=refuse_duplicate)
    except http_sf.StructuredFieldError:
        raise Refused(Reason.DIGEST_UNUSABLE, f"{written} is not a Dictionary structured field") from None
    members = cast("dict[str, Any]", parsed)
    if len(members) > limits.max_digests:
        raise Refused(Reason.TOO_MANY_DIGESTS, f"{written} has more than {limits.max_digests} members")
    if any(not isinstance(value, bytes) or parameters for value, parameters in members.values()):
        raise Refused(Reason.DIGEST_UNUSABLE, f"a member of {written} is not a Byte Sequence without parameters")
    # The parser takes missing padding and trailing bits, as RFC 9651 §4.2.7 lets it. A digest has one spelling here, so
    # the field is what it would be if it were written again; only white space around commas is free (§4.2.2).
    if members and str(http_sf.ser(parsed)).translate(_WITHOUT_SPACE) != text.translate(_WITHOUT_SPACE):
        raise Refused(Reason.DIGEST_UNUSABLE, f"a member of {written} is not canonical base64")
    return {algorithm: value for algorithm, (value, _) in members.items()}
