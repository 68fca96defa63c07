"""Registration entries as records: what an operator registers, checked, with a number for concurrent changes.

Rules:

1. An identity is registered once (draft-ietf-wimse-identifier: one identifier, one workload).
2. It is not given to other callers while a credential of the earlier ones may live. Selectors can be made narrower in
   place, because whoever matches then matched before. Anything else is a deletion, a wait and a new entry.
3. An entry is valid for the trust domain that it is registered in, and for no other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from wimse.credentials import TrustDomain, WorkloadIdentifier
from wimse.credentials.jws import SPIFFE_ALGORITHMS
from wimse.credentials.x509_svid import check_dns_names
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.issuer.entries import Entry, IssueTerms, Selector
from wimse.issuer.settings import IssuerSettings
from wimse.keys import Algorithm, algorithm_named

__all__ = [
    "LIFETIMES",
    "Hold",
    "Registration",
    "check_registration",
    "check_successor",
    "registered_path",
    "token_horizon",
]

MAX_DNS_NAMES: Final = 32
MAX_FEDERATED_DOMAINS: Final = 64
MAX_ENTRY_ID_BYTES: Final = 64
_SHORTEST: Final = timedelta(seconds=2)
LIFETIMES: Final = ("wit_lifetime", "jwt_svid_lifetime", "x509_svid_lifetime")  # fields of settings and entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """An entry as it is stored.

    Attributes:
        entry_id: its name, which never changes; letters, digits, hyphens and underscores, at most 64.
        path: of the identity within the trust domain, such as ``/payments``.
        selectors: at least one; a caller has all of them.
        hint: what the identity is for, where a caller has several; empty for none.
        wit_lifetime: of its WITs; None for that of the settings, which is also the most.
        jwt_svid_lifetime: the same, for JWT-SVIDs.
        x509_svid_lifetime: the same, for X.509-SVIDs.
        dns_names: host names for its X.509-SVIDs; at most 32.
        federates_with: names of the other trust domains whose bundles it is given, at most 64; None for all.
        expires_at: when it stops to count, in seconds since 1970; None for never.
        key_algorithm: of the workload's keys: one that WIT-SVID §3.2 permits.
        created_at: seconds since 1970; the store sets it.
        updated_at: seconds since 1970; the store sets it.
        revision: 1 for a new entry, then one more with each change; the store sets it.

    Raises on construction:
        ConfigurationError: for a value that is out of its bounds, with its name.
    """

    entry_id: str
    path: str
    selectors: tuple[Selector, ...]
    hint: str = ""
    wit_lifetime: timedelta | None = None
    jwt_svid_lifetime: timedelta | None = None
    x509_svid_lifetime: timedelta | None = None
    dns_names: tuple[str, ...] = ()
    federates_with: tuple[str, ...] | None = None
    expires_at: int | None = None
    key_algorithm: str = "ES256"
    created_at: int = 0
    updated_at: int = 0
    revision: int = 0

    def __post_init__(self) -> None:
        plain = self.entry_id.replace("-", "").replace("_", "")
        if not (plain.isascii() and plain.isalnum() and len(self.entry_id) <= MAX_ENTRY_ID_BYTES):
            raise ConfigurationError("entry_id takes letters, digits, hyphens and underscores, at most 64")
        _check_federated(self.federates_with or ())
        _ = self.entry  # checks path, selectors, hint and algorithm
        if "\0" in self.hint or not _encodable(self.hint):
            raise ConfigurationError("hint is not text that can be stored")
        for name in LIFETIMES:
            value: timedelta | None = getattr(self, name)
            if value is not None and (value < _SHORTEST or value.microseconds):
                raise ConfigurationError(f"{name} must be at least 2 seconds, in whole seconds")
        if len(self.dns_names) > MAX_DNS_NAMES or len(set(self.dns_names)) != len(self.dns_names):
            raise ConfigurationError(f"dns_names takes at most {MAX_DNS_NAMES} different names")
        check_dns_names(self.dns_names)
        if self.expires_at is not None and self.expires_at <= 0:
            raise ConfigurationError("expires_at is a time in seconds since 1970")

    @property
    def entry(self) -> Entry:
        """What callers are matched with."""
        terms = IssueTerms(
            wit_lifetime=self.wit_lifetime,
            jwt_svid_lifetime=self.jwt_svid_lifetime,
            x509_svid_lifetime=self.x509_svid_lifetime,
            dns_names=self.dns_names,
            algorithm=self.algorithm,
        )
        return Entry(self.path, self.selectors, self.hint, self.federates_with, terms)

    @property
    def algorithm(self) -> Algorithm:
        """The algorithm of the workload's keys."""
        if self.key_algorithm not in {each.jose_name for each in SPIFFE_ALGORITHMS}:
            raise ConfigurationError("key_algorithm must be one that WIT-SVID permits, such as ES256")
        return algorithm_named(self.key_algorithm)

    def expired(self, now: int) -> bool:
        """Whether it does not count any more, at `now` in seconds since 1970."""
        return self.expires_at is not None and now >= self.expires_at


@dataclass(frozen=True, slots=True)
class Hold:
    """An identity that was taken from its callers, and cannot be given to others yet.

    Attributes:
        path: the identity.
        selectors: of those who had it.
        until: when the last credential of theirs has ended, in seconds since 1970.
    """

    path: str
    selectors: tuple[Selector, ...]
    until: int


def registered_path(identity: str, trust_domain: TrustDomain) -> str:
    """The path of an identity that an operator names, as a URI or as a path.

    Args:
        identity: such as ``spiffe://example.org/payments`` or ``/payments``.
        trust_domain: in which it is registered.

    Raises:
        ConfigurationError: for an identity of another trust domain, the trust domain itself, or a malformed one.
    """
    try:
        if identity.startswith("/"):
            return trust_domain.workload(identity).path
        parsed = WorkloadIdentifier.parse(identity)
    except Refused as refused:
        raise ConfigurationError(f"the identity of an entry: {refused.detail}") from None
    if not parsed.member_of(trust_domain):
        raise ConfigurationError("the identity of an entry belongs to another trust domain")
    return parsed.path


def check_registration(
    record: Registration, others: Iterable[Registration], settings: IssuerSettings, trust_domain: str
) -> None:
    """Check an entry against the settings and against what is registered.

    Args:
        record: the new state of the entry.
        others: all other entries.
        settings: bounds of lifetimes.
        trust_domain: name of the trust domain.

    Raises:
        ConfigurationError: for a lifetime above that of the settings, an identity that is too long in this trust
            domain, or this trust domain among those that it federates with.
        Refused: `entry_conflict` for an identity that is registered, or a hint that a caller of this entry could
            get twice (SPIFFE_Workload_API §7.2.1).
    """
    for name in LIFETIMES:
        value, most = getattr(record, name), getattr(settings, name)
        if value is not None and value > most:
            raise ConfigurationError(f"{name} is longer than that of the server, {most.total_seconds():.0f} seconds")
    registered_path(record.path, TrustDomain("spiffe", trust_domain))
    if trust_domain in (record.federates_with or ()):
        raise ConfigurationError("federates_with names the trust domain itself")
    entry = record.entry
    for other in others:
        if other.path == record.path:
            raise Refused(Reason.ENTRY_CONFLICT, "the identity is registered already, by another entry")
        if record.hint and record.hint == other.hint and entry.may_meet(other.entry):
            raise Refused(Reason.ENTRY_CONFLICT, "the hint is that of another entry which the same caller can match")


def check_successor(record: Registration, former: tuple[Selector, ...]) -> None:
    """Check that whoever matches now has matched before.

    Args:
        record: the new state of the entry.
        former: the selectors under which its identity was given so far.

    Raises:
        Refused: `entry_conflict`.
    """
    if not set(former) <= set(record.selectors):
        raise Refused(
            Reason.ENTRY_CONFLICT,
            "the identity may still be in the hands of callers with other selectors: delete the entry, and register "
            "it again when their credentials have ended",
        )


def token_horizon(settings: IssuerSettings, *, now: int, leeway: int) -> int:
    """When everything that could have been issued until now has ended, in seconds since 1970."""
    longest = max(settings.wit_lifetime, settings.jwt_svid_lifetime, settings.x509_svid_lifetime)
    return now + int(longest.total_seconds()) + leeway


def _check_federated(names: tuple[str, ...]) -> None:
    if len(names) > MAX_FEDERATED_DOMAINS or len(set(names)) != len(names):
        raise ConfigurationError(f"federates_with takes at most {MAX_FEDERATED_DOMAINS} different trust domains")
    for name in names:
        try:
            TrustDomain("spiffe", name)
        except Refused as refused:
            raise ConfigurationError(f"federates_with: {refused.detail}") from None


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
