"""Entries as an operator writes them: in the server's configuration, in a file of entries, over the admin socket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from wimse.credentials import TrustDomain
from wimse.errors import ConfigurationError
from wimse.issuer import Registration, Selector, registered_path
from wimse.issuer.registration import LIFETIMES

__all__ = ["TEMPLATE_PATH", "EntryConfig", "EntrySpec", "entry_problems", "members_of"]

TEMPLATE_PATH: Final = "/bin/{exe}/gid/{gid}/pid/{pid}/uid/{uid}"
_PLAIN: Final = ("entry_id", "path", "hint", "dns_names", "federates_with", "expires_at", "key_algorithm")


class EntrySpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an entry is to be; see `wimse.issuer.Registration` for the bounds. Nothing unknown is decoded.

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
        """The record, checked by itself; what depends on other entries is for others to check.

        Raises:
            ConfigurationError: for an identity of another trust domain, a selector that is none, or a value that is
                out of its bounds.
        """
        lifetimes: dict[str, Any] = {name: _lifetime(name, getattr(self, f"{name}_seconds")) for name in LIFETIMES}
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
        members = members_of(self.registration(trust_domain))
        federated = None if self.federates_with is None else tuple(sorted(self.federates_with))
        members |= {"selectors": tuple(sorted(members["selectors"])), "federates_with": federated}
        return EntrySpec(**members)


class EntryConfig(EntrySpec, frozen=True, kw_only=True):
    """One ``[[entries]]`` of the server's configuration: as in a file of entries, but it needs no name.

    Attributes:
        entry_id: nobody asks for it here; it is there so that an entry can be moved from one file to the other.
    """

    entry_id: str = ""

    def registration(self, trust_domain: TrustDomain) -> Registration:
        """See `EntrySpec.registration`."""
        named = self if self.entry_id else msgspec.structs.replace(self, entry_id="configured")
        return EntrySpec.registration(named, trust_domain)


def members_of(record: Registration) -> dict[str, Any]:
    """What a record says, as members of an `EntrySpec`."""
    return {
        **{name: getattr(record, name) for name in _PLAIN},
        **{f"{name}_seconds": _seconds(getattr(record, name)) for name in LIFETIMES},
        "selectors": tuple(map(str, record.selectors)),
    }


def entry_problems(
    entries: Sequence[EntrySpec], trust_domain: TrustDomain, *, templates: bool
) -> Iterator[tuple[int, str]]:
    """What is wrong with the entries of one file: the place of each, from 0, and why.

    Args:
        entries: in order.
        trust_domain: which they belong to.
        templates: whether an entry may be the template of `TEMPLATE_PATH`.
    """
    names, paths = set[str](), set[str]()
    for place, each in enumerate(entries):
        if each.entry_id and each.entry_id in names:
            yield place, "the entry_id is that of an earlier entry"
        names.add(each.entry_id)
        if each.path == TEMPLATE_PATH:
            if not templates:
                yield place, "a template entry stands in a file of entries; here say default_identities = true"
            elif each != EntrySpec(entry_id=each.entry_id, path=TEMPLATE_PATH):
                yield place, "a template entry has an entry_id and its path, nothing else"
            continue
        try:
            path = each.registration(trust_domain).path
        except ConfigurationError as error:
            yield place, error.detail
            continue
        if path in paths:
            yield place, "the identity is that of an earlier entry"
        paths.add(path)


def _lifetime(name: str, seconds: int | None) -> timedelta | None:
    try:
        return None if seconds is None else timedelta(seconds=seconds)
    except OverflowError:
        raise ConfigurationError(f"{name} is too long") from None


def _seconds(lifetime: timedelta | None) -> int | None:
    return None if lifetime is None else int(lifetime.total_seconds())
