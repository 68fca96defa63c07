"""Who is entitled to which identity: entries and the callers that they match.

Rules:

1. A selector is compared exactly; see `wimse.issuer.selectors`.
2. All selectors of an entry must match; an entry without selectors would match everybody and is refused.
3. All entries that match a caller give it their identities, in the order in which they are registered; the first is
   its default identity (SPIFFE_Workload_API §8).
4. Only a caller that no entry matches gets the default identity, where that is switched on.
5. A path is legal in both schemes, so that one entry means the same workload in each: SPIFFE-ID §2.2 is the stricter.

A selector by path alone trusts whoever may execute that file: combine it with a user or a group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from wimse.credentials import TrustDomain
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.issuer.selectors import Caller, Selector
from wimse.keys import ES256, Algorithm

__all__ = ["Caller", "Entry", "Grant", "IssueTerms", "Registrations", "Selector"]

MAX_HINT_BYTES: Final = 1024  # SPIFFE_Workload_API §8
MAX_ENTRIES: Final = 10_000
MAX_SELECTORS: Final = 32

_ANY_DOMAIN: Final = TrustDomain("spiffe", "any")


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueTerms:
    """How the credentials of an identity are made, where an entry says it.

    Attributes:
        wit_lifetime: of its WITs; None for that of the settings, which is also the most.
        jwt_svid_lifetime: the same, for JWT-SVIDs.
        x509_svid_lifetime: the same, for X.509-SVIDs.
        dns_names: host names for its X.509-SVIDs.
        algorithm: of the keys that the workload is given.
    """

    wit_lifetime: timedelta | None = None
    jwt_svid_lifetime: timedelta | None = None
    x509_svid_lifetime: timedelta | None = None
    dns_names: tuple[str, ...] = ()
    algorithm: Algorithm = ES256


_DEFAULT_TERMS: Final = IssueTerms()


@dataclass(frozen=True, slots=True)
class Entry:
    """An identity for the callers that all selectors match.

    Attributes:
        path: of the identity within the trust domain, such as ``/payments``.
        selectors: at least one, each kind once; `supplementary_gid` several times.
        hint: what the identity is for, where a caller has several; empty for none. At most 1024 bytes.
        federates_with: names of the other trust domains whose bundles the workload is given; None for all of them.
        terms: how its credentials are made.

    Raises on construction:
        ConfigurationError: for a path that is no SPIFFE path (another trust domain, dot segments, the root),
            no selectors or more than 32, a kind twice, a hint that is too long, or a name of no trust domain.
    """

    path: str
    selectors: tuple[Selector, ...]
    hint: str = ""
    federates_with: tuple[str, ...] | None = None
    terms: IssueTerms = _DEFAULT_TERMS

    def __post_init__(self) -> None:
        try:
            _ANY_DOMAIN.workload(self.path)
        except Refused as refused:
            raise ConfigurationError(f"the path of an entry: {refused.detail}") from None
        if not self.selectors:
            raise ConfigurationError(f"the entry {self.path} has no selectors")
        if len(self.selectors) > MAX_SELECTORS:
            raise ConfigurationError(f"the entry {self.path} has more than {MAX_SELECTORS} selectors")
        single = [selector.kind for selector in self.selectors if not selector.multiple]
        if len(set(single)) != len(single) or len(set(self.selectors)) != len(self.selectors):
            raise ConfigurationError(f"the entry {self.path} has two selectors of one kind")
        if len(self.hint.encode("utf-8", "replace")) > MAX_HINT_BYTES:
            raise ConfigurationError(f"the hint of the entry {self.path} is longer than {MAX_HINT_BYTES} bytes")
        for name in self.federates_with or ():
            try:
                TrustDomain("spiffe", name)
            except Refused as refused:
                raise ConfigurationError(f"federates_with of the entry {self.path}: {refused.detail}") from None

    def matches(self, caller: Caller) -> bool:
        """Whether every selector matches."""
        return caller.selectors().issuperset(map(str, self.selectors))

    def may_meet(self, other: Entry) -> bool:
        """Whether one caller could match both: no kind has two different values."""
        values = {selector.kind: selector.value for selector in self.selectors if not selector.multiple}
        return all(values.get(selector.kind, selector.value) == selector.value for selector in other.selectors)


@dataclass(frozen=True, slots=True)
class Grant:
    """An identity that a caller is entitled to.

    Attributes:
        path: of the identity within the trust domain.
        hint: what it is for, or empty.
        federates_with: names of the other trust domains whose bundles go with it; None for all of them.
        terms: how its credentials are made.
    """

    path: str
    hint: str = ""
    federates_with: tuple[str, ...] | None = None
    terms: IssueTerms = _DEFAULT_TERMS


class Registrations:
    """The entries of a trust domain, and whether unregistered callers have an identity as well."""

    def __init__(self, entries: Iterable[Entry] = (), *, default_identities: bool = True) -> None:
        """Register entries.

        Args:
            entries: in order of preference.
            default_identities: give a caller without an entry ``/bin/<exe>/gid/<gid>/pid/<pid>/uid/<uid>``, as
                minispire does. For development: it says which process calls, not which workload it is.

        Raises:
            ConfigurationError: when two entries that one caller may match have the same hint
                (SPIFFE_Workload_API §7.2.1), or for more than 10000 entries.
        """
        self._entries = tuple(entries)
        self._default_identities = default_identities
        if len(self._entries) > MAX_ENTRIES:
            raise ConfigurationError(f"there are more than {MAX_ENTRIES} entries")
        by_hint: dict[str, list[Entry]] = {}
        for entry in self._entries:
            others = by_hint.setdefault(entry.hint, [])
            if entry.hint and any(entry.may_meet(other) for other in others):
                raise ConfigurationError(f"the entry {entry.path} has the hint of another entry for the same callers")
            others.append(entry)
        self._by_selector = _index(self._entries)
        self._grants = [Grant(each.path, each.hint, each.federates_with, each.terms) for each in self._entries]
        self._kinds = frozenset(selector.kind for entry in self._entries for selector in entry.selectors)

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of selectors that some entry has: what has to be found out about a caller."""
        return self._kinds

    def grants(self, caller: Caller) -> tuple[Grant, ...]:
        """The identities of a caller, at least one.

        Raises:
            Refused: `no_identity` when no entry matches and there is no default identity: it is switched off, or
                the name of the executable cannot be written in a SPIFFE ID.
        """
        texts, found = caller.selectors(), dict[str, Grant]()
        candidates = (pair for text in texts for pair in self._by_selector.get(text, ()))
        for place in sorted(place for place, needed in candidates if needed <= texts):
            grant = self._grants[place]
            found.setdefault(grant.path, grant)
        if found:
            return tuple(found.values())
        if not self._default_identities:
            raise Refused(Reason.NO_IDENTITY, "no entry matches the caller")
        return (Grant(_default_path(caller)),)


def _index(entries: tuple[Entry, ...]) -> dict[str, list[tuple[int, frozenset[str]]]]:
    """Each entry once, under its rarest selector: place and all of its selectors."""
    needed = [frozenset(map(str, entry.selectors)) for entry in entries]
    frequency = Counter(text for texts in needed for text in texts)
    index: dict[str, list[tuple[int, frozenset[str]]]] = {}
    for place, texts in enumerate(needed):
        index.setdefault(min(texts, key=lambda text: (frequency[text], text)), []).append((place, texts))
    return index


def _default_path(caller: Caller) -> str:
    # The name is taken as it is or not at all: any mapping would give two executables one identity.
    name = caller.executable.rpartition("/")[2]
    path = f"/bin/{name}/gid/{caller.gid}/pid/{caller.pid}/uid/{caller.uid}"
    try:
        return _ANY_DOMAIN.workload(path).path
    except Refused:
        raise Refused(
            Reason.NO_IDENTITY, "the name of the caller's executable cannot be written in a SPIFFE ID"
        ) from None
