"""How trust bundles are fetched and kept, and what becomes known of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from enum import StrEnum

from wimse.credentials import TrustDomain
from wimse.errors import ConfigurationError

__all__ = ["BundleChange", "BundleEvent", "BundleObserver", "BundleSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSettings:
    """Limits for trust bundles that come from outside.

    Attributes:
        timeout: for one fetch, from the first look-up of a name to the last byte. Default 5 s.
        max_redirects: how many are followed in one fetch; 0 for none. Default 3.
        default_refresh: until a bundle is fetched again when it has no refresh hint. Default 5 min (SPIFFE Trust
            Domain and Bundle §6.1).
        min_refresh: the same at least, whatever the hint says. Default 30 s.
        max_refresh: the same at most; so long may a revoked key live while all is well. Default 1 h.
        first_retry: before another try while there is no bundle at all. Default 5 s.
        file_interval: between two looks at a file. Default 5 s.
        max_age: how long the last good bundle may be used while no newer one can be had; then it is refused. Default
            24 h.
        first_wait: how long a start waits for the first bundles before it goes on without them. Default 10 s.

    Raises on construction:
        ConfigurationError: for what is not positive (`max_redirects` may be 0), or a time outside its bounds.
    """

    timeout: timedelta = timedelta(seconds=5)
    max_redirects: int = 3
    default_refresh: timedelta = timedelta(minutes=5)
    min_refresh: timedelta = timedelta(seconds=30)
    max_refresh: timedelta = timedelta(hours=1)
    first_retry: timedelta = timedelta(seconds=5)
    file_interval: timedelta = timedelta(seconds=5)
    max_age: timedelta = timedelta(hours=24)
    first_wait: timedelta = timedelta(seconds=10)

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            zero = type(value)(0)
            if value < zero or (value == zero and each.name != "max_redirects"):
                raise ConfigurationError(f"{each.name} must be positive")
        if not self.min_refresh <= self.default_refresh <= self.max_refresh <= self.max_age:
            raise ConfigurationError("min_refresh, default_refresh, max_refresh and max_age must be in this order")
        if self.file_interval > self.max_age:
            raise ConfigurationError("file_interval must not be above max_age")


class BundleChange(StrEnum):
    """What has become of a bundle."""

    UPDATED = "updated"
    REMOVED = "removed"
    IGNORED = "ignored"
    FAILED = "failed"
    TOO_OLD = "too_old"


@dataclass(frozen=True, slots=True)
class BundleEvent:
    """Something that an operator wants to know. It holds neither keys nor anything that a peer has sent.

    Attributes:
        change: what has happened.
        source: where the bundle comes from, as it was configured.
        trust_domain: whose it is; None when a bundle map as a whole could not be had.
        detail: one line for a person.
        sequence: `spiffe_sequence` of the bundle that is held, or None.
    """

    change: BundleChange
    source: str
    trust_domain: TrustDomain | None
    detail: str
    sequence: int | None = None


BundleObserver = Callable[[BundleEvent], None]
"""Is told of every event, in the thread that keeps the bundles: for counters and alarms."""
