"""Want-Content-Digest and Want-Repr-Digest (RFC 9530 §4): which digests a peer would like, in either direction.

In a request they speak of the response, in a response of later requests. They are a hint: whoever is asked answers with
an algorithm that it supports, or not at all, and never with a deprecated one, whatever weight that was given (§5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, cast

import http_sf

from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig.digest import DIGEST_ALGORITHMS
from wimse.httpsig.limits import DEFAULT_LIMITS, Limits
from wimse.httpsig.message import Fields

__all__ = ["WANT_CONTENT_DIGEST", "WANT_REPR_DIGEST", "DigestPreferences", "parse_want_digest", "want_digest"]

WANT_CONTENT_DIGEST: Final = "want-content-digest"
WANT_REPR_DIGEST: Final = "want-repr-digest"
_NAMES: Final = (WANT_CONTENT_DIGEST, WANT_REPR_DIGEST)

MAX_WEIGHT: Final = 10
NOT_ACCEPTABLE: Final = 0


@dataclass(frozen=True, slots=True)
class DigestPreferences:
    """What a peer would like.

    Attributes:
        weights: algorithm to weight, in the field's order, also for algorithms that are not supported; 1 is the least
            preferred, 10 the most, and 0 means "not acceptable".
    """

    weights: Mapping[str, int]

    def choose(self, supported: Iterable[str] = DIGEST_ALGORITHMS, *, fall_back: bool = True) -> str | None:
        """Choose the algorithm to answer with.

        Args:
            supported: what we are willing to compute, the first preferred; it decides between equal weights.
            fall_back: when no algorithm that we support is wished for, whether to answer with the first that the peer
                did not call unacceptable (appendix C.2), rather than not at all.

        Returns:
            An algorithm of `supported`, or None: no answer. A weight for anything else changes nothing.

        Raises:
            ConfigurationError: when `supported` has an algorithm that no digest is made with, or is empty.
        """
        ours = list(supported)
        if not ours or not set(ours) <= set(DIGEST_ALGORITHMS):
            raise ConfigurationError("a digest is made with sha-256, sha-512 or both")
        wished = [name for name in ours if self.weights.get(name, NOT_ACCEPTABLE) > NOT_ACCEPTABLE]
        if wished:
            return max(wished, key=lambda name: self.weights[name])  # the first of several that are largest
        others = [name for name in ours if name not in self.weights]
        return others[0] if fall_back and others else None


def parse_want_digest(
    fields: Fields, name: str = WANT_CONTENT_DIGEST, *, limits: Limits = DEFAULT_LIMITS
) -> DigestPreferences | None:
    """Read an Integrity preference field.

    Args:
        fields: of the message.
        name: `WANT_CONTENT_DIGEST` or `WANT_REPR_DIGEST`.
        limits: how long the field is, and how many members are read.

    Returns:
        The preferences; None when the message has no such field.

    Raises:
        Refused: `field_malformed` for what is no Dictionary, or a member that is not an Integer from 0 to 10 without
            parameters; `field_duplicated` for a member that occurs twice; `too_many_digests`; `field_too_large`.
        ConfigurationError: for another `name`.
    """
    if name not in _NAMES:
        raise ConfigurationError(f"preferences are in {WANT_CONTENT_DIGEST} or {WANT_REPR_DIGEST}")
    text = fields.combined(name)
    if text is None:
        return None
    if len(text) > limits.max_field_bytes:
        raise Refused(Reason.FIELD_TOO_LARGE, f"{name} is longer than {limits.max_field_bytes} bytes")
    try:
        parsed = http_sf.parse(text.encode("latin-1"), tltype="dictionary", on_duplicate_key=_refuse_duplicate)
    except http_sf.StructuredFieldError:
        raise Refused(Reason.FIELD_MALFORMED, f"{name} is not a Dictionary structured field") from None
    members = cast("dict[str, Any]", parsed)
    if len(members) > limits.max_digests:
        raise Refused(Reason.TOO_MANY_DIGESTS, f"{name} has more than {limits.max_digests} members")
    for weight, parameters in members.values():
        if not _is_weight(weight) or parameters:
            raise Refused(Reason.FIELD_MALFORMED, f"a member of {name} is not an Integer from 0 to {MAX_WEIGHT}")
    return DigestPreferences(MappingProxyType({key: weight for key, (weight, _) in members.items()}))


def want_digest(weights: Mapping[str, int]) -> str:
    """The value of a Want-Content-Digest or Want-Repr-Digest field.

    Args:
        weights: algorithm to weight, in the order to be written. What is wished for (1 to 10) is ``sha-256``,
            ``sha-512`` or both; any algorithm may be called unacceptable (0).

    Raises:
        ConfigurationError: when nothing is named, a wish is for an algorithm that is deprecated or not supported, a
            weight is not an integer from 0 to 10, or a name is not a Dictionary's key.
    """
    if not weights:
        raise ConfigurationError("the preferences name no algorithm")
    for name, weight in weights.items():
        if not _is_weight(weight):
            raise ConfigurationError(f"a weight is an integer from 0 to {MAX_WEIGHT}")
        if weight != NOT_ACCEPTABLE and name not in DIGEST_ALGORITHMS:
            raise ConfigurationError("a digest is wished for with sha-256, sha-512 or both")
    try:
        return str(cast("Any", http_sf.ser(dict(weights))))
    except (ValueError, TypeError):
        raise ConfigurationError("an algorithm's name is not the key of a structured field's Dictionary") from None


def _is_weight(value: object) -> bool:
    # type() and not isinstance(): a Boolean, as a bare key is, is no Integer.
    return type(value) is int and NOT_ACCEPTABLE <= value <= MAX_WEIGHT


def _refuse_duplicate(_: str, __: str) -> None:
    # Structured fields let the last one win; a second reader may take the first.
    raise Refused(Reason.FIELD_DUPLICATED, "a digest preference occurs twice")
