"""Which fields are structured fields, and of which type (RFC 9421 §2.1.1, §2.1.2).

`sf` and `key` need the type, and "if the application does not know the type of the field" they are errors. So the
table holds only fields whose own specification says that they are structured fields. Date, Set-Cookie, Cache-Control,
Content-Type and others look like structured fields at times and are none: `sf` would write them in a form that their
own parsers do not promise to read alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

from wimse.errors import ConfigurationError

__all__ = ["DEFAULT_FIELD_TYPES", "StructuredFieldType", "StructuredFieldTypes"]

# RFC 9110 §5.6.2
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


class StructuredFieldType(StrEnum):
    """The three types of a structured field's value (RFC 9651 §3)."""

    DICTIONARY = "dictionary"
    LIST = "list"
    ITEM = "item"


class StructuredFieldTypes(Mapping[str, StructuredFieldType]):
    """The structured fields that an application knows: name in lower case to type. Immutable.

    Both sides of a signature need the same entries for the fields that it covers with `sf` or `key`.
    """

    __slots__ = ("_hash", "_types")

    def __init__(self, types: Mapping[str, StructuredFieldType | str]) -> None:
        """Hold `types` and nothing else; `DEFAULT_FIELD_TYPES.with_fields` adds to what the RFCs define.

        Args:
            types: field name, in any case, to ``dictionary``, ``list`` or ``item``.

        Raises:
            ConfigurationError: for a name that no field can have, one that occurs in two cases, or another type.
        """
        known: dict[str, StructuredFieldType] = {}
        for name, kind in types.items():
            if not _TOKEN.fullmatch(name):
                raise ConfigurationError("the name of a structured field is not a token")
            if name.lower() in known:
                raise ConfigurationError(f"the structured field {name.lower()} has two types")
            try:
                known[name.lower()] = StructuredFieldType(kind)
            except ValueError:
                raise ConfigurationError(f"the type of {name.lower()} is not dictionary, list or item") from None
        self._types = known
        self._hash = hash(frozenset(known.items()))

    def with_fields(self, types: Mapping[str, StructuredFieldType | str]) -> StructuredFieldTypes:
        """The same table with further fields, or other types for those that are in it; raises as the constructor."""
        added = StructuredFieldTypes(types)
        return StructuredFieldTypes({**self._types, **added._types})

    def __getitem__(self, name: str) -> StructuredFieldType:
        return self._types[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StructuredFieldTypes) and self._types == other._types

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"StructuredFieldTypes({len(self._types)} fields)"


_DICTIONARY, _LIST, _ITEM = StructuredFieldType.DICTIONARY, StructuredFieldType.LIST, StructuredFieldType.ITEM

# The fields that IANA's HTTP Field Name registry lists with a structured type, as far as an RFC or the HTML standard
# defines them.
DEFAULT_FIELD_TYPES: Final = StructuredFieldTypes(
    {
        "accept-ch": _LIST,  # RFC 8942
        "accept-signature": _DICTIONARY,  # RFC 9421
        "available-dictionary": _ITEM,  # RFC 9842
        "cache-group-invalidation": _LIST,  # RFC 9875
        "cache-groups": _LIST,  # RFC 9875
        "cache-status": _LIST,  # RFC 9211
        "capsule-protocol": _ITEM,  # RFC 9297
        "cdn-cache-control": _DICTIONARY,  # RFC 9213
        "client-cert": _ITEM,  # RFC 9440
        "client-cert-chain": _LIST,  # RFC 9440
        "content-digest": _DICTIONARY,  # RFC 9530
        "cross-origin-embedder-policy": _ITEM,  # HTML
        "cross-origin-embedder-policy-report-only": _ITEM,  # HTML
        "cross-origin-opener-policy": _ITEM,  # HTML
        "cross-origin-opener-policy-report-only": _ITEM,  # HTML
        "deprecation": _ITEM,  # RFC 9745
        "dictionary-id": _ITEM,  # RFC 9842
        "link-template": _LIST,  # RFC 9652
        "origin-agent-cluster": _ITEM,  # HTML
        "priority": _DICTIONARY,  # RFC 9218
        "proxy-status": _LIST,  # RFC 9209
        "repr-digest": _DICTIONARY,  # RFC 9530
        "signature": _DICTIONARY,  # RFC 9421
        "signature-input": _DICTIONARY,  # RFC 9421
        "use-as-dictionary": _DICTIONARY,  # RFC 9842
        "want-content-digest": _DICTIONARY,  # RFC 9530
        "want-repr-digest": _DICTIONARY,  # RFC 9530
    }
)
