"""The operator's client of the admin socket, for asyncio and for programs without an event loop.

Errors are those of the server: `Refused` and `ConfigurationError` with its reason and text, `Unavailable` when the
socket or the store cannot be reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.exceptions import GRPCError, ProtocolError

from wimse.credentials import TrustDomain
from wimse.errors import Reason, Unavailable
from wimse.workload_api.address import check_socket_path
from wimse.workload_api.admin.documents import (
    CreateEntry,
    Deleted,
    DeleteEntry,
    EntryPage,
    EntrySpec,
    ListEntries,
    ShowEntry,
    StoredEntry,
    UpdateEntry,
)
from wimse.workload_api.admin.wire import SERVICE, JSONCodec, error_of
from wimse.workload_api.connections import LOST

__all__ = ["DEFAULT_ADMIN_SOCKET", "AdminClient", "BlockingAdminClient", "EntryListing"]

DEFAULT_ADMIN_SOCKET: Final = "/run/wimse/admin.sock"

_MAX_LISTINGS: Final = 10  # attempts to read all pages between two changes
_TIMEOUT: Final = timedelta(seconds=30)
_Message = TypeVar("_Message", bound=msgspec.Struct)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class EntryListing:
    """All entries of one moment.

    Attributes:
        trust_domain: which they belong to.
        revision: of the store.
        entries: in the order of their creation.
    """

    trust_domain: TrustDomain
    revision: int
    entries: tuple[StoredEntry, ...]


class AdminClient:
    """A client for asyncio; used as ``async with``, inside one event loop."""

    def __init__(self, socket: str = DEFAULT_ADMIN_SOCKET, *, timeout: timedelta = _TIMEOUT) -> None:
        """Choose the socket.

        Args:
            socket: an absolute path, or ``unix:///path``.
            timeout: of each call.

        Raises:
            ConfigurationError: when it cannot be the path of a socket.
        """
        self._path = check_socket_path(socket.removeprefix("unix://"))
        self._timeout = timeout.total_seconds()
        self._channel: Channel | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call makes another."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    async def create(self, entry: EntrySpec) -> StoredEntry:
        """Register an entry. It may be repeated: an entry that is registered just so is given back.

        Raises:
            ConfigurationError: for an identity of another trust domain, a selector that is none, a value out of its
                bounds.
            Refused: `entry_conflict`, when the identity, the `entry_id` or the hint is another entry's, or the
                identity may still be in the hands of other callers; `identity_not_allowed` for another user.
            Unavailable: `store_unavailable`, `issuer_unavailable`.
        """
        return await self._call("Create", CreateEntry(entry=entry), StoredEntry)

    async def update(self, entry: EntrySpec, *, revision: int) -> StoredEntry:
        """Replace an entry, if it is still at `revision`; errors as `create`, and `entry_unknown`."""
        return await self._call("Update", UpdateEntry(entry=entry, revision=revision), StoredEntry)

    async def delete(self, entry_id: str, *, revision: int | None = None) -> None:
        """Delete an entry, if it is still at `revision`; None for whatever it is at. Errors as `update`."""
        await self._call("Delete", DeleteEntry(entry_id=entry_id, revision=revision), Deleted)

    async def show(self, entry_id: str) -> StoredEntry:
        """One entry.

        Raises:
            Refused: `entry_unknown`.
            Unavailable: as `create`.
        """
        return await self._call("Show", ShowEntry(entry_id=entry_id), StoredEntry)

    async def list(self) -> EntryListing:
        """All entries, of one moment.

        Raises:
            Unavailable: as `create`; `store_conflict` when they are changed all the time.
        """
        for _ in range(_MAX_LISTINGS - 1):
            try:
                return await self._pages()
            except Unavailable as unavailable:
                if unavailable.reason is not Reason.STORE_CONFLICT:
                    raise
        return await self._pages()

    async def _pages(self) -> EntryListing:
        page = await self._call("List", ListEntries(), EntryPage)
        first, entries = page, list(page.entries)
        while page.following is not None:
            request = ListEntries(offset=page.following, revision=first.revision)
            page = await self._call("List", request, EntryPage)
            entries += page.entries
        return EntryListing(TrustDomain.parse(first.trust_domain), first.revision, tuple(entries))

    async def _call(self, name: str, request: msgspec.Struct, kind: type[_Message]) -> _Message:
        if self._channel is None:
            self._channel = Channel(path=self._path, codec=JSONCodec())
        method: Any = UnaryUnaryMethod(self._channel, f"/{SERVICE}/{name}", type(request), kind)
        try:
            answer: _Message = await method(request, timeout=self._timeout)
        except GRPCError as error:
            raise error_of(error.status, error.message) from None
        except TimeoutError:
            raise Unavailable(Reason.ISSUER_UNAVAILABLE, "the admin socket does not answer") from None
        except LOST:
            raise Unavailable(Reason.ISSUER_UNAVAILABLE, f"no server answers on {self._path}") from None
        except (msgspec.DecodeError, AssertionError, NotImplementedError, ProtocolError):
            raise Unavailable(Reason.ISSUER_UNAVAILABLE, "the answer of the admin socket is malformed") from None
        return answer


class BlockingAdminClient:
    """The same for programs without an event loop; each call has a connection of its own, from any thread."""

    def __init__(self, socket: str = DEFAULT_ADMIN_SOCKET, *, timeout: timedelta = _TIMEOUT) -> None:
        """Choose the socket; as `AdminClient`."""
        self._make: Callable[[], AdminClient] = lambda: AdminClient(socket, timeout=timeout)
        self._make()  # to refuse a path at once

    def create(self, entry: EntrySpec) -> StoredEntry:
        """As `AdminClient.create`."""
        return self._run(lambda client: client.create(entry))

    def update(self, entry: EntrySpec, *, revision: int) -> StoredEntry:
        """As `AdminClient.update`."""
        return self._run(lambda client: client.update(entry, revision=revision))

    def delete(self, entry_id: str, *, revision: int | None = None) -> None:
        """As `AdminClient.delete`."""
        self._run(lambda client: client.delete(entry_id, revision=revision))

    def show(self, entry_id: str) -> StoredEntry:
        """As `AdminClient.show`."""
        return self._run(lambda client: client.show(entry_id))

    def list(self) -> EntryListing:
        """As `AdminClient.list`."""
        return self._run(lambda client: client.list())

    def _run(self, call: Callable[[AdminClient], Awaitable[_Result]]) -> _Result:
        async def work() -> _Result:
            async with self._make() as client:
                return await call(client)

        return asyncio.run(work())
