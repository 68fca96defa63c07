"""The short versions of the drills D4, D5 and D8."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable

import pytest

from tests.drills import d4_replay, d5_clock, d8_nonces
from tests.drills.canary import Canary, CanaryAcceptedError
from tests.drills.messages import Message


def test_d4_the_replay_store_is_slow_down_and_flushed() -> None:
    """D4, RP-12, RP-04, RP-10, MW-03."""
    found = d4_replay.drill(0.2, limit_seconds=1.0)  # whoever tests has other things to do at the same time
    assert found["strict"]["canary"].keys() <= {400, 503}
    assert found["lax"]["server"]["unchecked"] > 0


def test_d5_the_clock_is_set_ahead_and_back() -> None:
    """D5, RP-11, RP-04."""
    found = d5_clock.drill(3, steps=(300, -86_400))
    assert len(found) == 6


def test_d8_each_nonce_is_accepted_exactly_once() -> None:
    """D8, RP-02, RP-07, RP-10."""
    found = d8_nonces.drill(300, 100)
    assert all(found[kind]["copies"][200] == 1 for kind in ("memory", "sqlite", "redis"))


class Answers:
    """A server that answers so, and then with 400."""

    def __init__(self, *statuses: int) -> None:
        self._left = iter(statuses)
        self.done = asyncio.Event()

    async def __call__(self, _: Message) -> int:
        status = next(self._left, None)
        if status is None:
            self.done.set()
        return status or 400


BAD = Message("", "/", (), b"")


async def sing(answers: Answers, bad: Iterable[Message]) -> None:
    async with Canary(answers, iter(bad), pause_seconds=0) as canary:
        await asyncio.wait({canary._task, asyncio.create_task(answers.done.wait())}, return_when="FIRST_COMPLETED")
        answers.done.set()


async def test_a_canary_that_is_refused_is_what_a_drill_wants() -> None:
    await sing(Answers(400, 503), itertools.repeat(BAD))


async def test_a_canary_that_is_accepted_once_fails_its_drill() -> None:
    with pytest.raises(CanaryAcceptedError):
        await sing(Answers(400, 503, 204), itertools.repeat(BAD))


@pytest.mark.parametrize(
    ("answers", "bad", "why"),
    [((400, 500), itertools.repeat(BAD), "500"), ((400,), [BAD], "stopped"), ((), [], "stopped")],
    ids=["fault", "silent", "nothing"],
)
async def test_a_canary_that_finds_a_fault_or_falls_silent_fails_its_drill(
    answers: tuple[int, ...], bad: Iterable[Message], why: str
) -> None:
    with pytest.raises(AssertionError, match=why):
        await sing(Answers(*answers), bad)


def test_a_canary_that_never_sang_fails_its_drill() -> None:
    with pytest.raises(AssertionError, match="never"):
        Canary(Answers(), iter([])).check()
