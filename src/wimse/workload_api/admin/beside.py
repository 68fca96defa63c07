"""The management of entries as services beside a running identity server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from wimse.errors import WimseError
from wimse.issuer import IssuerStore
from wimse.workload_api.admin.entries_file import EntriesFile
from wimse.workload_api.admin.server import AdminServer
from wimse.workload_api.config import ServerConfig
from wimse.workload_api.running import Beside, RunningServer

__all__ = ["managed_entries"]


def managed_entries(config: ServerConfig, store: IssuerStore) -> Beside:
    """The admin socket and the watched file that a configuration names, for `serve`.

    Args:
        config: of the server.
        store: keeps the entries; the one that the server's keeper reads.
    """

    @contextlib.asynccontextmanager
    async def running(server: RunningServer) -> AsyncIterator[None]:
        changed, domain = asyncio.Event(), server.state.authority.wit_trust_domain
        async with contextlib.AsyncExitStack() as stack:
            file: EntriesFile | None = None
            if config.entries_file:
                file = EntriesFile(
                    store,
                    config.entries_file,
                    domain,
                    development=config.development,
                    observers=server.observers,
                    on_change=changed.set,
                )
            following = asyncio.create_task(_follow(server, changed, file))
            stack.callback(following.cancel)
            if file is not None:
                await stack.enter_async_context(file)
            if config.admin_socket:
                admin = AdminServer(
                    store, config.admin_socket, domain, observers=server.observers, on_change=changed.set
                )
                await stack.enter_async_context(admin)
            yield

    return running


async def _follow(server: RunningServer, changed: asyncio.Event, file: EntriesFile | None) -> None:
    """Serve what is stored, as soon as it has changed."""
    while True:
        await changed.wait()
        changed.clear()
        with contextlib.suppress(WimseError):  # the next look of `IssuerKeeping` is soon, and it has said so
            server.take_template(template=file is not None and file.template)
            if server.keeping is not None:
                await server.keeping.refresh()
