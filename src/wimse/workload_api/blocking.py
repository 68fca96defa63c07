"""The same sources for programs without an event loop of their own.

All of a process run on one event loop in one daemon thread, so that they have one connection to each endpoint. The
thread is there while one of them is open.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from wimse.credentials import TrustBundles, WorkloadIdentifier, WorkloadSnapshot, X509Snapshot
from wimse.errors import Reason, Unavailable
from wimse.workload_api.address import EndpointAddress
from wimse.workload_api.background import BackgroundSource
from wimse.workload_api.jwt_source import JWTCredential, WorkloadAPIJWTSource
from wimse.workload_api.settings import SourceSettings
from wimse.workload_api.source import WorkloadAPISource
from wimse.workload_api.x509_source import WorkloadAPIX509Source

__all__ = ["BlockingWorkloadAPIJWTSource", "BlockingWorkloadAPISource", "BlockingWorkloadAPIX509Source"]

# What is waited for ends by itself within its own timeout; this is for a machine that is busy.
_GRACE_SECONDS: Final = 5.0
_Result = TypeVar("_Result")
_Source = TypeVar("_Source", bound=BackgroundSource[Any])


class _LoopThread:
    """The event loop of a process for its blocking sources; it counts them."""

    _shared: _LoopThread | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="wimse-workload-api", daemon=True)
        self.users = 0

    @classmethod
    def acquire(cls) -> _LoopThread:
        with cls._lock:
            shared = cls._shared
            if shared is None:
                shared = cls._shared = cls()
                shared.thread.start()
            shared.users += 1
            return shared

    def release(self) -> None:
        with self._lock:
            self.users -= 1
            if self.users or _LoopThread._shared is not self:
                return
            _LoopThread._shared = None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.thread.join(_GRACE_SECONDS)

    @classmethod
    def forget(cls) -> None:
        """In a forked child: there is no such thread here, and nobody holds the lock."""
        cls._shared, cls._lock = None, threading.Lock()

    def start(self, work: Coroutine[Any, Any, _Result]) -> Future[_Result]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


os.register_at_fork(after_in_child=_LoopThread.forget)


class _Blocking(Generic[_Source]):
    """An asynchronous source, opened and closed from threads."""

    def __init__(self, source: _Source, settings: SourceSettings | None) -> None:
        self._source = source
        self._settings = settings or SourceSettings()
        self._thread: _LoopThread | None = None
        self._pid = 0

    @property
    def address(self) -> EndpointAddress:
        """Where the identity server is expected."""
        return self._source.address

    def __enter__(self) -> Self:
        """Connect, and wait for the first snapshot; errors as the asynchronous source."""
        if self._thread is not None and self._pid == os.getpid():
            raise RuntimeError("the source is open already")
        self._pid, self._thread = os.getpid(), _LoopThread.acquire()
        try:
            opening = self._thread.start(self._source.__aenter__())
            self._wait(opening, self._settings.first_snapshot_timeout.total_seconds())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the streams, and the thread if no other source needs it, and forget the key. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is None or self._pid != os.getpid():
            return
        try:
            self._wait(thread.start(self._source.close()), 0.0)
        finally:
            thread.release()

    def _wait(self, future: Future[_Result], seconds: float) -> _Result:
        try:
            return future.result(seconds + _GRACE_SECONDS)
        except TimeoutError:
            future.cancel()
            raise Unavailable(Reason.ISSUER_UNAVAILABLE, "the event loop of the source does not answer") from None
        except BaseException:
            future.cancel()
            raise


class BlockingWorkloadAPISource(_Blocking[WorkloadAPISource]):
    """A `WorkloadSource` for synchronous programs, used as ``with``; safe to read from any thread.

    In a process that was forked from the one that opened it, it refuses: open a source after forking.
    """

    def __init__(
        self,
        socket: str | EndpointAddress | None = None,
        spiffe_id: str | WorkloadIdentifier | None = None,
        *,
        settings: SourceSettings | None = None,
        on_renewal: Callable[[WorkloadSnapshot], None] | None = None,
    ) -> None:
        """Choose the endpoint and the identity; as `WorkloadAPISource`. `on_renewal` is called in another thread."""
        super().__init__(WorkloadAPISource(socket, spiffe_id, settings=settings, on_renewal=on_renewal), settings)

    def snapshot(self) -> WorkloadSnapshot:
        """The newest WIT with its key and the bundles; errors as `WorkloadAPISource.snapshot`."""
        return self._source.snapshot()


class BlockingWorkloadAPIX509Source(_Blocking[WorkloadAPIX509Source]):
    """An `X509Source` for synchronous programs, used as ``with``; safe to read from any thread."""

    def __init__(
        self,
        socket: str | EndpointAddress | None = None,
        spiffe_id: str | WorkloadIdentifier | None = None,
        *,
        settings: SourceSettings | None = None,
        on_renewal: Callable[[X509Snapshot], None] | None = None,
    ) -> None:
        """Choose the endpoint and the identity; as `BlockingWorkloadAPISource`."""
        super().__init__(WorkloadAPIX509Source(socket, spiffe_id, settings=settings, on_renewal=on_renewal), settings)

    def x509_snapshot(self) -> X509Snapshot:
        """The newest certificate with its key and the bundles; errors as `WorkloadAPISource.snapshot`."""
        return self._source.x509_snapshot()


class BlockingWorkloadAPIJWTSource(_Blocking[WorkloadAPIJWTSource]):
    """JWT-SVIDs for synchronous programs, used as ``with``; safe among threads."""

    def __init__(
        self,
        socket: str | EndpointAddress | None = None,
        spiffe_id: str | WorkloadIdentifier | None = None,
        *,
        settings: SourceSettings | None = None,
    ) -> None:
        """Choose the endpoint and the identity; as `BlockingWorkloadAPISource`."""
        super().__init__(WorkloadAPIJWTSource(socket, spiffe_id, settings=settings), settings)

    def token(self, *audience: str) -> JWTCredential:
        """A JWT-SVID for an audience; arguments and errors as `WorkloadAPIJWTSource.token`."""
        thread = self._thread
        if thread is None or self._pid != os.getpid():
            raise Unavailable(Reason.CREDENTIAL_UNAVAILABLE, "the source is not open in this process")
        return self._wait(thread.start(self._source.token(*audience)), self._settings.call_timeout.total_seconds())

    def bundles(self) -> TrustBundles:
        """The newest bundles; errors as `WorkloadAPIJWTSource.bundles`."""
        return self._source.bundles()
