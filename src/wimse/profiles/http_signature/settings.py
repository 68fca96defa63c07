"""Times and sizes of the profile, each with a default that is safe and a bound."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from wimse.errors import ConfigurationError
from wimse.httpsig.requirements import MAX_LEEWAY

__all__ = ["SignatureSettings"]

_LONGEST: Final = timedelta(seconds=300)
_SHORTEST_NONCE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureSettings:
    """How signatures are made and judged.

    Attributes:
        lifetime: from `created` to `expires` of ours. Default 60 s, at most 300 s.
        max_lifetime: from `created` to `expires` of others. Default and most 300 s (§3: on the order of minutes).
        leeway: how far the clocks of both sides may be apart. Default 30 s, at most 120 s.
        min_nonce_characters: of others' nonces. Default and least 8.
        max_nonce_characters: of others' nonces. Default 256.
        label: of our signatures. Default ``wimse``; others' labels mean nothing.

    Raises on construction:
        ConfigurationError: for a value outside its bounds.
    """

    lifetime: timedelta = timedelta(seconds=60)
    max_lifetime: timedelta = _LONGEST
    leeway: timedelta = timedelta(seconds=30)
    min_nonce_characters: int = _SHORTEST_NONCE
    max_nonce_characters: int = 256
    label: str = "wimse"

    def __post_init__(self) -> None:
        for name in ("lifetime", "max_lifetime"):
            if not timedelta(seconds=1) <= getattr(self, name) <= _LONGEST:
                raise ConfigurationError(f"{name} must be between 1 and {_LONGEST.seconds} seconds")
        if not timedelta(0) <= self.leeway <= MAX_LEEWAY:
            raise ConfigurationError(f"leeway must be between 0 and {MAX_LEEWAY.seconds} seconds")
        if not _SHORTEST_NONCE <= self.min_nonce_characters <= self.max_nonce_characters:
            raise ConfigurationError(f"nonces must have {_SHORTEST_NONCE} characters at least")
