"""The application's answer on its way out: held back until it is complete, signed, and only then sent.

A signature covers the digest of all of the content, and stands in the head, so nothing can go out before everything is
there. Where an answer had to be signed and cannot be, a problem takes its place (http-signature §3.4): never an answer
that looks like success and is unsigned.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Final

from wimse.errors import Reason, ReasonClass, WimseError
from wimse.httpsig import Fields, Response
from wimse.servers.inbound import Message, Receive, Send
from wimse.servers.problem import Problem

__all__ = ["CLOSED", "Answer", "AnswerRefused", "receive_of", "send_problem", "unsigned"]

_LOG: Final = logging.getLogger("wimse.servers.asgi")
# An application's own would be taken for ours.
_OURS: Final = frozenset((b"signature", b"signature-input", b"workload-identity-token"))
_FRAMING: Final = ("content-length", "transfer-encoding")

Sign = Callable[[Response, bytes], Response]


class AnswerRefused(OSError):
    """Ends an application whose answer was replaced. ASGI's own sign that nobody listens any more is an OSError."""


class _State(Enum):
    WAITING = auto()  # for the head
    HOLDING = auto()  # head and content so far
    STREAMING = auto()  # unsigned, since it need not be signed
    COMPLETE = auto()
    REFUSED = auto()  # a problem went out


class Answer:
    """The answer to one request; `send` is what the application sends to."""

    def __init__(self, send: Send, *, sign: Sign, required: bool, head_only: bool, max_bytes: int) -> None:
        """Wait for the answer.

        Args:
            send: of the server.
            sign: signs a head for its content.
            required: whether the caller asked for a signed response.
            head_only: whether the request was HEAD.
            max_bytes: of content that is held back.
        """
        self._send = send
        self._sign = sign
        self._required = required
        self._head_only = head_only
        self._max_bytes = max_bytes
        self._state = _State.WAITING
        self._start: Message = {}
        self._chunks: list[bytes] = []
        self._held = 0

    @property
    def refused(self) -> bool:
        """Whether a problem went out in the answer's place."""
        return self._state is _State.REFUSED

    @property
    def complete(self) -> bool:
        """Whether nothing of an answer is left here."""
        return self._state not in (_State.WAITING, _State.HOLDING)

    async def send(self, message: Message) -> None:
        """Take one ASGI message.

        Raises:
            AnswerRefused: when a problem took the answer's place, which ends the application.
        """
        if self.refused:
            raise AnswerRefused("the answer was refused")
        kind = message["type"]
        if kind == "http.response.start" and self._state is _State.WAITING:
            self._start = _without_ours(message)
            self._state = _State.HOLDING
            if message.get("trailers"):
                await self._give_up("trailers come after the signature")
        elif kind == "http.response.body" and self._state is _State.HOLDING:
            await self._hold(message)
        elif self._state is _State.HOLDING:
            # Files that the server sends by itself, for one.
            await self._give_up("the answer is not sent as a plain body")
            await self._send(message)
        elif self._state is _State.WAITING and self._required:
            await self._give_up("something is sent before the answer")
        else:
            await self._send(message)

    async def _hold(self, message: Message) -> None:
        chunk = bytes(message.get("body", b""))
        self._held += len(chunk)
        self._chunks.append(chunk)
        more = message.get("more_body", False)
        if self._held > self._max_bytes:
            await self._give_up(f"the content is over {self._max_bytes} bytes", more=more)
        elif not more:
            await self._finish()

    async def _give_up(self, why: str, *, more: bool = True) -> None:
        """Send it unsigned where that is permitted, and a problem where it is not."""
        if self._required:
            await self._refuse(why)
            raise AnswerRefused(why)
        self._state = _State.STREAMING
        await self._send(self._start)
        if self._chunks:
            content = b"".join(self._chunks)
            self._chunks.clear()
            await self._send({"type": "http.response.body", "body": content, "more_body": more})

    async def _finish(self) -> None:
        status = self._start["status"]
        # RFC 9110 §6.4.1: no content, whatever the application sends.
        empty = self._head_only or status in (204, 304)
        content = b"" if empty else b"".join(self._chunks)
        lines = self._start["headers"]
        try:
            signed = self._signed(status, lines, content, empty=empty)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not let an unsigned success through
            why = str(error) if isinstance(error, WimseError) else type(error).__name__
            if self._required:
                await self._refuse(why)
                return
            _LOG.warning("response sent unsigned: %s", why)
        else:
            lines = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in signed.fields]
        self._state = _State.COMPLETE
        await self._send({**self._start, "headers": lines})
        await self._send({"type": "http.response.body", "body": content, "more_body": False})

    def _signed(self, status: int, lines: Iterable[tuple[bytes, bytes]], content: bytes, *, empty: bool) -> Response:
        fields = Fields.from_bytes(lines)
        if not empty:
            fields = fields.without(*_FRAMING).adding(("content-length", str(len(content))))
        elif status == 204:  # RFC 9110 §8.6: none here, while with HEAD and 304 it speaks of the other answer
            fields = fields.without(*_FRAMING)
        return self._sign(Response(status=status, fields=fields), content)

    async def _refuse(self, why: str) -> None:
        self._state = _State.REFUSED
        reason = Reason.RESPONSE_NOT_SIGNABLE
        _LOG.warning("response refused: %s: %s", reason, why, extra={"reason": reason.code, "detail": why})
        await send_problem(self._send, Problem(reason.http_status, reason.reason_class), head_only=self._head_only)


def _without_ours(start: Message) -> Message:
    lines = [(bytes(name), bytes(value)) for name, value in start.get("headers", ())]
    return {**start, "headers": [line for line in lines if line[0].lower() not in _OURS]}


def unsigned(send: Send) -> Send:
    """Send an answer on as it comes, without an application's own signature."""

    async def sending(message: Message) -> None:
        await send(_without_ours(message) if message["type"] == "http.response.start" else message)

    return sending


def receive_of(receive: Receive, content: bytes, answer: Answer | None = None) -> Receive:
    """What the application receives from: the verified bytes once, and after them only the caller's going away."""
    pending = [content]

    async def verified() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        while answer is None or not answer.refused:
            message: Message = await receive()
            if message["type"] == "http.disconnect":
                return message
        return {"type": "http.disconnect"}

    return verified


async def send_problem(send: Send, problem: Problem, *, head_only: bool) -> None:
    """Send a refusal, unsigned: it says nothing that a caller should rely on."""
    await send({"type": "http.response.start", "status": problem.status, "headers": problem.fields})
    await send({"type": "http.response.body", "body": b"" if head_only else problem.content, "more_body": False})


CLOSED: Final = Problem(ReasonClass.UNAVAILABLE.http_status, ReasonClass.UNAVAILABLE)
