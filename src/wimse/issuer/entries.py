"""Who is entitled to which identity: callers, selectors, entries.

Rules:

1. A selector is compared exactly: numbers as canonical decimal, paths byte by byte. There are no patterns, and what
   looks like one is refused when it is registered.
2. All selectors of an entry must match; an entry without selectors would match everybody and is refused.
3. All entries that match a caller give it their identities, in the order in which they are registered; the first is
   its default identity (SPIFFE_Workload_API §8).
4. Only a caller that no entry matches gets the default identity, where that is switched on.
5. A path is legal in both schemes, so that one entry means the same workload in each: SPIFFE-ID §2.2 is the stricter.

A selector by path alone trusts whoever may execute that file: combine it with a user or a group.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from wimse.credentials import TrustDomain
from wimse.errors import ConfigurationError, Reason, Refused

__all__ = ["Caller", "Entry", "Grant", "Registrations", "Selector"]

MAX_HINT_BYTES: Final = 1024  # SPIFFE_Workload_API §8
MAX_ENTRIES: Final = 10_000

_ANY_DOMAIN: Final = TrustDomain("spiffe", "any")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_NUMERIC_KINDS: Final = ("pid", "uid", "gid")
_MAX_NUMBER: Final = 2**32 - 1
_PATTERN_CHARACTERS: Final = frozenset("*?[]{}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A process, as the kernel describes it.

    Attributes:
        pid: its process identifier.
        uid: its user when it connected.
        gid: its primary group when it connected.
        executable: absolute path of the file that it executes.
    """

    pid: int
    uid: int
    gid: int
    executable: str


@dataclass(frozen=True, slots=True)
class Selector:
    """One property that a caller must have.

    Attributes:
        kind: ``pid``, ``uid``, ``gid`` or ``path``.
        value: the number in decimal, or the absolute path of the executable.

    Raises on construction:
        ConfigurationError: for another kind, a number that is not canonical or above 2³²-1, a path that is not
            absolute and normal, or one that looks like a pattern.
    """

    kind: str
    value: str

    def __post_init__(self) -> None:
        if self.kind in _NUMERIC_KINDS:
            if not _NUMBER.fullmatch(self.value) or int(self.value) > _MAX_NUMBER:
                raise ConfigurationError(f"the selector unix:{self.kind} takes a decimal number without leading zeros")
        elif self.kind == "path":
            _check_executable_path(self.value)
        else:
            raise ConfigurationError("a selector is unix:pid:N, unix:uid:N, unix:gid:N or unix:path:/file")

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Read a selector such as ``unix:uid:1000`` or ``unix:path:/usr/bin/payments``.

        Raises:
            ConfigurationError: when it is malformed; see the class.
        """
        prefix, _, rest = text.partition(":")
        kind, separator, value = rest.partition(":")
        if prefix != "unix" or not separator:
            raise ConfigurationError("a selector is unix:pid:N, unix:uid:N, unix:gid:N or unix:path:/file")
        return cls(kind, value)

    def matches(self, caller: Caller) -> bool:
        """Whether the caller has exactly this property."""
        actual = caller.executable if self.kind == "path" else str(getattr(caller, self.kind))
        return actual == self.value

    def __str__(self) -> str:
        return f"unix:{self.kind}:{self.value}"


def _check_executable_path(path: str) -> None:
    first, *segments = path.split("/")
    if first or not segments or any(segment in {"", ".", ".."} for segment in segments) or not path.isprintable():
        raise ConfigurationError("the selector unix:path takes an absolute path without empty or dot segments")
    if not _PATTERN_CHARACTERS.isdisjoint(path):
        raise ConfigurationError("the selector unix:path takes one path; patterns are not supported")


@dataclass(frozen=True, slots=True)
class Entry:
    """An identity for the callers that all selectors match.

    Attributes:
        path: of the identity within the trust domain, such as ``/payments``.
        selectors: at least one, each kind once.
        hint: what the identity is for, where a caller has several; empty for none. At most 1024 bytes.

    Raises on construction:
        ConfigurationError: for a path that is no SPIFFE path (another trust domain, dot segments, the root),
            no selectors, a kind twice, or a hint that is too long.
    """

    path: str
    selectors: tuple[Selector, ...]
    hint: str = ""

    def __post_init__(self) -> None:
        try:
            _ANY_DOMAIN.workload(self.path)
        except Refused as refused:
            raise ConfigurationError(f"the path of an entry: {refused.detail}") from None
        if not self.selectors:
            raise ConfigurationError(f"the entry {self.path} has no selectors")
        if len({selector.kind for selector in self.selectors}) != len(self.selectors):
            raise ConfigurationError(f"the entry {self.path} has two selectors of one kind")
        if len(self.hint.encode("utf-8", "replace")) > MAX_HINT_BYTES:
            raise ConfigurationError(f"the hint of the entry {self.path} is longer than {MAX_HINT_BYTES} bytes")

    def matches(self, caller: Caller) -> bool:
        """Whether every selector matches."""
        return all(selector.matches(caller) for selector in self.selectors)

    def may_meet(self, other: Entry) -> bool:
        """Whether one caller could match both: no kind has two different values."""
        values = {selector.kind: selector.value for selector in self.selectors}
        return all(values.get(selector.kind, selector.value) == selector.value for selector in other.selectors)


@dataclass(frozen=True, slots=True)
class Grant:
    """An identity that a caller is entitled to.

    Attributes:
        path: of the identity within the trust domain.
        hint: what it is for, or empty.
    """

    path: str
    hint: str = ""


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

    def grants(self, caller: Caller) -> tuple[Grant, ...]:
        """The identities of a caller, at least one.

        Raises:
            Refused: `no_identity` when no entry matches and there is no default identity: it is switched off, or
                the name of the executable cannot be written in a SPIFFE ID.
        """
        found: dict[str, Grant] = {}
        for entry in self._entries:
            if entry.matches(caller):
                found.setdefault(entry.path, Grant(entry.path, entry.hint))
        if found:
            return tuple(found.values())
        if not self._default_identities:
            raise Refused(Reason.NO_IDENTITY, "no entry matches the caller")
        return (Grant(_default_path(caller)),)


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
