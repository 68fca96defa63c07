"""The canary: in a drill it sends bad requests all the time. If one of them is accepted, the drill has failed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Self

from tests.drills.messages import Message

__all__ = ["Canary", "CanaryAcceptedError"]


class CanaryAcceptedError(AssertionError):
    """A bad request was accepted."""


class Canary:
    """Sends in a task of its own while its block runs; leaving the block raises if anything was accepted.

    Attributes:
        statuses: how often each status came.
    """

    def __init__(
        self, send: Callable[[Message], Awaitable[int]], bad: Iterator[Message], *, pause_seconds: float = 0.01
    ) -> None:
        """Make it.

        Args:
            send: gives the status of the answer.
            bad: messages that nobody may accept.
            pause_seconds: between two of them.
        """
        self._send = send
        self._bad = bad
        self._pause_seconds = pause_seconds
        self.statuses: Counter[int] = Counter()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def _run(self) -> None:
        for message in self._bad:
            self.statuses[await self._send(message)] += 1
            await asyncio.sleep(self._pause_seconds)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        ended_early = self._task.done()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if error is None:
            if ended_early:
                raise AssertionError("the canary stopped singing") from self._task.exception()
            self.check()

    def check(self) -> None:
        """See that it was refused, and that it was there at all.

        Raises:
            CanaryAcceptedError: for a 2xx.
            AssertionError: when nothing was sent, or the server failed on what was.
        """
        if any(200 <= status < 300 for status in self.statuses):
            raise CanaryAcceptedError(f"a bad request was accepted: {dict(self.statuses)}")
        assert sum(self.statuses.values()) > 0, "the canary never sang"
        assert all(status in {400, 503} for status in self.statuses), dict(self.statuses)
