"""Management of registration entries: the admin socket, its client, and entries declared in a file.

An operator's program::

    async with AdminClient("/run/wimse/admin.sock") as admin:
        await admin.create(EntrySpec(entry_id="payments", path="/payments", selectors=("unix:user:payments",)))

A server has `AdminServer` and `EntriesFile` beside its `IdentityServer`, and serves what `registrations_of` makes of
the store after each change.
"""

from __future__ import annotations

from wimse.workload_api.admin.changes import registrations_of
from wimse.workload_api.admin.client import DEFAULT_ADMIN_SOCKET, AdminClient, BlockingAdminClient, EntryListing
from wimse.workload_api.admin.difference import Difference, Failure, difference, perform
from wimse.workload_api.admin.documents import EntrySpec, StoredEntry
from wimse.workload_api.admin.entries_file import (
    TEMPLATE_PATH,
    DeclaredEntries,
    EntriesFile,
    parse_entries,
    read_entries,
)
from wimse.workload_api.admin.server import AdminServer
from wimse.workload_api.admin.settings import AdminSettings

__all__ = [
    "DEFAULT_ADMIN_SOCKET",
    "TEMPLATE_PATH",
    "AdminClient",
    "AdminServer",
    "AdminSettings",
    "BlockingAdminClient",
    "DeclaredEntries",
    "Difference",
    "EntriesFile",
    "EntryListing",
    "EntrySpec",
    "Failure",
    "StoredEntry",
    "difference",
    "parse_entries",
    "perform",
    "read_entries",
    "registrations_of",
]
