"""A replay store in memory: two generations of a set, for one process."""

from __future__ import annotations

import time
from threading import Lock
from typing import Final

from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.stores import forks

__all__ = ["MemoryReplayStore"]

_PATIENCE_SECONDS: Final = 1.0


class MemoryReplayStore:
    """Remembers nonces in this process, atomically among its threads and tasks.

    The younger generation takes claims; once nothing in the older one can still be valid, it is dropped and the younger
    one takes its place. So a nonce is kept at least until its message has expired, and at most about twice as long,
    with no clean-up of single entries.

    Other processes know nothing of it: behind several workers a replay can reach another one for the life of a
    signature. After a restart it does not know what was seen before: `since` says when it began, and what was signed
    earlier is refused. The cost: a message that was on its way while the process started gets a 503. The same holds for
    a process that is forked after the store was made: it takes over what was seen until then, and does not know what
    workers saw whose place it takes.
    """

    def __init__(self, *, max_entries: int = 1_000_000, since: int | None = None) -> None:
        """Make an empty store.

        Args:
            max_entries: nonces held at most; about 100 bytes each. When it is full it fails closed.
            since: what was signed before this time, in seconds since 1970, is not accepted. None is now. A later time,
                now + leeway + 1, also refuses what senders with a clock ahead of ours signed; 0 refuses nothing, for
                messages of the past.

        Raises:
            ConfigurationError: when `max_entries` is below 1.
        """
        if max_entries < 1:
            raise ConfigurationError("max_entries must be at least 1")
        now = int(time.time())
        self.since = now if since is None else since
        self._ahead = None if since == 0 else max(self.since - now, 0)
        self._max_entries = max_entries
        self._lock = Lock()
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._young_until = 0
        self._old_until = 0
        self._forgotten_until = 0
        self._resting = False
        forks.follow(self)

    def claim(self, key: bytes, until: int, now: int) -> bool:
        """Claim `key`; True for the first one, False for every other until at least `until`.

        Args:
            key: what identifies the message.
            until: seconds since 1970.
            now: seconds since 1970.

        Raises:
            Unavailable: `replay_store_unavailable` when the store is full, since a nonce that cannot be remembered
                is not accepted; or for a time that it has forgotten already.
        """
        with self._lock:
            if now >= self._old_until:
                self._forgotten_until = max(self._forgotten_until, self._old_until)
                self._old, self._old_until = self._young, self._young_until
                self._young, self._young_until = set(), 0
            if until <= self._forgotten_until:
                # Only a clock that jumped ahead and came back gets here: the nonce may have been among those dropped.
                raise Unavailable(Reason.REPLAY_STORE_UNAVAILABLE, "the clock went back behind what is remembered")
            if key in self._young or key in self._old:
                return False
            if len(self._young) + len(self._old) >= self._max_entries:
                raise Unavailable(Reason.REPLAY_STORE_UNAVAILABLE, "the replay store is full")
            self._young.add(key)
            self._young_until = max(self._young_until, until)
            return True

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def before_fork(self) -> None:
        """Wait until no thread is claiming."""
        # In vain only where a signal's handler forks, in the middle of a claim.
        self._resting = self._lock.acquire(timeout=_PATIENCE_SECONDS)

    def after_fork(self, *, child: bool) -> None:
        """Begin anew in the child, as far as others are concerned."""
        resting, self._resting = self._resting, False
        if not child:
            if resting:
                self._lock.release()
            return
        self._lock = Lock()
        if self._ahead is not None:
            # Rounded up: a fork takes no time, and the worker whose place it takes may have worked to the last moment.
            self.since = max(self.since, int(time.time()) + 1 + self._ahead)
