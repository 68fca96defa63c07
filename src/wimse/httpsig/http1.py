"""HTTP/1.1 messages as bytes in a file: read into a head and its content, and written with fields added.

For tools, tests and vectors; it is not a server's parser. The lines of the head end with CRLF or LF; everything after
the empty line is the content, as it stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from wimse.errors import Reason, Refused
from wimse.httpsig.limits import DEFAULT_LIMITS, Limits
from wimse.httpsig.message import Fields, Message, Request, Response, with_fields

__all__ = ["MessageFile", "parse_http1"]

_END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")
_LINE: Final = re.compile(rb"\r?\n")
_REQUEST_LINE: Final = re.compile(r"(\S+) (\S+) HTTP/[0-9](?:\.[0-9])?")
_STATUS_LINE: Final = re.compile(r"HTTP/[0-9](?:\.[0-9])? ([0-9]{3})(?: .*)?")


@dataclass(frozen=True, slots=True)
class MessageFile:
    """A message and the bytes it was read from.

    Attributes:
        message: the head.
        content: all bytes after the empty line.
        head: the bytes of the head, with neither the last line's end nor the empty line.
        end_of_head: the last line's end and the empty line, as they stand; CRLF twice where the file has none.
    """

    message: Message
    content: bytes
    head: bytes
    end_of_head: bytes = b"\r\n\r\n"

    def adding(self, *lines: tuple[str, str]) -> MessageFile:
        """The same file with field lines at the end of the head; everything else stays as it was."""
        newline = b"\r\n" if self.end_of_head.startswith(b"\r") else b"\n"
        added = b"".join(newline + f"{name}: {value}".encode("latin-1") for name, value in lines)
        message = with_fields(self.message, self.message.fields.adding(*lines))
        return replace(self, message=message, head=self.head + added)

    def to_bytes(self) -> bytes:
        """The bytes of the file."""
        return self.head + self.end_of_head + self.content


def parse_http1(data: bytes, *, scheme: str = "https", limits: Limits = DEFAULT_LIMITS) -> MessageFile:
    """Read a request or a response.

    Args:
        data: the file.
        scheme: of the request; the bytes do not say it.
        limits: how many fields, and how long each.

    Raises:
        Refused: `message_malformed`, `field_malformed`, `field_duplicated` for a second Host,
            `too_many_fields`, `field_too_large`.
    """
    end = _END_OF_HEAD.search(data)
    if end:
        head, end_of_head, content = data[: end.start()], end.group(), data[end.end() :]
    else:
        head, content = data.rstrip(b"\r\n"), b""
        end_of_head = b"\n\n" if b"\n" in data and b"\r\n" not in data else b"\r\n\r\n"
    first, *rest = _LINE.split(head)
    start = first.decode("latin-1")
    fields = _fields(rest, limits)
    message: Message
    if status := _STATUS_LINE.fullmatch(start):
        message = Response(status=int(status[1]), fields=fields)
    elif request := _REQUEST_LINE.fullmatch(start):
        hosts = fields.values("host")
        if len(hosts) > 1:  # RFC 9112 §3.2
            raise Refused(Reason.FIELD_DUPLICATED, "the request has more than one Host")
        message = Request(
            method=request[1],
            target=request[2],
            scheme=scheme,
            authority=hosts[0] if hosts else "",
            fields=fields,
        )
    else:
        raise Refused(Reason.MESSAGE_MALFORMED, "the first line is neither a request line nor a status line")
    return MessageFile(message, content, head, end_of_head)


def _fields(lines: list[bytes], limits: Limits) -> Fields:
    unfolded: list[str] = []
    for line in lines:
        text = line.decode("latin-1")
        if text[:1] in (" ", "\t"):
            # obs-fold: replaced by one space (RFC 9112 §5.2, RFC 9421 §2.1 step 3)
            if not unfolded:
                raise Refused(Reason.FIELD_MALFORMED, "the first field line is a continuation")
            unfolded[-1] = unfolded[-1].rstrip(" \t") + " " + text.strip(" \t")
        else:
            unfolded.append(text)
    if len(unfolded) > limits.max_fields:
        raise Refused(Reason.TOO_MANY_FIELDS, f"the head has more than {limits.max_fields} field lines")
    pairs: list[tuple[str, str]] = []
    for text in unfolded:
        name, colon, value = text.partition(":")
        if not colon:
            raise Refused(Reason.FIELD_MALFORMED, "a field line has no colon")
        if len(text) > max(limits.max_field_bytes, limits.max_signature_field_bytes):
            raise Refused(Reason.FIELD_TOO_LARGE, "a field line is too long")
        pairs.append((name, value.strip(" \t")))
    return Fields(pairs)
