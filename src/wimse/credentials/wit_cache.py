"""Verified WITs, so that a workload's next message does not cost another verification of the same token.

A workload sends its WIT with every message until it renews it. A token is kept under its exact text, together
with the bundle that verified it: a bundle that was exchanged, be it for one that no longer has the key, has
verified nothing. Times are not remembered but checked again at each use.
"""

from __future__ import annotations

from typing import NamedTuple

from wimse.credentials.bundle import TrustBundle
from wimse.credentials.claims import TokenSettings, check_times
from wimse.credentials.wit import VerifiedWIT

__all__ = ["KnownWIT", "VerifiedWITCache"]


class KnownWIT(NamedTuple):
    """A WIT that was verified before.

    Attributes:
        wit: the token.
        bundle: what verified it.
        since: when, in seconds since 1970.
        until: when it has expired, leeway included, in seconds since 1970.
    """

    wit: VerifiedWIT
    bundle: TrustBundle
    since: int
    until: int

    def verified_by(self, bundle: TrustBundle, now: int, settings: TokenSettings) -> VerifiedWIT | None:
        """The token as `verify_wit` would give it now, or None when that has to be asked.

        Args:
            bundle: that of the token's trust domain, now.
            now: seconds since 1970.
            settings: the same that it was verified with.

        Raises:
            Refused: `token_expired`, `token_not_yet_valid` or `token_lifetime`, as `verify_wit` would at `now`.
        """
        if bundle is not self.bundle:  # the very object: bundles do not change, they are exchanged
            return None
        # What was valid once stays so until it expires (`check_times`: each of its rules is met by every later time).
        if not self.since <= now < self.until:
            check_times(self.wit.claims, now, settings)
        return self.wit


class VerifiedWITCache:
    """A bounded number of verified WITs, found by their text.

    Two generations: when the young one is full it becomes the old one, and what was old is forgotten unless it was
    used since. Nothing is ever looked for or counted by walking, and each step is one operation of a dictionary: two
    threads can at worst forget an entry, which costs a verification, and cannot find a wrong one.
    """

    def __init__(self, max_entries: int) -> None:
        """Keep at most `max_entries`; 0 keeps none."""
        self._most_young = max(max_entries // 2, min(max_entries, 1))  # a single one has no old generation
        self._keeps_old = max_entries > 1
        self._young: dict[str, KnownWIT] = {}
        self._old: dict[str, KnownWIT] = {}

    def find(self, text: str) -> KnownWIT | None:
        """The token of exactly this text, if it is known."""
        known = self._young.get(text)
        if known is None and (known := self._old.get(text)) is not None:
            self._keep(known)
        return known

    def remember(self, wit: VerifiedWIT, bundle: TrustBundle, now: int, settings: TokenSettings) -> None:
        """Keep a token that `bundle` has just verified.

        Args:
            wit: the token.
            bundle: that of its trust domain.
            now: when it was verified, in seconds since 1970.
            settings: that it was verified with.
        """
        self._keep(KnownWIT(wit, bundle, now, wit.expires_at + int(settings.leeway.total_seconds())))

    def _keep(self, known: KnownWIT) -> None:
        if not self._most_young:
            return
        if len(self._young) >= self._most_young:
            self._old, self._young = (self._young if self._keeps_old else {}), {}
        self._young[known.wit.text] = known

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
