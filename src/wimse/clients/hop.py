"""One hop: a request as it is signed and sent, and what its answer has to be. The same for every HTTP library.

The rules of this room:

- every hop is signed anew, with a nonce of its own: redirects and retries too (http-signature §3, nonces);
- what is signed is what is sent: target, fields and content are fixed before, and not touched after;
- a signed message goes out encrypted, or stays on this machine (§5.1);
- nothing of a response is handed on before all of it has been verified.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from wimse.authentication import AuthenticatedWorkload, ClientAuthenticator
from wimse.clients.target import safe_target
from wimse.errors import ConfigurationError, Reason, Refused
from wimse.httpsig import Fields, Request, Response
from wimse.profiles.http_signature import SignedRequest

__all__ = ["DEFAULT_MAX_BODY_BYTES", "Answer", "Hop", "check_destination", "new_nonce"]

DEFAULT_MAX_BODY_BYTES: Final = 16 * 1024 * 1024

# A proxy that compresses breaks the digest of the content (RFC 9530 §6.5), and several do so unasked, but for this.
_ACCEPT_ENCODING: Final = ("Accept-Encoding", "identity;q=1, *;q=0")
_FRAMING: Final = ("content-length", "transfer-encoding")


def new_nonce() -> str:
    """What no message had before (http-signature §3): 128 bits of the operating system's generator, as base64url.

    Nothing of them is kept in this process, so that a fork copies nothing, and no seed makes them again.
    """
    return secrets.token_urlsafe(16)


def check_destination(scheme: str, host: str, *, allow_plaintext: bool) -> None:
    """Refuse to send signed messages where others can read them (http-signature §5.1).

    Args:
        scheme: of the URL, in lower case.
        host: of the URL, without brackets.
        allow_plaintext: whether ``http`` is permitted to other hosts than this one.

    Raises:
        ConfigurationError: for ``http`` to another host than 127.0.0.0/8, ::1 and localhost; for another scheme.
    """
    if scheme == "https" or (scheme == "http" and (allow_plaintext or _is_loopback(host))):
        return
    if scheme == "http":
        raise ConfigurationError("signed requests go out over https; allow_plaintext=True permits http")
    raise ConfigurationError("a signed request has the scheme https or http")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Hop:
    """A request that was signed, once, and is sent, once.

    Attributes:
        sent: the request with its signature, and what the answer has to fit.
        content: the content that was signed.
    """

    sent: SignedRequest
    content: bytes
    _authenticator: ClientAuthenticator

    @classmethod
    def sign(
        cls,
        authenticator: ClientAuthenticator,
        *,
        method: str,
        scheme: str,
        target: str,
        lines: Iterable[tuple[bytes, bytes]],
        content: bytes,
    ) -> Hop:
        """Fix the request's last form and sign it, now.

        Args:
            authenticator: who signs.
            method: as it will be sent.
            scheme: of the URL.
            target: path and query of the URL; the safe target is made of it.
            lines: the caller's fields. Its Content-Length, Transfer-Encoding and Accept-Encoding are replaced, and
                whatever the signature brings with it.
            content: all of the content.

        Raises:
            ConfigurationError: for a target that has no safe form; without exactly one Host.
            Refused: `field_malformed` for a field with CR or LF, among others: it is not signed.
            Unavailable: `credential_unavailable` or `credential_expired`.
        """
        fields = Fields.from_bytes(lines)
        hosts = fields.values("host")
        if len(hosts) != 1:
            raise ConfigurationError("a request has exactly one Host")
        framed = bool(content) or any(name in fields for name in _FRAMING)
        ours = [_ACCEPT_ENCODING, *([("Content-Length", str(len(content)))] if framed else [])]
        request = Request(
            method=method,
            target=safe_target(target),
            scheme=scheme,
            authority=hosts[0],
            fields=fields.without("accept-encoding", *_FRAMING).adding(*ours),
        )
        sent = authenticator.sign(request, content, now=int(time.time()), nonce=new_nonce())
        return cls(sent, content, authenticator)

    @property
    def lines(self) -> list[tuple[bytes, bytes]]:
        """The fields to send, and no others."""
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.sent.request.fields]

    def answer(self, status: int, lines: Iterable[tuple[bytes, bytes]], *, max_body_bytes: int) -> Answer:
        """Begin to receive the response.

        Raises:
            Refused: `field_malformed`, `message_malformed`, or `body_too_large` when Content-Length says so.
        """
        response = Response(status=status, fields=Fields.from_bytes(lines))
        # RFC 9110 §6.4.1: these have no content, whatever their Content-Length says.
        empty = self.sent.request.method == "HEAD" or status in (204, 304)
        return Answer(response, None if empty else _declared(response.fields), max_body_bytes, empty=empty)

    def verify(self, answer: Answer) -> AuthenticatedWorkload | None:
        """Say who answered.

        Raises:
            Refused: as `ClientAuthenticator.verify_response`; `message_malformed` for content of another length.
            Unavailable: when a bundle cannot be had.
        """
        content = answer.content()
        try:
            return self._authenticator.verify_response(answer.head, content, self.sent, now=int(time.time()))
        except Refused as refusal:
            raise _explained(refusal, answer) from None

    async def verify_async(self, answer: Answer) -> AuthenticatedWorkload | None:
        """Say who answered; as `verify`."""
        content = answer.content()
        try:
            return await self._authenticator.verify_response_async(
                answer.head, content, self.sent, now=int(time.time())
            )
        except Refused as refusal:
            raise _explained(refusal, answer) from None


class Answer:
    """A response while it is received: its head, and as much of its content as is permitted."""

    __slots__ = ("_chunks", "_declared", "_empty", "_max_body_bytes", "_received", "head")

    def __init__(self, head: Response, declared: int | None, max_body_bytes: int, *, empty: bool) -> None:
        """Begin with `head`.

        Args:
            head: of the response.
            declared: by Content-Length, in bytes.
            max_body_bytes: received at most, before any content coding is undone.
            empty: whether this response has no content by definition.

        Raises:
            Refused: `body_too_large`.
        """
        self.head = head
        self._declared = declared
        self._max_body_bytes = max_body_bytes
        self._empty = empty
        self._chunks: list[bytes] = []
        self._received = 0
        self._limit(declared or 0)

    def add(self, chunk: bytes) -> None:
        """Take the next bytes of the content.

        Raises:
            Refused: `body_too_large`.
        """
        self._received += len(chunk)
        self._limit(self._received)
        self._chunks.append(chunk)

    def content(self) -> bytes:
        """All of the content.

        Raises:
            Refused: `message_malformed` when there is more or less of it than the head says.
        """
        if self._empty and self._received:
            raise Refused(Reason.MESSAGE_MALFORMED, "the response has content where there is none to be")
        if self._declared is not None and self._declared != self._received:
            raise Refused(Reason.MESSAGE_MALFORMED, "the response's content is not as long as Content-Length says")
        return b"".join(self._chunks)

    def _limit(self, size: int) -> None:
        if size > self._max_body_bytes:
            raise Refused(Reason.BODY_TOO_LARGE, f"the response's content is over {self._max_body_bytes} bytes")


def _declared(fields: Fields) -> int | None:
    values = set(fields.values("content-length"))
    if not values or "transfer-encoding" in fields:  # RFC 9112 §6.3: the transfer coding decides
        return None
    value = values.pop()
    if values or not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise Refused(Reason.MESSAGE_MALFORMED, "the response's Content-Length is no number")
    return int(value)


def _explained(refusal: Refused, answer: Answer) -> Refused:
    if refusal.reason is not Reason.RESPONSE_UNSIGNED:
        return refusal
    # A proxy's own 502 is the usual cause. The status is not authenticated, but helps whoever looks for the fault.
    return Refused(refusal.reason, f"{refusal.detail}; somebody answered with status {answer.head.status}")
