"""The same source for programs without an event loop of their own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import TracebackType
from typing import Final, Self

from wimse.credentials import WorkloadIdentifier, WorkloadSnapshot
from wimse.errors import Reason, Unavailable
from wimse.workload_api.address import EndpointAddress, default_socket
from wimse.workload_api.settings import SourceSettings
from wimse.workload_api.source import WorkloadAPISource, wanted_identifier

__all__ = ["BlockingWorkloadAPISource"]

_SHUTDOWN_SECONDS: Final = 5.0


class BlockingWorkloadAPISource:
    """A `WorkloadSource` for synchronous programs, used as ``with``; safe to read from any thread.

    A `WorkloadAPISource` runs on an event loop of its own in a daemon thread. After a fork the child has no such
    thread: its snapshot is not renewed, and it refuses once that has expired. Make a source after forking.
    """

    def __init__(
        self,
        socket: str | EndpointAddress | None = None,
        spiffe_id: str | WorkloadIdentifier | None = None,
        *,
        settings: SourceSettings | None = None,
    ) -> None:
        """Choose the endpoint and the identity; arguments and errors as `WorkloadAPISource`."""
        self._address = EndpointAddress.parse(socket) if isinstance(socket, str) else socket or default_socket()
        self._spiffe_id = wanted_identifier(spiffe_id)
        self._settings = settings
        self._source: WorkloadAPISource | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._error: BaseException | None = None

    @property
    def address(self) -> EndpointAddress:
        """Where the identity server is expected."""
        return self._address

    def snapshot(self) -> WorkloadSnapshot:
        """The newest WIT with its key and the bundles; errors as `WorkloadAPISource.snapshot`."""
        source = self._source
        if source is None:
            raise Unavailable(Reason.CREDENTIAL_UNAVAILABLE, "the source is not open")
        return source.snapshot()

    def __enter__(self) -> Self:
        """Connect, and wait for the first snapshot; errors as `WorkloadAPISource`."""
        if self._thread is not None:
            raise RuntimeError("the source is open already")
        self._started.clear()
        self._error = None
        self._thread = threading.Thread(target=self._run, name="wimse-workload-api", daemon=True)
        self._thread.start()
        try:
            self._started.wait()  # the source's own timeout bounds it
        except BaseException:
            self.close()
            raise
        self._raise_error()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the streams and the thread, and forget the key. May be called twice."""
        thread, self._thread = self._thread, None
        loop, stop = self._loop, self._stop
        if thread is None:
            return
        if loop is not None and stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(stop.set)
        thread.join(_SHUTDOWN_SECONDS)

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            self.close()
            raise error

    def _run(self) -> None:
        try:
            asyncio.run(self._hold())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits in __enter__
            self._error = error
        finally:
            self._source = None
            self._started.set()

    async def _hold(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with WorkloadAPISource(self._address, self._spiffe_id, settings=self._settings) as source:
            self._source = source
            self._started.set()
            await self._stop.wait()
