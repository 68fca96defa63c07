"""A server of entries as a process, on SQLite: `python admin_process.py DIRECTORY [FILE]`. Ends with its stdin."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from pathlib import Path

from wimse.credentials import TrustDomain
from wimse.issuer import Authority, Registrations
from wimse.stores.issuer import SQLIssuerStore
from wimse.workload_api import AuditLog, IdentityServer
from wimse.workload_api.admin import AdminServer, EntriesFile, registrations_of


async def main(directory: Path, file: str | None) -> None:
    """Serve both sockets until stdin ends."""
    domain = TrustDomain("spiffe", "example.com")
    store = SQLIssuerStore.sqlite(directory / "issuer.db", domain.name, now=int(time.time()))
    audit = AuditLog(directory / "audit.log")

    def served() -> None:
        state.replace_registrations(registrations_of(store.load().entries, now=int(time.time()))[0])

    identity = IdentityServer(Authority.create(domain.name, now=int(time.time())), _none(), observers=[audit])
    state = identity.state
    served()
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(identity.listening(directory / "api.sock"))
        await stack.enter_async_context(
            AdminServer(store, directory / "admin.sock", domain, observers=[audit], on_change=served)
        )
        if file is not None:
            await stack.enter_async_context(EntriesFile(store, file, domain, observers=[audit], on_change=served))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
    store.close()


def _none() -> Registrations:
    return Registrations(default_identities=False)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None))
