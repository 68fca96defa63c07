"""The calls whose answers go on: a message at once, and another one whenever it would say something else.

SPIFFE_Workload_API §4.3: the first message without delay, every message complete. When many streams are woken by one
change they look again over a short time instead of all at one moment.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from google.protobuf.message import Message

from wimse.issuer import Caller, Grant, IssuedCertificate, IssuedToken
from wimse.workload_api.call import Call
from wimse.workload_api.calls import Session

__all__ = ["Answer", "keep_answering"]

# The renewal comes between these parts of a credential's life, so that many workloads do not renew at one moment
# (SPIFFE_Workload_API §4.3), and always before half of it is over.
_EARLIEST_RENEWAL: Final = 0.35
_LATEST_RENEWAL: Final = 0.45
_SPLAY_SECONDS_PER_STREAM: Final = 0.0005
_jitter = random.SystemRandom()


class Answer:
    """One message, and what it was made for."""

    def __init__(self, message: Message, issued: Sequence[IssuedToken | IssuedCertificate] = ()) -> None:
        """Hold a message.

        Args:
            message: complete.
            issued: the credentials in it; none for bundles.
        """
        self._message: Message | None = message
        self.issued = tuple(issued)
        self.renew_at = _renewal(issued) if issued else None  # by the clock, in seconds since 1970
        self.renew_after = None if self.renew_at is None else time.monotonic() + self.renew_at - time.time()

    def take_message(self) -> Message:
        """The message, once: ten thousand of them that nobody needs any more would weigh something."""
        message, self._message = self._message, None
        if message is None:
            raise ValueError("the message has been taken")
        return message

    def due_in(self) -> float:
        """Seconds until it is to be renewed; by the wall clock too, which goes on while the machine is suspended."""
        if self.renew_at is None or self.renew_after is None:
            return math.inf
        return min(self.renew_after - time.monotonic(), self.renew_at - time.time())


async def keep_answering(
    call: Call,
    session: Session,
    answer: Callable[[Caller, tuple[Grant, ...]], Awaitable[Answer]],
    basis: Callable[[tuple[Grant, ...]], object],
    worthless: Callable[[IssuedToken | IssuedCertificate], bool] = lambda _: False,
) -> None:
    """Send a message, and others until the call ends; between them the call rests.

    Args:
        call: the call.
        session: of the call.
        answer: makes a message for a caller with these identities.
        basis: what a message depends on: it is made again when this is another value.
        worthless: whether a credential has to be replaced at once, because of the key that signed it.

    Raises:
        Refused: `no_identity`, within the recheck interval, when the caller is gone or no longer entitled.
        Unavailable: when the issuer is, or the server stops.
    """
    await _Answering(call, session, answer, basis, worthless).send(*await session.grants())


class _Answering:
    """What a call has been told, and what makes the next message; arguments as `keep_answering`."""

    __slots__ = ("_answer", "_basis", "_call", "_current", "_seen", "_sent_for", "_session", "_worthless")

    def __init__(
        self,
        call: Call,
        session: Session,
        answer: Callable[[Caller, tuple[Grant, ...]], Awaitable[Answer]],
        basis: Callable[[tuple[Grant, ...]], object],
        worthless: Callable[[IssuedToken | IssuedCertificate], bool],
    ) -> None:
        self._call, self._session = call, session
        self._answer, self._basis, self._worthless = answer, basis, worthless

    async def send(self, caller: Caller, grants: tuple[Grant, ...]) -> None:
        """Send a message for these identities, and rest."""
        self._seen, self._sent_for = self._session.version, self._basis(grants)
        current = await self._answer(caller, grants)
        await self._session.send(self._call, current.take_message())
        self._current = current
        self._rest()

    def _rest(self) -> None:
        """Wait for a change, for the recheck interval at most."""
        seconds = max(0.0, min(self._session.recheck_seconds, self._current.due_in()))
        self._call.rest(self._session.when_changed(self._seen, seconds, self._wake))

    def _wake(self, changed: bool) -> None:  # noqa: FBT001 - as it is told
        if not changed:
            self._look()
            return
        splay = min(self._session.max_splay_seconds, self._session.open_streams * _SPLAY_SECONDS_PER_STREAM)
        self._call.rest(asyncio.get_running_loop().call_later(_jitter.uniform(0, splay), self._look).cancel)

    def _look(self) -> None:
        self._call.resume(self._again)

    async def _again(self) -> None:
        """Look at the caller, and send another message if this one is not what it would be told now."""
        due = self._current.due_in() <= 0
        self._seen = self._session.version
        caller, grants = await self._session.grants()
        if due or self._basis(grants) != self._sent_for or any(map(self._worthless, self._current.issued)):
            await self.send(caller, grants)
        else:
            self._rest()


def _renewal(issued: Sequence[IssuedToken | IssuedCertificate]) -> float:
    """When to send the next message, in seconds since 1970: before half of the shortest life is over."""
    first = min(issued, key=lambda each: each.expires_at)
    life = first.expires_at - first.issued_at
    part = _jitter.uniform(_EARLIEST_RENEWAL, _LATEST_RENEWAL)
    # `issued_at` is rounded down to a second. Of a life of a few seconds that is much, and the renewal would be due at
    # once, again and again until the second is over: then it is what is left of the life that counts.
    now = time.time()
    return max(first.issued_at + part * life, now + _EARLIEST_RENEWAL * (first.expires_at - now))
