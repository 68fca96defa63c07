"""Entries as an operator writes them, and the messages of the admin service. Decoding is strict: nothing unknown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, Self

import msgspec

from wimse.credentials import TrustDomain
from wimse.errors import ConfigurationError
from wimse.issuer import Registration, Selector, registered_path

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

_LIFETIMES: Final = ("wit_lifetime", "jwt_svid_lifetime", "x509_svid_lifetime")


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A JSON object, or a table of TOML."""


class EntrySpec(_Document, frozen=True, kw_only=True):
    """What an entry is to be; see `wimse.issuer.Registration` for the bounds.

    Attributes:
        entry_id: its name, which never changes.
        path: of the identity, such as ``/payments``, or the whole identity.
        selectors: all of them must match, such as ``unix:uid:1000``.
        hint: what the identity is for, where a caller has several.
        wit_lifetime_seconds: of its WITs; None for that of the server.
        jwt_svid_lifetime_seconds: the same, for JWT-SVIDs.
        x509_svid_lifetime_seconds: the same, for X.509-SVIDs.
        dns_names: host names for its X.509-SVIDs.
        federates_with: names of the trust domains whose bundles it is given; None for all.
        expires_at: when it stops to count, in seconds since 1970; None for never.
        key_algorithm: of the workload's keys.
    """

    entry_id: str
    path: str
    selectors: tuple[str, ...] = ()
    hint: str = ""
    wit_lifetime_seconds: int | None = None
    jwt_svid_lifetime_seconds: int | None = None
    x509_svid_lifetime_seconds: int | None = None
    dns_names: tuple[str, ...] = ()
    federates_with: tuple[str, ...] | None = None
    expires_at: int | None = None
    key_algorithm: str = "ES256"

    def registration(self, trust_domain: TrustDomain) -> Registration:
        """The record, checked by itself; what depends on other entries is for the store to check.

        Raises:
            ConfigurationError: for an identity of another trust domain, a selector that is none, or a value that is
                out of its bounds.
        """
        lifetimes: dict[str, Any] = {name: _lifetime(name, getattr(self, f"{name}_seconds")) for name in _LIFETIMES}
        return Registration(
            entry_id=self.entry_id,
            path=registered_path(self.path, trust_domain),
            selectors=tuple(Selector.parse(each) for each in self.selectors),
            hint=self.hint,
            dns_names=self.dns_names,
            federates_with=self.federates_with,
            expires_at=self.expires_at,
            key_algorithm=self.key_algorithm,
            **lifetimes,
        )

    def normal(self, trust_domain: TrustDomain) -> EntrySpec:
        """The same entry as any other spelling of it, to compare them.

        Raises:
            ConfigurationError: as `registration`.
        """
        spec = StoredEntry.of(self.registration(trust_domain)).spec
        federated = None if spec.federates_with is None else tuple(sorted(spec.federates_with))
        return msgspec.structs.replace(spec, selectors=tuple(sorted(spec.selectors)), federates_with=federated)


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
        lifetimes: dict[str, Any] = {f"{name}_seconds": _seconds(getattr(record, name)) for name in _LIFETIMES}
        return cls(
            entry_id=record.entry_id,
            path=record.path,
            selectors=tuple(map(str, record.selectors)),
            hint=record.hint,
            dns_names=record.dns_names,
            federates_with=record.federates_with,
            expires_at=record.expires_at,
            key_algorithm=record.key_algorithm,
            created_at=record.created_at,
            updated_at=record.updated_at,
            revision=record.revision,
            **lifetimes,
        )

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


def _lifetime(name: str, seconds: int | None) -> timedelta | None:
    try:
        return None if seconds is None else timedelta(seconds=seconds)
    except OverflowError:
        raise ConfigurationError(f"{name} is too long") from None


def _seconds(lifetime: timedelta | None) -> int | None:
    return None if lifetime is None else int(lifetime.total_seconds())
