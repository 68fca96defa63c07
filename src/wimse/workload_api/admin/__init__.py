"""Management of registration entries: the admin socket, its client, and entries declared in a file.

An operator's program::

    async with AdminClient("/run/wimse/admin.sock") as admin:
        await admin.create(EntrySpec(entry_id="payments", path="/payments", selectors=("unix:user:payments",)))

`serve` runs `managed_entries` beside the Workload API: `AdminServer` and `EntriesFile`, as the configuration says.
"""

from __future__ import annotations

from wimse.workload_api.admin.beside import managed_entries
from wimse.workload_api.admin.client import DEFAULT_ADMIN_SOCKET, AdminClient, BlockingAdminClient, EntryListing
from wimse.workload_api.admin.difference import Difference, Failure, difference, perform
from wimse.workload_api.admin.documents import StoredEntry
from wimse.workload_api.admin.entries_file import DeclaredEntries, EntriesFile, parse_entries, read_entries
from wimse.workload_api.admin.server import AdminServer
from wimse.workload_api.admin.settings import AdminSettings
from wimse.workload_api.entry_spec import TEMPLATE_PATH, EntrySpec

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
    "managed_entries",
    "parse_entries",
    "perform",
    "read_entries",
]
