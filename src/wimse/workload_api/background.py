"""What all sources have in common: streams that are kept open, and one snapshot that is replaced as a whole.

Rules:

1. A snapshot is one immutable value. Whoever reads gets the old one or the new one, never a mixture (workload-creds
   §5.1).
2. A message replaces everything that the one before it said (SPIFFE_Workload_API §4.4). One that lacks a mandatory
   field, or whose parts do not fit together, is discarded and reported, and the old one stays (§4.5).
3. PermissionDenied withdraws what was given (§7.2.1): the snapshot is gone at once.
4. When the connection is lost the snapshot stays, and the source connects again: at once, then with backoff and jitter.
   InvalidArgument and Unimplemented are not tried again (Endpoint §6).
5. A server that is connected and says nothing is noticed before what it gave expires: when a renewal is overdue the
   stream is opened anew, and a connection on which that is not answered is dropped. (HTTP/2 pings would say it earlier,
   but a gRPC server in Go ends connections that ping more often than every five minutes.)
6. After a fork the child has no snapshot: key and connection are the parent's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from google.protobuf.message import Message

from wimse.errors import ConfigurationError, Reason, ReasonClass, Refused, Unavailable, WimseError
from wimse.workload_api.address import EndpointAddress
from wimse.workload_api.client import WorkloadAPIClient
from wimse.workload_api.settings import SourceSettings

__all__ = ["BackgroundSource", "Pace"]

log = logging.getLogger("wimse.workload_api")

# A stream that has lasted so long was a good one: its end is answered at once (§4.2). Shorter ones wait their turn.
_STEADY_SECONDS: Final = 1.0
# A renewal comes before half of a life is over. After this part of what was left when a message came, it is overdue.
_OVERDUE_PART: Final = 2 / 3
_SHORTEST_PATIENCE: Final = 0.5  # seconds: so that lives of a few seconds bring no burst of calls
_LONGEST_SLEEP: Final = (
    5.0  # a machine that was suspended has lost no more than this: the wall clock is looked at again
)
_jitter = random.SystemRandom()
_Snapshot = TypeVar("_Snapshot")
_Message = TypeVar("_Message", bound=Message)


class Pace:
    """When to try again: at once after something that has lasted, else after growing waits with jitter."""

    def __init__(self, settings: SourceSettings) -> None:
        """Begin with an attempt that is answered at once."""
        self._initial = self._wait = settings.initial_backoff.total_seconds()
        self._longest = settings.max_backoff.total_seconds()
        self._at_once = True

    def reset(self) -> None:
        """Something went well."""
        self._wait, self._at_once = self._initial, True

    async def wait(self, reached: asyncio.Event) -> None:
        """Wait for the next attempt, no longer than until `reached` says that another one has got through."""
        if not self._at_once:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reached.wait(), self._wait * _jitter.uniform(0.5, 1.0))
            self._wait = min(self._wait * 2, self._longest)
        self._at_once = False


class BackgroundSource(ABC, Generic[_Snapshot]):
    """Keeps a snapshot new in the background; used as ``async with``, in one event loop."""

    _what = "identity"

    def __init__(
        self,
        socket: str | EndpointAddress | None,
        settings: SourceSettings | None,
        on_renewal: Callable[[_Snapshot], None] | None,
    ) -> None:
        self._settings = settings or SourceSettings()
        self._client = WorkloadAPIClient(socket, settings=self._settings, shared=True)
        self._on_renewal = on_renewal
        self._snapshot: _Snapshot | None = None
        self._failures: dict[str, WimseError] = {}
        self._taken: dict[str, Message] = {}
        self._expires_at: dict[str, int] = {}
        self._renewal_due: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._reached = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._pid = os.getpid()

    @property
    def address(self) -> EndpointAddress:
        """Where the identity server is expected."""
        return self._client.address

    async def __aenter__(self) -> Self:
        """Connect, and wait for the first snapshot.

        Raises:
            Unavailable: `issuer_unavailable` when the server cannot be reached within `first_snapshot_timeout`,
                `credential_unavailable` when it gave no identity until then.
            Refused: when the server refuses the request as malformed.
            ConfigurationError: when the server does not have the profile.
        """
        if self._tasks and self._pid == os.getpid():
            raise RuntimeError("the source is open already")
        self._pid = os.getpid()
        self._changed = asyncio.Event()
        self._reached = asyncio.Event()
        self._failures.clear()
        self._tasks = [asyncio.create_task(each) for each in self._keepers()]
        try:
            async with asyncio.timeout(self._settings.first_snapshot_timeout.total_seconds()):
                await self._wait_for_first()
        except TimeoutError:
            await self.close()
            raise self._first_failure() from None
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the streams and forget what they gave. In a forked child, only forget."""
        tasks, self._tasks = self._tasks, []
        if self._pid == os.getpid():
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._client.close()
        self._forget()
        self._taken.clear()
        self._expires_at.clear()
        self._renewal_due.clear()
        self._snapshot = None

    @abstractmethod
    def _keepers(self) -> list[Coroutine[Any, Any, None]]:
        """What to run, each for ever: `_keep` for each stream."""

    @abstractmethod
    def _compose(self) -> _Snapshot | None:
        """The snapshot of what the streams gave, or None while something is missing."""

    @abstractmethod
    def _forget(self) -> None:
        """Drop what the streams gave."""

    def _current(self) -> _Snapshot:
        """The newest snapshot.

        Raises:
            Unavailable: `credential_unavailable` when there is none: not yet, withdrawn, the source is closed, or this
                is a forked child.
        """
        if self._pid != os.getpid():
            raise Unavailable(
                Reason.CREDENTIAL_UNAVAILABLE, "this process was forked after its source was opened: open one here"
            )
        snapshot = self._snapshot
        if snapshot is None:
            raise Unavailable(Reason.CREDENTIAL_UNAVAILABLE, f"there is no {self._what} from {self._state()}")
        return snapshot

    def _publish(self) -> None:
        self._snapshot = snapshot = self._compose()
        self._changed.set()
        if snapshot is None or self._on_renewal is None:
            return
        try:
            self._on_renewal(snapshot)
        except Exception as error:  # noqa: BLE001 - the application's; type only, for its text may quote the snapshot
            log.error("on_renewal failed: %s", type(error).__name__)  # noqa: TRY400

    async def _wait_for_first(self) -> None:
        while self._snapshot is None:
            for failure in self._failures.values():
                if _is_final(failure):
                    raise failure
            self._changed.clear()
            await self._changed.wait()

    def _first_failure(self) -> Unavailable:
        within = f"within {self._settings.first_snapshot_timeout.total_seconds():g} s"
        denied = any(isinstance(each, Refused) for each in self._failures.values())
        reason = Reason.CREDENTIAL_UNAVAILABLE if denied else Reason.ISSUER_UNAVAILABLE
        return Unavailable(reason, f"no {self._what} {within} from {self._state()}")

    def _state(self) -> str:
        details = [failure.detail for failure in self._failures.values()]
        return "; ".join([str(self.address), *details])

    async def _keep(
        self, name: str, watch: Callable[[], AsyncIterator[_Message]], take: Callable[[_Message | None], int | None]
    ) -> None:
        """Keep one stream open for ever.

        Args:
            name: of the call.
            watch: opens the stream.
            take: gets its messages, and says when what they give expires; gets None when that is withdrawn.
        """
        pace = Pace(self._settings)
        while True:
            opened_at = time.monotonic()
            try:
                async with contextlib.aclosing(_closable(watch())) as messages:
                    await self._follow(name, messages, take)
            except WimseError as error:
                self._failed(name, error, take)
                if _is_final(error):
                    return
            except Exception as error:  # noqa: BLE001 - whatever it is, the next attempt has to come
                fault = f"{name}: a fault ({type(error).__name__})"
                self._report(name, Unavailable(Reason.ISSUER_UNAVAILABLE, fault))
            if time.monotonic() - opened_at > _STEADY_SECONDS:
                pace.reset()
            await pace.wait(self._reached)

    async def _follow(
        self, name: str, messages: AsyncIterator[_Message], take: Callable[[_Message | None], int | None]
    ) -> None:
        try:
            async with asyncio.timeout(self._patience(name)):
                message = await anext(messages)
        except TimeoutError:
            message = None
        if message is None:
            self._client.drop_connection()
            raise Unavailable(Reason.ISSUER_UNAVAILABLE, f"{name}: the identity server does not answer")
        while True:
            self._take(name, take, message)
            message = await self._next(name, messages)

    async def _next(self, name: str, messages: AsyncIterator[_Message]) -> _Message:
        pending = asyncio.ensure_future(anext(messages))
        try:
            while not pending.done():
                due = self._renewal_due.get(name)
                left = None if due is None else due - time.time()
                if left is not None and left <= 0:
                    raise Unavailable(Reason.ISSUER_UNAVAILABLE, f"{name}: the renewal is overdue")
                await asyncio.wait((pending,), timeout=None if left is None else min(left, _LONGEST_SLEEP))
            return pending.result()
        finally:
            if not pending.done():
                pending.cancel()
                await asyncio.wait((pending,))
            if not pending.cancelled():
                pending.exception()  # of a stream that broke while we were leaving it: nobody else asks

    def _patience(self, name: str) -> float:
        """How long the first message of a stream may take: so that there is time for another attempt."""
        longest = self._settings.call_timeout.total_seconds()
        left = self._expires_at.get(name, 0) - time.time()
        return longest if left <= 0 else min(longest, max(_SHORTEST_PATIENCE, left / 3))

    def _failed(self, name: str, error: WimseError, take: Callable[[None], int | None]) -> None:
        self._report(name, error)
        if _is_denial(error):
            self._taken.pop(name, None)
            self._renewal_due.pop(name, None)
            self._expires_at.pop(name, None)
            take(None)
            self._publish()

    def _take(self, name: str, take: Callable[[_Message | None], int | None], message: _Message) -> None:
        new = self._taken.get(name) != message
        try:
            expires_at = take(message) if new else None
        except WimseError as error:
            detail = f"{name}: a message of the identity server is discarded: {error.detail}"
            self._report(name, Unavailable(Reason.CREDENTIAL_UNAVAILABLE, detail))
            return
        if self._failures.pop(name, None) is not None:  # the server is back: the other streams need not wait
            self._reached.set()
            self._reached = asyncio.Event()
        if expires_at is not None:
            self._expires_at[name] = expires_at
        if name in self._expires_at:  # also for the same again: the server has nothing newer, and is asked again
            now = time.time()
            wait = (self._expires_at[name] - now) * _OVERDUE_PART
            self._renewal_due[name] = now + max(_SHORTEST_PATIENCE, wait)
        if new:
            self._taken[name] = message
            self._publish()

    def _report(self, name: str, error: WimseError) -> None:
        known = self._failures.get(name)
        if known is None or known.detail != error.detail:  # once, not at every attempt
            log.warning("%s", error)
        self._failures[name] = error
        self._changed.set()


def _closable(messages: AsyncIterator[_Message]) -> Any:
    return messages  # an asynchronous generator: it has aclose, though its declared type does not say so


def _is_denial(error: WimseError) -> bool:
    return isinstance(error, Refused) and error.reason_class is ReasonClass.AUTHORIZATION


def _is_final(error: WimseError) -> bool:
    return isinstance(error, ConfigurationError) or (isinstance(error, Refused) and not _is_denial(error))
