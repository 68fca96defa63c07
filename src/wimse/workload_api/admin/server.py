"""The admin socket: entries are created, listed, changed and deleted here, and nowhere else.

Rules:

1. It is a socket of its own with mode 0600, in a directory that is checked as that of the Workload API. Nothing of it
   is served to workloads, and nothing of the Workload API is served here (SPIFFE_Workload_Endpoint §7).
2. The kernel says who calls: root and the server's own user, nobody else, whatever the mode has become.
3. Every change and every refusal is told to the observers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from h2.exceptions import H2Error

from wimse.credentials import TrustDomain
from wimse.errors import ConfigurationError, Reason, Refused, Unavailable, WimseError
from wimse.issuer import IssuerStore
from wimse.workload_api.address import check_socket_path
from wimse.workload_api.admin.changes import EntryChanges, Who
from wimse.workload_api.admin.documents import (
    CreateEntry,
    Deleted,
    DeleteEntry,
    EntryPage,
    ListEntries,
    ShowEntry,
    StoredEntry,
    UpdateEntry,
)
from wimse.workload_api.admin.settings import AdminSettings
from wimse.workload_api.admin.wire import SERVICE, JSONCodec, StrictType, status_of
from wimse.workload_api.call import Call, Method
from wimse.workload_api.events import CallRefused, Observer
from wimse.workload_api.sockets import bind_socket, remove_socket
from wimse.workload_api.transport import BoundedServer

__all__ = ["AdminServer"]

log = logging.getLogger("wimse.workload_api")

_BACKLOG: Final = 16
_Answer = Callable[[Who, Any], Awaitable[msgspec.Struct]]


class AdminServer:
    """Serves the entries of a store to operators; used as ``async with`` beside an `IdentityServer`."""

    def __init__(
        self,
        store: IssuerStore,
        path: str | os.PathLike[str],
        trust_domain: TrustDomain,
        settings: AdminSettings | None = None,
        *,
        observers: Sequence[Observer] = (),
        on_change: Callable[[], None] | None = None,
    ) -> None:
        """Put the server together; it does not listen yet.

        Args:
            store: keeps the entries.
            path: absolute path of the socket.
            trust_domain: which the entries belong to.
            settings: limits.
            observers: called with each change (`EntryChanged`) and each refusal (`CallRefused`).
            on_change: called after each change, in the event loop: load the entries and serve them.

        Raises:
            ConfigurationError: when the path cannot be that of a socket.
        """
        self._path = check_socket_path(os.fspath(path))
        self._settings = settings or AdminSettings()
        self._transport = self._settings.transport
        self._observers = tuple(observers)
        self._changes = EntryChanges(store, trust_domain, observers=observers, on_change=on_change)
        self._calls = 0
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            ConfigurationError: as `IdentityServer.listening`.
        """
        async with contextlib.AsyncExitStack() as stack:
            listener, identity = bind_socket(self._path, self._transport.socket_mode)
            stack.callback(listener.close)
            stack.callback(remove_socket, Path(self._path), identity)
            server = BoundedServer([self], self._transport, codec=JSONCodec())
            await server.start(sock=listener, backlog=_BACKLOG)
            stack.push_async_callback(self._stop, server)
            log.info("entries are managed on %s", self._path)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, wait for changes that have begun, close all connections."""
        await self._open.aclose()

    async def _stop(self, server: BoundedServer) -> None:
        await self._changes.settled(self._settings.stop_timeout.total_seconds())
        server.close()
        await server.wait_closed()

    def __mapping__(self) -> dict[str, Method]:
        """The methods by path."""
        calls: dict[str, tuple[type[msgspec.Struct], type[msgspec.Struct], _Answer]] = {
            "Create": (CreateEntry, StoredEntry, self._create),
            "Update": (UpdateEntry, StoredEntry, self._update),
            "Delete": (DeleteEntry, Deleted, self._delete),
            "Show": (ShowEntry, StoredEntry, self._show),
            "List": (ListEntries, EntryPage, self._list),
        }
        return {
            f"/{SERVICE}/{name}": self._guarded(asked, given, answer) for name, (asked, given, answer) in calls.items()
        }

    def _guarded(self, asked: type[msgspec.Struct], given: type[msgspec.Struct], answer: _Answer) -> Method:
        async def answered(call: Call, request: Any) -> None:
            await call.send(await answer(_operator(call), request))

        return Method(admit=self._admit, answer=answered, failure=self._failure, request=StrictType(asked), reply=given)

    def _admit(self, call: Call) -> Callable[[], None]:
        _operator(call)
        if self._calls >= self._settings.max_calls:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many calls at one time")
        self._calls += 1
        return self._leave

    def _leave(self) -> None:
        self._calls -= 1

    def _failure(self, call: Call, error: Exception) -> GRPCError:
        name = call.path.rpartition("/")[2]
        if isinstance(error, GRPCError):
            self._tell(name, call, error.status, None, error.message or "")
            return error
        if isinstance(error, WimseError):
            status, message = status_of(error)
            self._tell(name, call, status, error.reason, error.detail)
            return GRPCError(status, message)
        if isinstance(error, H2Error | ConnectionError):
            return GRPCError(Status.UNAVAILABLE, "connection closed")
        place = traceback.extract_tb(error.__traceback__)[-1]  # as in `CallGate`
        log.error("%s failed: %s at %s:%s", name, type(error).__name__, place.name, place.lineno)
        self._tell(name, call, Status.INTERNAL, None, "internal error")
        return GRPCError(Status.INTERNAL, "internal error")

    def _tell(self, name: str, call: Call, status: Status, reason: Reason | None, detail: str) -> None:
        pid, uid = call.caller_ids
        log.info("%s of process %d is refused: %s", name, pid, detail)
        event = CallRefused(method=call.path, status=status.name, reason=reason, detail=detail, pid=pid, uid=uid)
        for observer in self._observers:
            with contextlib.suppress(WimseError):
                observer(event)

    async def _create(self, who: Who, request: CreateEntry) -> StoredEntry:
        return await self._changes.create(request.entry, who)

    async def _update(self, who: Who, request: UpdateEntry) -> StoredEntry:
        return await self._changes.update(request.entry, request.revision, who)

    async def _delete(self, who: Who, request: DeleteEntry) -> Deleted:
        await self._changes.delete(request.entry_id, request.revision, who)
        return Deleted()

    async def _show(self, _: Who, request: ShowEntry) -> StoredEntry:
        return await self._changes.show(request.entry_id)

    async def _list(self, _: Who, request: ListEntries) -> EntryPage:
        revision, entries = await self._changes.all()
        if request.offset < 0:
            raise ConfigurationError("offset must not be negative")
        if request.revision not in (None, revision):
            raise Unavailable(Reason.STORE_CONFLICT, "something was changed since the first page: list again")
        page: list[StoredEntry] = []
        size = 0
        for each in entries[request.offset : request.offset + self._settings.max_page_entries]:
            size += len(msgspec.json.encode(each))
            if page and size > self._settings.max_page_bytes:
                break
            page.append(each)
        end = request.offset + len(page)
        return EntryPage(
            trust_domain=str(self._changes.trust_domain),
            revision=revision,
            entries=tuple(page),
            following=end if end < len(entries) else None,
        )


def _operator(call: Call) -> Who:
    """Who calls, as the kernel said when it connected.

    Raises:
        Refused: `identity_not_allowed` for everybody but root and the user of this process.
    """
    process = call.process
    if process.uid is None or process.uid not in (0, os.geteuid()):
        raise Refused(Reason.IDENTITY_NOT_ALLOWED, "only root and the server's own user may manage entries")
    return Who(process.pid, process.uid, "admin")
