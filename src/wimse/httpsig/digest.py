"""Content-Digest (RFC 9530 §2) with sha-256 and sha-512: made and checked.

One rule for when there must be one, whatever Content-Length or chunks say: content of at least one byte needs a
digest; without content a digest may be there, and must then be that of no bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from hmac import compare_digest
from typing import Any, Final, cast

import http_sf

from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig.limits import DEFAULT_LIMITS, Limits
from wimse.httpsig.message import Fields

__all__ = ["CONTENT_DIGEST", "DIGEST_ALGORITHMS", "check_content_digest", "content_digest"]

CONTENT_DIGEST: Final = "content-digest"

# RFC 9530 §5: the two that are "Active". The deprecated ones MUST NOT be used, and prove nothing.
_HASHES: Final[dict[str, Callable[[bytes], Any]]] = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
DIGEST_ALGORITHMS: Final = tuple(_HASHES)


def content_digest(content: bytes, algorithms: Iterable[str] = ("sha-256",)) -> str:
    """The value of a Content-Digest field.

    Args:
        content: the content as it is sent, after any content coding.
        algorithms: ``sha-256``, ``sha-512``, or both.

    Raises:
        ConfigurationError: for another algorithm, or none.
    """
    names = list(algorithms)
    if not names or not set(names) <= set(_HASHES):
        raise ConfigurationError("a Content-Digest is made with sha-256, sha-512 or both")
    return str(cast("Any", http_sf.ser({name: _HASHES[name](content).digest() for name in names})))


def check_content_digest(fields: Fields, content: bytes, *, limits: Limits = DEFAULT_LIMITS) -> None:
    """Compute the digest of the content that was received and compare it with the field.

    Args:
        fields: of the message.
        content: as received, before any content coding is undone.
        limits: how many members are read.

    Raises:
        Refused: `digest_missing` when there is content and no field; `digest_unusable` for a field that is
            malformed, has a member twice, or has no member that is supported; `digest_mismatch` when any
            supported member differs; `too_many_digests`.
    """
    text = fields.combined(CONTENT_DIGEST)
    if text is None:
        if content:
            raise Refused(Reason.DIGEST_MISSING, "the message has content and no Content-Digest")
        return
    members = _parse(text, limits)
    supported = [name for name in members if name in _HASHES]
    if not supported:
        raise Refused(Reason.DIGEST_UNUSABLE, "Content-Digest has neither sha-256 nor sha-512")
    for name in supported:  # §6.6: one right member does not make up for a wrong one
        if not compare_digest(_HASHES[name](content).digest(), members[name]):
            raise Refused(Reason.DIGEST_MISMATCH, f"the content's {name} digest is not the one in Content-Digest")


def _parse(text: str, limits: Limits) -> dict[str, bytes]:
    if len(text) > limits.max_field_bytes:
        raise Refused(Reason.FIELD_TOO_LARGE, f"content-digest is longer than {limits.max_field_bytes} bytes")
    try:
        parsed = http_sf.parse(text.encode("latin-1"), tltype="dictionary", on_duplicate_key=_refuse_duplicate)
    except http_sf.StructuredFieldError:
        raise Refused(Reason.DIGEST_UNUSABLE, "Content-Digest is not a Dictionary structured field") from None
    members = cast("dict[str, Any]", parsed)
    if len(members) > limits.max_digests:
        raise Refused(Reason.TOO_MANY_DIGESTS, f"Content-Digest has more than {limits.max_digests} members")
    for value, parameters in members.values():
        if not isinstance(value, bytes) or parameters or http_sf.ser(value) not in text:
            raise Refused(Reason.DIGEST_UNUSABLE, "a member of Content-Digest is not a plain, canonical Byte Sequence")
    return {name: value for name, (value, _) in members.items()}


def _refuse_duplicate(_: str, __: str) -> None:
    # Structured fields let the last one win; a second reader may take the first.
    raise Refused(Reason.DIGEST_UNUSABLE, "Content-Digest has a member twice")
