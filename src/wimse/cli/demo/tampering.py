"""What the middlebox can be told to do to a message. Each changes one thing; everything else goes on as it came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

__all__ = ["REQUEST_TAMPERING", "RESPONSE_TAMPERING", "WireMessage", "unchanged"]

_SIGNATURE_FIELDS: Final = {b"signature", b"signature-input", b"workload-identity-token"}


@dataclass(frozen=True, slots=True)
class WireMessage:
    """A message between two hops.

    Attributes:
        start: the parts of its first line: method and target, or status and reason phrase.
        fields: the field lines, with the spelling of the sender.
        content: the content.
    """

    start: tuple[bytes, bytes]
    fields: tuple[tuple[bytes, bytes], ...]
    content: bytes

    @property
    def is_response(self) -> bool:
        """Whether it is a response."""
        return self.start[0].isdigit()

    def adding(self, *lines: tuple[bytes, bytes]) -> WireMessage:
        """The same with field lines added."""
        return replace(self, fields=(*self.fields, *lines))

    def text(self) -> str:
        """The bytes on the wire, as text."""
        first = b" ".join((b"HTTP/1.1", *self.start) if self.is_response else (*self.start, b"HTTP/1.1"))
        head = b"\n".join([first, *(name + b": " + value for name, value in self.fields)])
        return (head + b"\n\n" + self.content).decode("utf-8", "replace")


def _change_path(message: WireMessage) -> WireMessage:
    method, target = message.start
    return replace(message, start=(method, target.replace(b"/orders/1", b"/orders/2", 1)))


def _change_content(message: WireMessage) -> WireMessage:
    # The same length, so that nothing else has to change with it.
    return replace(message, content=message.content.replace(b"1", b"9", 1))


def _change_content_type(message: WireMessage) -> WireMessage:
    fields = ((name, b"text/html" if name.lower() == b"content-type" else value) for name, value in message.fields)
    return replace(message, fields=tuple(fields))


def _change_status(message: WireMessage) -> WireMessage:
    return replace(message, start=(b"200", b"OK"))


def _strip_signature(message: WireMessage) -> WireMessage:
    return replace(message, fields=tuple(line for line in message.fields if line[0].lower() not in _SIGNATURE_FIELDS))


def unchanged(message: WireMessage) -> WireMessage:
    """Nothing at all."""
    return message


REQUEST_TAMPERING: Final[dict[str, Callable[[WireMessage], WireMessage]]] = {
    "path": _change_path,
    "body": _change_content,
    "header": _change_content_type,
}
RESPONSE_TAMPERING: Final[dict[str, Callable[[WireMessage], WireMessage]]] = {
    "status": _change_status,
    "response body": _change_content,
    "strip": _strip_signature,
}
