"""HTTP/1.1 messages as bytes in a file: read into a head and its content, and written with fields added.

For tools, tests and vectors; it is not a server's parser. The lines of the head end with CRLF or LF; everything after
the empty line is the content, as it stands, unless the caller asks for the chunked coding to be undone. Only then are
there trailers.
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
# RFC 9112 §7.1: a chunk's size, and extensions that nobody here knows and that are ignored, as §7.1.1 says.
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]{0,1024})?\r?\n")
_STATUS_LINE: Final = re.compile(r"HTTP/[0-9](?:\.[0-9])? ([0-9]{3})(?: .*)?")


@dataclass(frozen=True, slots=True)
class MessageFile:
    """A message and the bytes it was read from.

    Attributes:
        message: the head.
        content: all bytes after the empty line, or those of the chunks when the chunked coding was undone.
        head: the bytes of the head, with neither the last line's end nor the empty line.
        end_of_head: the last line's end and the empty line, as they stand; CRLF twice where the file has none.
        body: when the chunked coding was undone, the bytes after the empty line as they stand; else None.
    """

    message: Message
    content: bytes
    head: bytes
    end_of_head: bytes = b"\r\n\r\n"
    body: bytes | None = None

    def adding(self, *lines: tuple[str, str]) -> MessageFile:
        """The same file with field lines at the end of the head; everything else stays as it was."""
        newline = _newline(self.end_of_head)
        added = b"".join(newline + f"{name}: {value}".encode("latin-1") for name, value in lines)
        message = with_fields(self.message, self.message.fields.adding(*lines))
        return replace(self, message=message, head=self.head + added)

    def to_bytes(self) -> bytes:
        """The bytes of the file."""
        return self.head + self.end_of_head + (self.content if self.body is None else self.body)


def _newline(end_of_head: bytes) -> bytes:
    return b"\r\n" if end_of_head.startswith(b"\r") else b"\n"


def parse_http1(
    data: bytes, *, scheme: str = "https", limits: Limits = DEFAULT_LIMITS, decode_chunked: bool = False
) -> MessageFile:
    """Read a request or a response.

    Args:
        data: the file.
        scheme: of the request; the bytes do not say it.
        limits: how many fields, and how long each; for head and trailers each.
        decode_chunked: undo the chunked coding of a message whose Transfer-Encoding is ``chunked``, and read its
            trailers. Without it, or without that field, there are no trailers.

    Raises:
        Refused: `message_malformed`, `field_malformed`, `field_duplicated` for a second Host,
            `too_many_fields`, `field_too_large`. With `decode_chunked`, `message_malformed` also for another
            Transfer-Encoding, for one beside a Content-Length, and for chunks that are malformed or not complete.
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
    trailers, body = Fields(), None
    if decode_chunked and "transfer-encoding" in fields:
        body = content
        content, trailers = _dechunked(fields, body, _newline(end_of_head), limits)
    message: Message
    if status := _STATUS_LINE.fullmatch(start):
        message = Response(status=int(status[1]), fields=fields, trailers=trailers)
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
            trailers=trailers,
        )
    else:
        raise Refused(Reason.MESSAGE_MALFORMED, "the first line is neither a request line nor a status line")
    return MessageFile(message, content, head, end_of_head, body)


def _dechunked(fields: Fields, body: bytes, newline: bytes, limits: Limits) -> tuple[bytes, Fields]:
    """The content and the trailers of a chunked body (RFC 9112 §7.1); `newline`, the head's, ends the chunks, too."""
    if (fields.combined("transfer-encoding") or "").lower() != "chunked":
        raise Refused(Reason.MESSAGE_MALFORMED, "the Transfer-Encoding is not the one that is known, chunked")
    if "content-length" in fields:  # RFC 9112 §6.3: two ways to say where the content ends
        raise Refused(Reason.MESSAGE_MALFORMED, "the message has both Transfer-Encoding and Content-Length")
    chunks: list[bytes] = []
    position = 0
    while True:
        line = _CHUNK_LINE.match(body, position)
        if not line:
            raise Refused(Reason.MESSAGE_MALFORMED, "a chunk does not begin with its size")
        size, position = int(line[1], 16), line.end()
        if not size:
            return b"".join(chunks), _trailers(body[position:], limits)
        end = position + size
        if end > len(body) or not body.startswith(newline, end):
            raise Refused(Reason.MESSAGE_MALFORMED, "a chunk is not as long as it says")
        chunks.append(body[position:end])
        position = end + len(newline)


def _trailers(section: bytes, limits: Limits) -> Fields:
    # What stands between the last chunk and the empty line that ends the message; nothing comes after that.
    if _LINE.fullmatch(section):
        return Fields()
    end = _END_OF_HEAD.search(section)
    if not end or end.end() != len(section):
        raise Refused(Reason.MESSAGE_MALFORMED, "the message does not end with the empty line after the last chunk")
    return _fields(_LINE.split(section[: end.start()]), limits)


def _fields(lines: list[bytes], limits: Limits) -> Fields:
    # Before anything is put together, and counted with their continuations: so the time stays linear.
    if len(lines) > limits.max_fields:
        raise Refused(Reason.TOO_MANY_FIELDS, f"the head has more than {limits.max_fields} field lines")
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
    pairs: list[tuple[str, str]] = []
    for text in unfolded:
        name, colon, value = text.partition(":")
        if not colon:
            raise Refused(Reason.FIELD_MALFORMED, "a field line has no colon")
        if len(text) > max(limits.max_field_bytes, limits.max_signature_field_bytes):
            raise Refused(Reason.FIELD_TOO_LARGE, "a field line is too long")
        pairs.append((name, value.strip(" \t")))
    return Fields(pairs)
