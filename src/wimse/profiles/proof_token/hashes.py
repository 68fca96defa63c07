"""The hashes by which a proof is bound to the tokens beside it (§2: `wth`, `ath`, `tth`, `oth`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType

from wimse.errors import Reason, Refused
from wimse.keys import b64url_encode

__all__ = ["TokenHashes", "token_hash"]

_NONE: Mapping[str, str] = MappingProxyType({})


def token_hash(value: str) -> str:
    """The base64url of the SHA-256 of a token's ASCII bytes, as every one of these claims has it.

    Args:
        value: the token as it is sent; of a field in `oth` the whole value, without spaces around it.

    Raises:
        Refused: `field_malformed` for characters that are not ASCII.
    """
    try:
        data = value.encode("ascii")
    except UnicodeEncodeError:
        raise Refused(Reason.FIELD_MALFORMED, "a token beside the proof is not ASCII") from None
    return b64url_encode(sha256(data).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenHashes:
    """What stands beside a proof in its message, but for the WIT: each token by its `token_hash`.

    Attributes:
        access_token: of an OAuth access token (``ath``, revision 01 only); None without one.
        txn_token: of a transaction token (``tth``); None without one.
        others: of further tokens (``oth``), by the name of their field in lower case, or whatever both sides agreed on.
    """

    access_token: str | None = None
    txn_token: str | None = None
    others: Mapping[str, str] = field(default_factory=lambda: _NONE)
