"""A real store and a real admin socket for tests."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from wimse.credentials import TrustDomain
from wimse.errors import Reason, WimseError
from wimse.issuer import IssuerSettings
from wimse.stores.issuer import SQLIssuerStore
from wimse.workload_api.admin import AdminServer, AdminSettings, EntrySpec
from wimse.workload_api.events import Event

DOMAIN = TrustDomain("spiffe", "example.com")


def spec(name: str = "payments", path: str | None = None, *selectors: str, **more: Any) -> EntrySpec:
    return EntrySpec(entry_id=name, path=path or f"/{name}", selectors=selectors or ("unix:uid:1000",), **more)


def open_store(folder: Path) -> SQLIssuerStore:
    return SQLIssuerStore.sqlite(folder / "issuer.db", DOMAIN.name, now=int(time.time()), issuer=IssuerSettings())


@contextlib.asynccontextmanager
async def administered(
    folder: Path, settings: AdminSettings | None = None, **options: Any
) -> AsyncIterator[tuple[str, list[Event], SQLIssuerStore]]:
    """An admin server: its socket, what it tells, and its store."""
    store, told = open_store(folder), list[Event]()
    try:
        async with AdminServer(store, folder / "a", DOMAIN, settings, observers=[told.append], **options):
            yield f"{folder}/a", told, store
    finally:
        store.close()


def reason(error: WimseError) -> Reason:
    return error.reason
