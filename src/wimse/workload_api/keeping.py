"""Signing keys and entries that a store keeps, brought to a running server, and changes of them.

Rules:

1. One thread does everything that blocks; the event loop takes over what it gives, whole.
2. What cannot be confirmed is not served for long: the keys themselves say until when (`SigningKeys.fresh_until`), so a
   thread that hangs stops issuing like a store that is away.
3. What cannot be taken over (an entry that does not fit the others) leaves what is served as it is, and is logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from typing import Final, Protocol

from wimse.errors import Unavailable, WimseError
from wimse.issuer import Registration, Registrations, SigningKeys
from wimse.workload_api.events import KeysChanged
from wimse.workload_api.state import ServedState

__all__ = ["IssuerKeeping", "KeptIssuer", "ServedEntries"]

log = logging.getLogger("wimse.workload_api")

_MAX_INTERVAL_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 5.0  # for what the thread is about when the server stops

Change = Callable[[], SigningKeys]


class KeptIssuer(Protocol):
    """What is needed of the store's side; `wimse.stores.issuer.KeyKeeper` has it. All of it blocks."""

    @property
    def entries(self) -> Sequence[Registration]:
        """The entries as they were last read."""
        ...

    def start(self, *, now: int) -> SigningKeys:
        """Read and check everything."""
        ...

    def refresh(self, *, now: int) -> SigningKeys:
        """Hear of what has changed, and do what is due."""
        ...


class ServedEntries:
    """The entries of the configuration and those of the store, as one set of registrations."""

    def __init__(self, own: Sequence[Registration], *, default_identities: bool, now: int) -> None:
        """Begin with those of the configuration.

        Args:
            own: they come first, and keep their identities to themselves.
            default_identities: see `Registrations`.
            now: seconds since 1970.
        """
        self._own = tuple(own)
        self._default_identities = default_identities
        self._now = now
        self._template = False
        self._stored: tuple[Registration, ...] = ()
        self._twice: frozenset[str] = frozenset()

    def take_own(self, own: Sequence[Registration], *, default_identities: bool) -> Registrations:
        """Take those of a new configuration, and give all of them.

        Raises:
            ConfigurationError: when they do not fit those of the store; nothing is changed.
        """
        before = self._own, self._default_identities
        self._own, self._default_identities = tuple(own), default_identities
        try:
            return self.registrations()
        except BaseException:
            self._own, self._default_identities = before
            raise

    def take_time(self, now: int) -> bool:
        """Let entries of the configuration end whose time has come; give whether others count than before."""
        before, self._now = self._now, now
        return any(each.expired(before) != each.expired(now) for each in self._own)

    def take_stored(self, stored: Sequence[Registration], *, now: int) -> bool:
        """Take those of the store that have not expired at `now`; give whether they are others than before."""
        living = tuple(each for each in stored if not each.expired(now))
        if living == self._stored:
            return False
        self._stored = living
        return True

    def take_template(self, *, template: bool) -> bool:
        """Give callers without an entry an identity, beside what the configuration says; give whether that is new."""
        before, self._template = self._template, template
        return before != template

    def registrations(self) -> Registrations:
        """All of them.

        Raises:
            ConfigurationError: when they do not fit together.
        """
        taken = {each.path for each in self._own}  # also by one that has expired: what ends brings nothing else in
        own = (each.entry for each in self._own if not each.expired(self._now))
        twice = frozenset(each.path for each in self._stored if each.path in taken)
        if twice - self._twice:  # an identity is registered once
            log.error("%d identities are in the configuration and in the store: that of the file counts", len(twice))
        self._twice = twice
        stored = (each.entry for each in self._stored if each.path not in taken)
        given = self._default_identities or self._template
        return Registrations((*own, *stored), default_identities=given)


class IssuerKeeping:
    """Keeps a server's authority and registrations as its store has them."""

    def __init__(self, keeper: KeptIssuer, state: ServedState, entries: ServedEntries, *, max_staleness: float) -> None:
        """Keep `state`; `running` does it.

        Args:
            keeper: has been started.
            state: of the server.
            entries: which of them are served.
            max_staleness: seconds, as the keeper has it; it is asked four times as often, and every 2 s at least.
        """
        self._keeper = keeper
        self._state = state
        self._entries = entries
        self._interval = min(_MAX_INTERVAL_SECONDS, max_staleness / 4)
        self._jobs: queue.Queue[tuple[Change, Future[None]] | None] = queue.Queue()
        self._failing = False
        self._entries_wait = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do it inside the `async with`."""
        self._loop = asyncio.get_running_loop()
        # A daemon: a database that does not answer does not keep the process from ending.
        thread = threading.Thread(target=self._work, name="wimse-issuer", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._jobs.put(None)
            await asyncio.to_thread(thread.join, _STOP_SECONDS)

    async def change(self, change: Change) -> None:
        """Do something with the keeper, in its thread; when this returns the server serves what came of it.

        Args:
            change: such as ``lambda: keeper.rotate(KeyUse.WIT, now=now)``.

        Raises:
            WimseError: whatever `change` raises.
        """
        done: Future[None] = Future()
        self._jobs.put((change, done))
        await asyncio.wrap_future(done)

    async def refresh(self) -> None:
        """Look at the store now, as after a change of entries; errors as `change`."""
        await self.change(self._refresh)

    def _refresh(self) -> SigningKeys:
        return self._keeper.refresh(now=int(time.time()))

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=self._interval)
            except queue.Empty:
                job = (self._refresh, Future())
            if job is None:
                return
            change, done = job
            if not done.set_running_or_notify_cancel():  # who asked for it does not wait any more
                continue
            try:
                keys, entries = change(), self._keeper.entries
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look has to come
                self._note_failure(error)
                done.set_exception(error)
                continue
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody is served
                self._loop.call_soon_threadsafe(self._take, keys, entries, done)

    def _note_failure(self, error: Exception) -> None:
        if not self._failing:
            detail = error.detail if isinstance(error, WimseError) else f"a fault ({type(error).__name__})"
            log.error("signing keys and entries cannot be brought up to date: %s", detail)
        self._failing = True

    def _take(self, keys: SigningKeys, entries: Sequence[Registration], done: Future[None]) -> None:
        """Serve these from now on; in the event loop."""
        try:
            self._take_keys(keys)
            self._take_entries(entries)
        except WimseError as error:
            self._note_failure(error)
            done.set_exception(error)
            return
        if self._failing:
            log.warning("signing keys and entries are up to date again")
        self._failing = False
        done.set_result(None)

    def _take_keys(self, keys: SigningKeys) -> None:
        authority = self._state.authority
        before = authority.keys
        authority.install(keys)
        with contextlib.suppress(Unavailable):
            authority.check(now=int(time.time()))
            self._state.issuer_fails = False
        change = KeysChanged.to(keys)
        if change != KeysChanged.to(before):
            with contextlib.suppress(WimseError):  # a key goes also where that cannot be recorded
                self._state.tell(change)
        # A stream finds out itself whether what it sent was signed by a key that is not to be trusted any more.
        if (before.sequence, before.distrusted) != (keys.sequence, keys.distrusted):
            log.info("the bundle of %s has changed: sequence %s", authority.name, keys.sequence)
            self._state.keys_changed()

    def _take_entries(self, entries: Sequence[Registration]) -> None:
        self._entries_wait |= self._entries.take_stored(entries, now=int(time.time()))
        if self._entries_wait:  # and until they fit
            self._state.replace_registrations(self._entries.registrations())
            self._entries_wait = False
