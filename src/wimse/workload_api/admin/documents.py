"""Entries as they are stored, and the messages of the admin service. Decoding is strict: nothing unknown."""

from __future__ import annotations

from typing import Self

import msgspec

from wimse.issuer import Registration
from wimse.workload_api.entry_spec import EntrySpec, members_of

__all__ = [
    "CreateEntry",
    "DeleteEntry",
    "Deleted",
    "EntryPage",
    "EntrySpec",
    "ListEntries",
    "ShowEntry",
    "StoredEntry",
    "UpdateEntry",
]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A JSON object."""


class StoredEntry(EntrySpec, frozen=True, kw_only=True):
    """An entry that is registered.

    Attributes:
        created_at: seconds since 1970.
        updated_at: seconds since 1970.
        revision: one more with each change; a change names the one that it was made from.
    """

    created_at: int
    updated_at: int
    revision: int

    @classmethod
    def of(cls, record: Registration) -> Self:
        """An entry of the store."""
        stored = {name: getattr(record, name) for name in ("created_at", "updated_at", "revision")}
        return cls(**members_of(record), **stored)

    @property
    def spec(self) -> EntrySpec:
        """What it is to be, without what the store has set."""
        return EntrySpec(**{name: getattr(self, name) for name in EntrySpec.__struct_fields__})


class CreateEntry(_Document, frozen=True, kw_only=True):
    """Register `entry`; one that is registered just so is no conflict."""

    entry: EntrySpec


class UpdateEntry(_Document, frozen=True, kw_only=True):
    """Let the entry of this `entry_id` be `entry`, if it is still at `revision`."""

    entry: EntrySpec
    revision: int


class DeleteEntry(_Document, frozen=True, kw_only=True):
    """Delete an entry, if it is still at `revision`; None for whatever it is at."""

    entry_id: str
    revision: int | None = None


class Deleted(_Document, frozen=True, kw_only=True):
    """It is deleted."""


class ShowEntry(_Document, frozen=True, kw_only=True):
    """Give one entry."""

    entry_id: str


class ListEntries(_Document, frozen=True, kw_only=True):
    """Give entries from the one at `offset`; of `revision` of the store, where the first page was of that one."""

    offset: int = 0
    revision: int | None = None


class EntryPage(_Document, frozen=True, kw_only=True):
    """Entries in the order of their creation, all of one moment.

    Attributes:
        trust_domain: such as ``spiffe://example.org``.
        revision: of the store.
        entries: some of them.
        following: `offset` of the next page; None after the last one.
    """

    trust_domain: str
    revision: int
    entries: tuple[StoredEntry, ...]
    following: int | None = None
