"""What is known of the bundles of one source: no I/O, and time as an argument.

The rules:

1. What a source gives is taken as a whole: one assignment replaces what was known, so that no reader sees half of it.
   What cannot be fetched, read or trusted changes nothing.
2. The last good bundle stays until it is `max_age` old. Then it is refused rather than trusted: keys may have been
   revoked since.
3. A bundle whose `spiffe_sequence` is lower than that of the one that is held is an old one, and ignored; so is one
   without a sequence after one with (Trust Domain and Bundle §4.1.1). It renews nothing, and the age goes on.
4. A bundle without keys is a good bundle, and distrusts all (§4.1.3).
5. A bundle that says the same as the one that is held is the one that is held: the very object stays, because verified
   tokens are remembered by it.
6. Looking up asks for nothing. Keys that nobody knows are no reason to fetch: a stranger can name as many as he likes.
7. Bundles are never merged (Federation §4.2): each replaces the one of its trust domain.

Times are seconds of a clock that never goes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from wimse.credentials import TrustBundle, TrustDomain
from wimse.errors import Reason, Unavailable
from wimse.sources.bundle_settings import BundleChange

__all__ = ["BundleHolding"]

_NOTHING: Final[Mapping[TrustDomain, _Held]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Held:
    bundle: TrustBundle
    good_at: float


class BundleHolding:
    """The last good bundles of one source. One thread changes it; any number may look up."""

    def __init__(self, max_age_seconds: float) -> None:
        """Begin with nothing known."""
        self._max_age = max_age_seconds
        self._held: Mapping[TrustDomain, _Held] | None = None
        self._ignored: frozenset[TrustDomain] = frozenset()
        self._failure = "it was not fetched yet"

    @property
    def loaded(self) -> bool:
        """Whether the source has given something at all."""
        return self._held is not None

    def take(self, bundles: Mapping[TrustDomain, TrustBundle], now: float) -> list[tuple[BundleChange, TrustDomain]]:
        """Take what the source gives in place of what it gave before.

        Args:
            bundles: all of them; what is missing is not trusted any more.
            now: seconds.

        Returns:
            What has changed for which trust domain: updated, removed, or ignored.
        """
        before = self._held or {}
        after: dict[TrustDomain, _Held] = {}
        changes: list[tuple[BundleChange, TrustDomain]] = []
        for domain, bundle in bundles.items():
            held = before.get(domain)
            if held is None or not (held.bundle == bundle or _is_older(bundle, held.bundle)):
                after[domain] = _Held(bundle, now)
                changes.append((BundleChange.UPDATED, domain))
            elif held.bundle == bundle:
                after[domain] = _Held(held.bundle, now)
            else:
                after[domain] = held
                changes.append((BundleChange.IGNORED, domain))
        changes += [(BundleChange.REMOVED, domain) for domain in before if domain not in after]
        self._ignored = frozenset(domain for change, domain in changes if change is BundleChange.IGNORED)
        self._held = MappingProxyType(after)
        return changes

    def unchanged(self, now: float) -> None:
        """Note that the source still says what it said when it was taken last. What was ignored then renews nothing."""
        if self._held is not None:
            self._held = MappingProxyType(
                {
                    domain: held if domain in self._ignored else _Held(held.bundle, now)
                    for domain, held in self._held.items()
                }
            )

    def failed(self, detail: str) -> None:
        """Note that the source could not be had; what is known stays.

        Args:
            detail: why, in words of ours.
        """
        self._failure = detail

    def find(self, trust_domain: TrustDomain, now: float) -> TrustBundle | None:
        """The bundle of a trust domain, or None when the source has none for it.

        Raises:
            Unavailable: `trust_unavailable` before anything could be had, and when the last good bundle is too old.
        """
        everything = self._held
        if everything is None:
            raise Unavailable(Reason.TRUST_UNAVAILABLE, f"there is no trust bundle: {self._failure}")
        held = everything.get(trust_domain)
        if held is None:
            return None
        if now - held.good_at > self._max_age:
            raise Unavailable(Reason.TRUST_UNAVAILABLE, f"the trust bundle is too old: {self._failure}")
        return held.bundle

    def newest(self, trust_domain: TrustDomain) -> TrustBundle | None:
        """The last good bundle, however old: to authenticate the one who can give a newer one."""
        held = (self._held or {}).get(trust_domain)
        return None if held is None else held.bundle

    def too_old(self, now: float) -> list[TrustDomain]:
        """The trust domains whose bundle is refused for its age."""
        held = self._held or _NOTHING
        return [domain for domain, each in held.items() if now - each.good_at > self._max_age]

    def fresh(self, now: float) -> Mapping[TrustDomain, TrustBundle]:
        """All bundles that are not too old."""
        held = self._held or _NOTHING
        return {domain: each.bundle for domain, each in held.items() if now - each.good_at <= self._max_age}


def _is_older(bundle: TrustBundle, held: TrustBundle) -> bool:
    if held.sequence is None:
        return False
    return bundle.sequence is None or bundle.sequence < held.sequence
