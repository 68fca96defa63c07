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
from typing import Any, Final

from google.protobuf.message import Message
from grpclib.server import Stream

from wimse.issuer import Caller, Grant, IssuedCertificate, IssuedToken
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
        self.message = message
        self.issued = tuple(issued)
        self.renew_at = _renewal(issued) if issued else None  # by the clock, in seconds since 1970
        self.renew_after = None if self.renew_at is None else time.monotonic() + self.renew_at - time.time()

    def due_in(self) -> float:
        """Seconds until it is to be renewed; by the wall clock too, which goes on while the machine is suspended."""
        if self.renew_at is None or self.renew_after is None:
            return math.inf
        return min(self.renew_after - time.monotonic(), self.renew_at - time.time())


async def keep_answering(
    stream: Stream[Any, Any],
    session: Session,
    answer: Callable[[Caller, tuple[Grant, ...]], Awaitable[Answer]],
    basis: Callable[[tuple[Grant, ...]], object],
    worthless: Callable[[IssuedToken | IssuedCertificate], bool] = lambda _: False,
) -> None:
    """Send messages until the call ends.

    Args:
        stream: the call.
        session: of the call.
        answer: makes a message for a caller with these identities.
        basis: what a message depends on: it is made again when this is another value.
        worthless: whether a credential has to be replaced at once, because of the key that signed it.

    Raises:
        Refused: `no_identity`, within the recheck interval, when the caller is gone or no longer entitled.
        Unavailable: when the issuer is, or the server stops.
    """
    caller, grants = await session.grants()
    while True:
        seen, sent_for = session.version, basis(grants)
        current = await answer(caller, grants)
        await session.send(stream, current.message)
        while True:
            due = await _wait(session, seen, current)
            seen = session.version
            caller, grants = await session.grants()
            if due or basis(grants) != sent_for or any(map(worthless, current.issued)):
                break


async def _wait(session: Session, seen: int, current: Answer) -> bool:
    """Wait for a change, for the recheck interval at most; give whether the renewal is due."""
    if await session.wait(seen, max(0.0, min(session.recheck_seconds, current.due_in()))):
        splay = min(session.max_splay_seconds, session.open_streams * _SPLAY_SECONDS_PER_STREAM)
        await asyncio.sleep(_jitter.uniform(0, splay))
    return current.due_in() <= 0


def _renewal(issued: Sequence[IssuedToken | IssuedCertificate]) -> float:
    """When to send the next message, in seconds since 1970: before half of the shortest life is over."""
    first = min(issued, key=lambda each: each.expires_at)
    life = first.expires_at - first.issued_at
    part = _jitter.uniform(_EARLIEST_RENEWAL, _LATEST_RENEWAL)
    # `issued_at` is rounded down to a second. Of a life of a few seconds that is much, and the renewal would be due at
    # once, again and again until the second is over: then it is what is left of the life that counts.
    now = time.time()
    return max(first.issued_at + part * life, now + _EARLIEST_RENEWAL * (first.expires_at - now))
