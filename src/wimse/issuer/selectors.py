"""What is said of a caller, and what a selector asks for.

A selector is compared exactly, as text: numbers in canonical decimal, names and paths byte by byte, hashes in lower
case hexadecimal. There are no patterns, and what looks like one is refused when it is registered.

A selector is worth what stands behind it: a uid is the kernel's word; a path trusts whoever may write that file; a
user's name is what this machine's user database says now. See docs/identity-server/entries-and-selectors.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from wimse.errors import ConfigurationError

__all__ = ["SELECTOR_KINDS", "Caller", "Selector"]

_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_MAX_NUMBER: Final = 2**32 - 1
_PATTERN_CHARACTERS: Final = frozenset("*?[]{}")
_NUMERIC: Final = frozenset({"pid", "uid", "gid", "supplementary_gid"})
# Names that the user database of a machine gives; one of digits only would look like a number that it is not.
_NAME: Final = (re.compile(r"(?![0-9]+\Z)[A-Za-z0-9_][A-Za-z0-9_.@-]{0,255}", re.ASCII), "a name of this machine")
_HEX_64: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_UNIT: Final = (re.compile(r"[A-Za-z0-9:_.\\@-]{1,240}\.(service|scope)", re.ASCII), "the name of a service or scope")
_SHAPES: Final = {
    "user": _NAME,
    "group": _NAME,
    "sha256": (_HEX_64, "64 lower-case hexadecimal digits"),
    "systemd:id": _UNIT,
    "systemd:unit": _UNIT,
    "docker:container_id": (_HEX_64, "64 lower-case hexadecimal digits"),
    "k8s:container-id": (_HEX_64, "64 lower-case hexadecimal digits"),
    "k8s:pod-uid": (
        re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", re.ASCII),
        "a lower-case UUID, or 32 hexadecimal digits for a static pod",
    ),
}

SELECTOR_KINDS: Final = (
    *(f"unix:{kind}" for kind in ("pid", "uid", "gid", "supplementary_gid", "user", "group", "path", "sha256")),
    *(kind for kind in _SHAPES if ":" in kind),
)
"""Everything that a selector can name, in the order of the documentation."""

_MULTIPLE: Final = frozenset({"supplementary_gid"})  # a caller has several of these at one time


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A process, as the kernel describes it.

    Attributes:
        pid: its process identifier.
        uid: its user when it connected.
        gid: its primary group when it connected.
        executable: absolute path of the file that it executes; empty when the caller is in another mount namespace and
            that path means another file here.
        properties: what else is true of it, as the text of selectors such as ``unix:user:payments``.
    """

    pid: int
    uid: int
    gid: int
    executable: str
    properties: frozenset[str] = frozenset()

    def selectors(self) -> frozenset[str]:
        """The text of every selector that matches."""
        texts = {f"unix:pid:{self.pid}", f"unix:uid:{self.uid}", f"unix:gid:{self.gid}"}
        if self.executable:
            texts.add(f"unix:path:{self.executable}")
        return self.properties | texts


@dataclass(frozen=True, slots=True)
class Selector:
    """One property that a caller must have.

    Attributes:
        kind: ``pid``, ``uid``, ``gid``, ``supplementary_gid``, ``user``, ``group``, ``path`` or ``sha256``, which are
            written after ``unix:``; or ``systemd:id``, ``systemd:unit``, ``docker:container_id``, ``k8s:pod-uid``,
            ``k8s:container-id``.
        value: what it must be.

    Raises on construction:
        ConfigurationError: for another kind, a number that is not canonical or above 2³²-1, a path that is not
            absolute and normal, one that looks like a pattern, or a value that is not of its kind's form.
    """

    kind: str
    value: str

    def __post_init__(self) -> None:
        if self.kind in _NUMERIC:
            if not _NUMBER.fullmatch(self.value) or int(self.value) > _MAX_NUMBER:
                raise ConfigurationError(f"the selector unix:{self.kind} takes a decimal number without leading zeros")
        elif self.kind == "path":
            _check_executable_path(self.value)
        elif self.kind in _SHAPES:
            pattern, form = _SHAPES[self.kind]
            if not pattern.fullmatch(self.value):
                raise ConfigurationError(f"the selector {_prefix(self.kind)} takes {form}")
        else:
            raise _unknown()

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Read a selector such as ``unix:uid:1000`` or ``unix:path:/usr/bin/payments``.

        Raises:
            ConfigurationError: when it is malformed; see the class.
        """
        prefix, _, rest = text.partition(":")
        kind, separator, value = rest.partition(":")
        if not separator or (prefix == "unix" and ":" in kind):
            raise _unknown()
        return cls(kind if prefix == "unix" else f"{prefix}:{kind}", value)

    @property
    def multiple(self) -> bool:
        """Whether one caller can have several values of this kind."""
        return self.kind in _MULTIPLE

    def matches(self, caller: Caller) -> bool:
        """Whether the caller has exactly this property."""
        return str(self) in caller.selectors()

    def __str__(self) -> str:
        return f"{_prefix(self.kind)}:{self.value}"


def _prefix(kind: str) -> str:
    return kind if ":" in kind else f"unix:{kind}"


def _unknown() -> ConfigurationError:
    return ConfigurationError(f"a selector is one of {', '.join(SELECTOR_KINDS)}, then a colon and a value")


def _check_executable_path(path: str) -> None:
    first, *segments = path.split("/")
    if first or not segments or any(segment in {"", ".", ".."} for segment in segments) or not path.isprintable():
        raise ConfigurationError("the selector unix:path takes an absolute path without empty or dot segments")
    if not _PATTERN_CHARACTERS.isdisjoint(path):
        raise ConfigurationError("the selector unix:path takes one path; patterns are not supported")
