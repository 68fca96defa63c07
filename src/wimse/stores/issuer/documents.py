"""Keys and entries as the JSON documents of their rows. What is read is checked as if it were new."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.issuer import KeyRecord, KeyState, KeyUse, Registration, Selector
from wimse.issuer.registration import LIFETIMES
from wimse.keys import PublicKey

__all__ = ["read_entry", "read_key", "read_selectors", "write_entry", "write_key", "write_selectors"]

_PLAIN_OF_KEY = ("not_before", "not_after", "max_token_seconds", "prepared_at", "due_at", "retired_at", "tainted")
_PLAIN_OF_ENTRY = ("entry_id", "path", "hint", "expires_at", "key_algorithm", "created_at", "updated_at", "revision")


def write_key(key: KeyRecord) -> str:
    """Everything of a key but its private half, which has a column of its own."""
    return _json(
        {
            **{name: getattr(key, name) for name in _PLAIN_OF_KEY},
            "public": key.public_key.to_jwk(),
            "chain": [base64.b64encode(each).decode() for each in key.chain],
            "anchors": [base64.b64encode(each).decode() for each in key.anchors],
        }
    )


def read_key(kid: str, use: str, state: str, document: str, sealed: object) -> KeyRecord:
    """Read a key.

    Raises:
        Unavailable: `store_unavailable` when it is not what `write_key` wrote.
    """
    try:
        members: dict[str, Any] = json.loads(document)
        return KeyRecord(
            kid=kid,
            use=KeyUse(use),
            state=KeyState(state),
            public_key=PublicKey.from_jwk(members["public"]),
            sealed=_blob(sealed),
            chain=tuple(base64.b64decode(each, validate=True) for each in members["chain"]),
            anchors=tuple(base64.b64decode(each, validate=True) for each in members["anchors"]),
            **{name: members[name] for name in _PLAIN_OF_KEY},
        )
    except (ValueError, KeyError, TypeError, Refused, ConfigurationError):
        raise Unavailable(Reason.STORE_UNAVAILABLE, "a stored signing key cannot be read") from None


def write_entry(entry: Registration) -> str:
    """All of an entry."""
    lifetimes = {name: getattr(entry, name) for name in LIFETIMES}
    return _json(
        {
            **{name: getattr(entry, name) for name in _PLAIN_OF_ENTRY},
            **{name: None if value is None else int(value.total_seconds()) for name, value in lifetimes.items()},
            "selectors": [str(each) for each in entry.selectors],
            "dns_names": entry.dns_names,
            "federates_with": entry.federates_with,
        }
    )


def read_entry(document: str) -> Registration:
    """Read an entry.

    Raises:
        Unavailable: `store_unavailable` when it is not what `write_entry` wrote.
    """
    try:
        members: dict[str, Any] = json.loads(document)
        federated = members["federates_with"]
        lifetimes: dict[str, Any] = {
            name: None if members[name] is None else timedelta(seconds=members[name]) for name in LIFETIMES
        }
        return Registration(
            **{name: members[name] for name in _PLAIN_OF_ENTRY},
            **lifetimes,
            selectors=tuple(Selector.parse(each) for each in members["selectors"]),
            dns_names=tuple(members["dns_names"]),
            federates_with=None if federated is None else tuple(federated),
        )
    except (ValueError, KeyError, TypeError):  # a ConfigurationError is a ValueError
        raise Unavailable(Reason.STORE_UNAVAILABLE, "a stored entry cannot be read") from None


def write_selectors(selectors: tuple[Selector, ...]) -> str:
    """The selectors of a hold."""
    return _json([str(each) for each in selectors])


def read_selectors(document: str) -> tuple[Selector, ...]:
    """Read the selectors of a hold; as `read_entry`."""
    try:
        return tuple(Selector.parse(each) for each in json.loads(document))
    except (ValueError, TypeError, AttributeError):
        raise Unavailable(Reason.STORE_UNAVAILABLE, "a stored hold cannot be read") from None


def _blob(value: object) -> bytes:
    if not isinstance(value, bytes | memoryview):
        raise TypeError("not a blob")
    return bytes(value)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
