"""What gives trust bundles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from wimse.credentials import TrustBundle, TrustDomain
from wimse.sources.bundle_settings import BundleSettings

__all__ = ["BundleSource", "Newest"]

Newest = Callable[[TrustDomain], TrustBundle | None]
"""The last good bundle of a trust domain that the keeper holds, however old."""


class BundleSource(Protocol):
    """Gives the bundle of one trust domain, or those of several."""

    trust_domain: TrustDomain | None
    """Whose bundle it gives; None for a bundle map."""

    needs: TrustDomain | None
    """The other trust domain, if any, whose bundle must be there before this source can be asked."""

    @property
    def name(self) -> str:
        """Where the bundles come from, for people."""

    async def fetch(self, newest: Newest) -> Mapping[TrustDomain, TrustBundle] | None:
        """Ask once.

        Args:
            newest: what is held, to authenticate the publisher by.

        Returns:
            All bundles of the source; None when they are what they were at the last time.

        Raises:
            WimseError: when there is nothing, or nothing that is acceptable.
        """

    def interval(self, settings: BundleSettings) -> float:
        """Seconds until it is to be asked again, after it was asked."""
