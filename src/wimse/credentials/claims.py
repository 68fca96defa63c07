"""Claims that more than one kind of token has: times and their checks (RFC 7519 §4.1)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from wimse.credentials.identifier import TrustDomain
from wimse.errors import ConfigurationError, Reason, Refused

__all__ = ["MAX_LEEWAY", "TokenSettings", "check_times", "optional_text", "required_time"]

MAX_LEEWAY: Final = timedelta(seconds=120)  # WIT-SVID §3.4: "seconds to at most a couple of minutes"
_MAX_TIME: Final = 253_402_300_799  # the last second of the year 9999


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """Limits for the verification of tokens.

    Attributes:
        leeway: how far our clock may be ahead of the issuer's. Default 30 s, at most 120 s.
        max_lifetime: longest life accepted, from issue to expiry and from now to expiry. Default 24 h
            (workload-creds §9.2.1: hours).
        max_cached_tokens: verified WITs that are remembered until they expire or their bundle changes; 0 for none.
            Default 4,096.
        issuers: for the trust domains in it, the only values that `iss` of a WIT may have, which then must be there
            (workload-creds §9.1: where keys are distributed by issuer, an allow-list MUST be enforced). Default none:
            then the keys of the bundle alone decide, and `iss` is for the audit.

    Raises on construction:
        ConfigurationError: for a leeway that is negative or above 120 s, a lifetime that is not positive, or a
            negative number of tokens.
    """

    leeway: timedelta = timedelta(seconds=30)
    max_lifetime: timedelta = timedelta(hours=24)
    max_cached_tokens: int = 4_096
    issuers: Mapping[TrustDomain, Collection[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not timedelta(0) <= self.leeway <= MAX_LEEWAY:
            raise ConfigurationError(f"leeway must be between 0 and {MAX_LEEWAY.seconds} seconds")
        if self.max_lifetime <= timedelta(0):
            raise ConfigurationError("max_lifetime must be positive")
        if self.max_cached_tokens < 0:
            raise ConfigurationError("max_cached_tokens must not be negative")
        if any(isinstance(each, str) for each in self.issuers.values()):  # a collection too: of its characters
            raise ConfigurationError("issuers gives a collection of strings for each trust domain")

    def check_issuer(self, claims: Mapping[str, object], trust_domain: TrustDomain) -> None:
        """Hold a WIT to the issuers that its trust domain is bound to, if any are configured.

        Raises:
            Refused: `issuer_not_allowed`.
        """
        allowed = self.issuers.get(trust_domain)
        if allowed is not None and claims.get("iss") not in tuple(allowed):
            raise Refused(Reason.ISSUER_NOT_ALLOWED, "the token's iss is not an issuer of its trust domain")


def required_time(claims: Mapping[str, object], name: str) -> int:
    """Read a time that must be there, in seconds since 1970.

    Raises:
        Refused: `token_claim` when it is missing, not an integer (a JSON true is none), negative, or after 9999.
    """
    value = optional_time(claims, name)
    if value is None:
        raise Refused(Reason.TOKEN_CLAIM, f"the token has no {name}")
    return value


def optional_time(claims: Mapping[str, object], name: str) -> int | None:
    """Read a time that may be absent; raises as `required_time` when it is there and no time."""
    if name not in claims:
        return None
    value = claims[name]
    # type() and not isinstance(): bool is an int
    if type(value) is not int or not 0 <= value <= _MAX_TIME:
        raise Refused(Reason.TOKEN_CLAIM, f"the token's {name} is not a time in whole seconds")
    return value


def optional_text(claims: Mapping[str, object], name: str) -> str | None:
    """Read a claim that is text or absent.

    Raises:
        Refused: `token_claim` when it is there and not a string.
    """
    value = claims.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused(Reason.TOKEN_CLAIM, f"the token's {name} is not a string")
    return value


def check_times(claims: Mapping[str, object], now: int, settings: TokenSettings) -> int:
    """Check `exp`, `nbf` and the length of the token's life.

    `iat` never delays validity (WIT-SVID §3.6); it counts only for the length of life.

    Args:
        claims: the claims.
        now: seconds since 1970.
        settings: leeway and longest life.

    Returns:
        `exp`, in seconds since 1970.

    Raises:
        Refused: `token_expired` when now ≥ exp + leeway, `token_not_yet_valid`, `token_lifetime`, `token_claim`.
    """
    expires_at = required_time(claims, "exp")
    not_before, issued_at = optional_time(claims, "nbf"), optional_time(claims, "iat")
    leeway = int(settings.leeway.total_seconds())
    if now >= expires_at + leeway:
        raise Refused(Reason.TOKEN_EXPIRED, "the token has expired")
    if not_before is not None and now < not_before - leeway:
        raise Refused(Reason.TOKEN_NOT_YET_VALID, "the token's nbf is in the future")
    starts = [start for start in (not_before, issued_at, now + leeway) if start is not None]
    longest = int(settings.max_lifetime.total_seconds())
    if any(expires_at - start > longest for start in starts):
        raise Refused(Reason.TOKEN_LIFETIME, f"the token lives longer than {longest} seconds")
    return expires_at
