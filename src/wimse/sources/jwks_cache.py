"""What is known of a remote JWK Set, and when to ask for it again: no I/O, and time as an argument.

The rules:

1. A set is taken as a whole or not at all. What cannot be fetched, read or trusted changes nothing: the last good set
   stays until it is too old (CVE-2026-48524 was a cache that a strange `kid` emptied).
2. An unknown `keyid` is a reason to ask again, since keys rotate, but only once in a while and whatever the keyids are:
   a stranger can write as many of them as he likes.
3. A set in which nothing can be used is a good set. Its owner has no keys, and every signature is refused.
4. The publisher's Cache-Control is heard within our bounds.

Times are seconds of a clock that never goes back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Final

from wimse.errors import ConfigurationError, Reason, Refused, Unavailable
from wimse.httpsig import JWKSet, NeedKey
from wimse.keys import PublicKey

__all__ = ["JWKSCache", "JWKSSettings", "Published"]

_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class JWKSSettings:
    """How a remote JWK Set is fetched and kept.

    Attributes:
        timeout: for one fetch, from the first look-up of a name to the last byte. Default 5 s.
        max_document_bytes: largest document. Default 1 MiB.
        max_keys: most keys in it, whether they can be used or not. Default 256.
        default_lifetime: how long a set is taken as it is when the publisher does not say. Default 5 min.
        min_lifetime: the same at least, whatever the publisher says. Default 1 min.
        max_lifetime: the same at most. Default 1 h.
        max_age: how long a set may be used while no newer one can be had; so long lives a key that was revoked while
            the publisher is out of reach. Default 24 h.
        unknown_key_cooldown: between two fetches because of an unknown `keyid`. Default 30 s.
        failure_cooldown: before another fetch after one that failed. Default 5 s.
        allow_loopback_http: whether ``http`` is taken too, to this machine only. Default False.

    Raises on construction:
        ConfigurationError: for what is not positive, or a lifetime outside its bounds.
    """

    timeout: timedelta = timedelta(seconds=5)
    max_document_bytes: int = 1_048_576
    max_keys: int = 256
    default_lifetime: timedelta = timedelta(minutes=5)
    min_lifetime: timedelta = timedelta(minutes=1)
    max_lifetime: timedelta = timedelta(hours=1)
    max_age: timedelta = timedelta(hours=24)
    unknown_key_cooldown: timedelta = timedelta(seconds=30)
    failure_cooldown: timedelta = timedelta(seconds=5)
    allow_loopback_http: bool = False

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not isinstance(value, bool) and not value > type(value)(0):
                raise ConfigurationError(f"{each.name} must be positive")
        if not self.min_lifetime <= self.default_lifetime <= self.max_lifetime <= self.max_age:
            raise ConfigurationError("min_lifetime, default_lifetime, max_lifetime and max_age must be in this order")


@dataclass(frozen=True, slots=True)
class Published:
    """An answer of the publisher.

    Attributes:
        content: the document.
        cache_control: the value of Cache-Control, or None.
        age: the value of Age, or None.
    """

    content: bytes
    cache_control: str | None = None
    age: str | None = None


class JWKSCache:
    """The last good set, and what was tried since. Not safe among threads: its shell sees to that."""

    def __init__(self, settings: JWKSSettings) -> None:
        """Begin with nothing known."""
        self._settings = settings
        self._keys: JWKSet | None = None
        self._good_at = 0.0
        self._stale_at = 0.0
        self._attempted_at: float | None = None
        self._failed_at: float | None = None
        self._failure = "it was not fetched yet"

    def find(self, need: NeedKey, now: float) -> PublicKey:
        """Find the key of a signature in what is known.

        Args:
            need: whose.
            now: seconds.

        Raises:
            Refused: `key_unknown`, `key_id_missing`.
            Unavailable: `trust_unavailable` when there is no set that is young enough.
        """
        if self._keys is None or now - self._good_at > self._settings.max_age.total_seconds():
            raise Unavailable(Reason.TRUST_UNAVAILABLE, f"there is no JWK Set to verify with: {self._failure}")
        return self._keys(need)

    def lookup(self, need: NeedKey, now: float) -> PublicKey | None:
        """The same, or None when the set should be fetched first; `find` then says what came of it."""
        may_fetch = not self._within(self._failed_at, self._settings.failure_cooldown, now)
        if may_fetch and (self._keys is None or now >= self._stale_at):
            return None
        try:
            return self.find(need, now)
        except Refused as refused:
            cooling = self._within(self._attempted_at, self._settings.unknown_key_cooldown, now)
            if refused.reason is Reason.KEY_UNKNOWN and may_fetch and not cooling:
                return None
            raise

    def succeeded(self, published: Published, now: float) -> None:
        """Take a new set in place of the old one.

        Raises:
            Refused: as `JWKSet.parse`; nothing is changed then, and the caller reports the failure.
        """
        settings = self._settings
        keys = JWKSet.parse(published.content, max_bytes=settings.max_document_bytes, max_keys=settings.max_keys)
        self._keys = keys
        self._good_at = self._attempted_at = now
        self._stale_at = now + self._lifetime(published)
        self._failed_at = None

    def failed(self, detail: str, now: float) -> None:
        """Note that the set could not be had; what is known stays.

        Args:
            detail: why, in words of ours.
            now: seconds.
        """
        self._attempted_at = self._failed_at = now
        self._failure = detail

    def _within(self, since: float | None, span: timedelta, now: float) -> bool:
        return since is not None and now - since < span.total_seconds()

    def _lifetime(self, published: Published) -> float:
        # RFC 9111 §4.2.1, §4.2.3: max-age less what it has aged on the way. §5.2.2: no-store and no-cache mean that it
        # is to be asked for each time, which is the least here. s-maxage is for shared caches; this is not one.
        directives = [each.strip(" \t").lower() for each in (published.cache_control or "").split(",")]
        lifetime = self._settings.default_lifetime.total_seconds()
        ages = [each.removeprefix("max-age=").strip('"') for each in directives if each.startswith("max-age=")]
        if ages:  # §4.2.1: of several the first one or none; the shortest is both heard and safe
            lifetime = min((int(each) for each in ages if _SECONDS.fullmatch(each)), default=0)
            age = published.age or ""
            lifetime -= int(age) if _SECONDS.fullmatch(age) else 0
        if "no-store" in directives or "no-cache" in directives:
            lifetime = 0
        least, most = self._settings.min_lifetime.total_seconds(), self._settings.max_lifetime.total_seconds()
        return min(max(lifetime, least), most)
