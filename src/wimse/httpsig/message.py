"""Requests and responses as they were on the wire: immutable, without their content.

The content is kept apart from the head: it is large, may be a stream, and no signature covers it but through
Content-Digest. Nothing is decoded, normalised or reordered here; `components` derives values from what is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeVar

from wimse.errors import Reason, Refused

__all__ = ["Fields", "Message", "Request", "Response"]

# RFC 9110 §5.6.2. `@` is not among them: no field can pose as a derived component (RFC 9421 §7.5.1).
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
# RFC 9110 §5.5: HTAB, SP, VCHAR and obs-text (bytes 80 to FF, here as the characters of the same number). Never CR, LF
# or NUL: a line feed in a value would forge a line of the signature base (RFC 9421 §7.5.5).
_VALUE: Final = re.compile("[\t\x20-\x7e\x80-\xff]*")
# RFC 3986 characters and nothing else; a space or a control character would end or forge the request line.
_TARGET: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)
_AUTHORITY: Final = re.compile(r"[\x21-\x7e]*", re.ASCII)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*", re.ASCII)
_OWS: Final = " \t"
_Made = TypeVar("_Made")


def _lower_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise Refused(Reason.FIELD_MALFORMED, "a field's name is not a token")
    return name.lower()


# The same few names come with every message; those that strangers send are kept too, bounded in number and in size.
_known_name = lru_cache(maxsize=1_024)(_lower_name)
_MAX_KEPT_CHARACTERS: Final = 64


def _index(lines: tuple[tuple[str, str], ...]) -> tuple[dict[str, str], dict[str, list[str]]]:
    # In one pass: check each line, and put each field's value together (RFC 9421 §2.1 steps 2 and 4).
    combined: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    for name, value in lines:
        key = _known_name(name) if len(name) <= _MAX_KEPT_CHARACTERS else _lower_name(name)
        # Printable ASCII is what nearly all are, and is seen without the regular expression.
        if not (value.isascii() and value.isprintable()) and not _VALUE.fullmatch(value):
            raise Refused(Reason.FIELD_MALFORMED, "a field's value has a control character")
        if key in combined:
            repeated.setdefault(key, [combined[key]]).append(value.strip(_OWS))
        else:
            combined[key] = value.strip(_OWS)
    for key, values in repeated.items():
        combined[key] = ", ".join(values)
    return combined, repeated


class Fields:
    """The field lines of a head, in their order and with their own spelling.

    A sequence of (name, value) pairs of `str`; bytes above 7F are the characters of the same number (ISO 8859-1).
    """

    __slots__ = ("_combined", "_lines", "_made", "_repeated")

    def __init__(self, lines: Iterable[tuple[str, str]] = ()) -> None:
        """Hold `lines`.

        Raises:
            Refused: `field_malformed` for a name that is no token, or a value with CR, LF, NUL or another
                control character.
        """
        self._lines = tuple((name, value) for name, value in lines)
        self._combined: dict[str, str] | None  # None until it is asked for, and then _repeated is not there either
        self._repeated: dict[str, list[str]]
        self._combined, self._repeated = _index(self._lines)
        self._made: dict[Hashable, Any] | None = None

    @classmethod
    def from_bytes(cls, lines: Iterable[tuple[bytes, bytes]]) -> Fields:
        """Take lines as servers and clients hand them over; raises as the constructor."""
        return cls((name.decode("latin-1"), value.decode("latin-1")) for name, value in lines)

    @property
    def by_name(self) -> Mapping[str, str]:
        """Each field's one value under its name in lower case, as `combined` gives it. Not to be modified."""
        if self._combined is None:
            self._combined, self._repeated = _index(self._lines)
        return self._combined

    @property
    def repeated(self) -> Mapping[str, list[str]]:
        """The fields of more than one line, as `values` gives them. Not to be modified."""
        if self._combined is None:
            self._combined, self._repeated = _index(self._lines)
        return self._repeated

    def values(self, name: str) -> list[str]:
        """The values of every line of this name, in order, without surrounding white space (RFC 9421 §2.1 step 2).

        Args:
            name: in lower case.
        """
        if name in self.repeated:
            return list(self._repeated[name])
        value = self.by_name.get(name)
        return [] if value is None else [value]

    def combined(self, name: str) -> str | None:
        """The field's one value: its lines joined by a comma and a space (RFC 9421 §2.1 step 4); None if absent.

        Args:
            name: in lower case.
        """
        return self.by_name.get(name)

    def once(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        """What `make` returns; called at most once for each key, as these lines never change. Not to be modified."""
        if self._made is None:
            self._made = {}
        return _once(self._made, key, make)

    def without(self, *names: str) -> Fields:
        """The same lines without those of these names (in lower case)."""
        return Fields(line for line in self._lines if line[0].lower() not in names)

    def adding(self, *lines: tuple[str, str]) -> Fields:
        """The same lines with `lines` after them; raises as the constructor."""
        _index(lines)
        return self.with_written(lines)

    def with_written(self, lines: tuple[tuple[str, str], ...]) -> Fields:
        """As `adding`, for lines that were written here and have no character that they cannot have."""
        both = object.__new__(Fields)  # the lines that are here were looked at when they came
        both._lines = self._lines + lines
        both._combined = both._made = None
        return both

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, name: object) -> bool:
        return name in self.by_name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and self._lines == other._lines

    def __hash__(self) -> int:
        return hash(self._lines)

    def __repr__(self) -> str:
        # Names only: values hold tokens.
        return f"Fields({', '.join(name for name, _ in self._lines)})"


_NONE: Final = Fields()


def _once(kept: dict[Hashable, Any], key: Hashable, make: Callable[[], _Made]) -> _Made:
    if key not in kept:
        kept[key] = make()
    made: _Made = kept[key]
    return made


# Not slotted, neither of the two: `with_fields` copies what there is at once.
@dataclass(frozen=True, kw_only=True)
class Request:
    """A request's head.

    Attributes:
        method: as sent; methods are case-sensitive.
        target: the request target as sent, in any of its four forms (RFC 9112 §3.2).
        scheme: ``https`` or ``http``; from the connection or from configuration, HTTP/1.1 does not send it.
        authority: of the target URI: the Host field, or ``:authority``.
        fields: the field lines of the head.
        trailers: the field lines after the content, never combined with those of the head (RFC 9421 §2.1.4).

    Raises on construction:
        Refused: `message_malformed` for characters that these parts cannot have.
    """

    method: str
    target: str
    scheme: str = "https"
    authority: str = ""
    fields: Fields = field(default_factory=Fields)
    trailers: Fields = _NONE
    _made: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.method):
            raise Refused(Reason.MESSAGE_MALFORMED, "the method is not a token")
        if not _TARGET.fullmatch(self.target):
            raise Refused(Reason.MESSAGE_MALFORMED, "the request target is empty or has characters it cannot have")
        if not _SCHEME.fullmatch(self.scheme):
            raise Refused(Reason.MESSAGE_MALFORMED, "the scheme is malformed")
        if not _AUTHORITY.fullmatch(self.authority):
            raise Refused(Reason.MESSAGE_MALFORMED, "the authority has characters it cannot have")

    def once(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        """What `make` finds out of the target, which never changes; called at most once for each key."""
        return _once(self._made, key, make)


@dataclass(frozen=True, kw_only=True)
class Response:
    """A response's head.

    Attributes:
        status: the status code, 100 to 999.
        fields: the field lines of the head.
        trailers: the field lines after the content, never combined with those of the head (RFC 9421 §2.1.4).

    Raises on construction:
        Refused: `message_malformed` for a status that is not three digits.
    """

    status: int
    fields: Fields = field(default_factory=Fields)
    trailers: Fields = _NONE

    def __post_init__(self) -> None:
        if not 100 <= self.status <= 999:
            raise Refused(Reason.MESSAGE_MALFORMED, "the status code does not have three digits")


Message = Request | Response
AnyMessage = TypeVar("AnyMessage", bound=Request | Response)


def with_fields(message: AnyMessage, fields: Fields) -> AnyMessage:
    """The same message with other fields in its head; its trailers stay."""
    # What stays was looked at when the message was made; what was found out of the target (`once`) is still true.
    made = object.__new__(type(message))
    made.__dict__.update(message.__dict__, fields=fields)
    return made
