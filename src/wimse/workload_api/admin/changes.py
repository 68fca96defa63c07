"""Changes of entries in a store: each one recorded before it is made, told, and finished once it has begun.

The line of a change is written inside its transaction, as the last thing before the commit. Who cannot record it and
has to, by raising, keeps it from being made. A commit that fails after that is told as well (`EntryChangeFailed`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from wimse.credentials import TrustDomain
from wimse.errors import Reason, Refused, Unavailable, WimseError
from wimse.issuer import IssuerStore, Registration
from wimse.workload_api.admin.documents import StoredEntry
from wimse.workload_api.entry_spec import EntrySpec
from wimse.workload_api.events import EntryChanged, EntryChangeFailed, Event, Observer

__all__ = ["EntryChanges", "Who"]

_Result = TypeVar("_Result")
_RECORD_SECONDS: Final = 3.0  # less than another transaction waits for this one


@dataclass(frozen=True, slots=True)
class Who:
    """Who makes a change.

    Attributes:
        pid: of the process.
        uid: of its user.
        source: ``admin`` for the socket, ``file`` for the watched file.
    """

    pid: int
    uid: int
    source: str


class EntryChanges:
    """Reads and changes the entries of a store from an event loop; the store blocks in threads."""

    def __init__(
        self,
        store: IssuerStore,
        trust_domain: TrustDomain,
        *,
        observers: Sequence[Observer] = (),
        on_change: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Work on `store`.

        Args:
            store: keeps the entries.
            trust_domain: which they belong to.
            observers: called with each change, in the event loop, right before it is made.
            on_change: called after each change, in the event loop.
            clock: seconds since 1970.
        """
        self._store = store
        self.trust_domain = trust_domain
        self._observers = tuple(observers)
        self._on_change = on_change
        self._clock = clock
        self._running: set[asyncio.Task[Any]] = set()
        self._known: tuple[int, tuple[StoredEntry, ...]] = (-1, ())

    async def create(self, spec: EntrySpec, who: Who) -> StoredEntry:
        """Register an entry. One that is registered just so is given as it is, so that a call can be repeated.

        Raises:
            ConfigurationError, Refused, Unavailable: see `IssuerStore.create_entry`.
        """
        record = spec.registration(self.trust_domain)
        work = functools.partial(self._store.create_entry, record)
        try:
            return StoredEntry.of(await self._finish(self._change("created", who, work)))
        except Refused as refused:
            same = await self._find(spec.entry_id) if refused.reason is Reason.ENTRY_CONFLICT else None
            if same is None or same.normal(self.trust_domain) != spec.normal(self.trust_domain):
                raise
            return same

    async def update(self, spec: EntrySpec, revision: int, who: Who) -> StoredEntry:
        """Change an entry that is still at `revision`.

        Raises:
            ConfigurationError, Refused, Unavailable: see `IssuerStore.update_entry`.
        """
        record = spec.registration(self.trust_domain)
        work = functools.partial(self._store.update_entry, record, revision=revision)
        return StoredEntry.of(await self._finish(self._change("updated", who, work)))

    async def delete(self, entry_id: str, revision: int | None, who: Who) -> None:
        """Delete an entry.

        Raises:
            Refused, Unavailable: see `IssuerStore.delete_entry`.
        """
        work = functools.partial(self._store.delete_entry, entry_id, revision=revision)
        await self._finish(self._change("deleted", who, work))

    async def show(self, entry_id: str) -> StoredEntry:
        """One entry.

        Raises:
            Refused: `entry_unknown`.
            Unavailable: `store_unavailable`.
        """
        found = await self._find(entry_id)
        if found is None:
            raise Refused(Reason.ENTRY_UNKNOWN, "no entry has this entry_id")
        return found

    async def all(self) -> tuple[int, tuple[StoredEntry, ...]]:
        """The revision of the store, and all entries in the order of their creation.

        Raises:
            Unavailable: `store_unavailable`.
        """
        self._known = await asyncio.to_thread(self._read, self._known)
        return self._known

    async def revision(self) -> int:
        """The revision of the store: cheap.

        Raises:
            Unavailable: `store_unavailable`.
        """
        return await asyncio.to_thread(self._store.revision)

    async def settled(self, seconds: float) -> None:
        """Wait until no change is under way, for so long at most."""
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=seconds)

    async def _find(self, entry_id: str) -> StoredEntry | None:
        return next((each for each in (await self.all())[1] if each.entry_id == entry_id), None)

    def _read(self, known: tuple[int, tuple[StoredEntry, ...]]) -> tuple[int, tuple[StoredEntry, ...]]:
        if self._store.revision() == known[0]:
            return known
        state = self._store.load()
        return state.revision, tuple(StoredEntry.of(each) for each in state.entries)

    async def _change(self, action: str, who: Who, work: Callable[..., _Result]) -> _Result:
        loop, told = asyncio.get_running_loop(), list[EntryChanged]()

        def tell(entry: Registration) -> None:
            told.append(_event(action, entry, who))
            self._tell(told[0])

        def record_it(entry: Registration) -> None:
            """In the thread of the transaction: observers are called in the event loop, and it waits for them."""
            recorded = asyncio.run_coroutine_threadsafe(_called(functools.partial(tell, entry)), loop)
            try:
                recorded.result(_RECORD_SECONDS)
            except TimeoutError:
                recorded.cancel()
                raise Unavailable(Reason.ISSUER_UNAVAILABLE, "the change cannot be recorded in time") from None

        try:
            done = await asyncio.to_thread(work, now=int(self._clock()), record_it=record_it)
        except BaseException:
            if told:  # and yet it is not so
                with contextlib.suppress(WimseError):
                    self._tell(EntryChangeFailed(change=told[0]))
            raise
        if self._on_change is not None:
            self._on_change()
        return done

    def _tell(self, event: Event) -> None:
        for observer in self._observers:
            observer(event)

    async def _finish(self, change: Coroutine[Any, Any, _Result]) -> _Result:
        # A caller that goes away leaves no change without its record.
        task = asyncio.create_task(change)
        self._running.add(task)
        task.add_done_callback(self._forget)
        waiting: Awaitable[_Result] = asyncio.shield(task)
        return await waiting

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen, also when nobody waits any more


async def _called(work: Callable[[], None]) -> None:
    work()


def _event(action: str, entry: Registration, who: Who) -> EntryChanged:
    return EntryChanged(
        action=action,
        entry_id=entry.entry_id,
        path=entry.path,
        selectors=tuple(map(str, entry.selectors)),
        revision=entry.revision,
        source=who.source,
        pid=who.pid,
        uid=who.uid,
    )
