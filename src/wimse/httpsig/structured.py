"""Structured fields (RFC 9651), read strictly: a member or parameter that occurs twice is refused.

RFC 9651 lets the last one win. Then `a=2, a=1` would have the canonical form of `a=1`: whoever writes the first member
into a signed message changes what a less careful reader takes, and the signature still verifies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import http_sf

from wimse.errors import Reason, Refused

__all__ = ["parse_structured", "refuse_duplicates", "serialize_structured"]


def refuse_duplicates(member: Reason, parameter: Reason, what: str) -> Callable[[str, str], NoReturn]:
    """What `parse_structured` calls at a duplicate.

    Args:
        member: the reason for a member of a Dictionary that occurs twice.
        parameter: the reason for a parameter that does.
        what: the name of the field, for the explanation.
    """

    def refuse(_: str, kind: str) -> NoReturn:
        if kind == "dictionary":
            raise Refused(member, f"{what} has a member twice")
        raise Refused(parameter, f"{what} has a parameter twice")

    return refuse


def parse_structured(
    text: str, kind: str, *, malformed: Reason, what: str, on_duplicate: Callable[[str, str], NoReturn]
) -> Any:
    """Parse a field's combined value.

    Args:
        text: the value, its lines joined (RFC 9651 §4.2).
        kind: ``dictionary``, ``list`` or ``item``.
        malformed: the reason of the refusal.
        what: the name of the field, for the explanation.
        on_duplicate: from `refuse_duplicates`.

    Raises:
        Refused: with `malformed`, or what `on_duplicate` raises.
    """
    try:
        return http_sf.parse(text.encode("latin-1"), tltype=kind, on_duplicate_key=on_duplicate)
    except http_sf.StructuredFieldError:
        article = "an" if kind == "item" else "a"
        raise Refused(malformed, f"{what} is not {article} {kind.capitalize()} structured field") from None


def serialize_structured(structure: Any) -> str:
    """The one strict form of what `parse_structured` gave, or of one of its members (RFC 9651 §4.1).

    A List or Dictionary without members is the empty string, with which §4.1.1 and §4.1.2 begin.
    """
    if isinstance(structure, (dict, list)) and not structure:
        return ""
    return str(http_sf.ser(structure))
