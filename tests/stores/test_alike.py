"""One machine over all three kinds of store and a model: whatever happens, they behave alike."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.valkey import Valkey
from wimse.errors import Unavailable
from wimse.stores import (
    MemoryReplayStore,
    RedisReplaySettings,
    RedisReplayStore,
    SQLiteReplaySettings,
    SQLiteReplayStore,
)

LIFE = 90
BOUND = 30
MARGIN = 60  # between a verifier's clock and the server's
NUMBERS = itertools.count()


def key(number: int) -> bytes:
    return sha256(str(number).encode()).digest()


class Stores:
    """One of each kind, all fresh."""

    def __init__(self, server: Valkey, folder: str, bound: int) -> None:
        bounded = SQLiteReplaySettings(max_entries=bound)
        redis = RedisReplayStore(server.url, settings=RedisReplaySettings(prefix=f"alike-{next(NUMBERS)}"))
        redis.check()
        self.kinds: dict[str, Any] = {
            "memory": MemoryReplayStore(max_entries=bound, since=0),
            "sqlite": SQLiteReplayStore(Path(folder) / f"{next(NUMBERS)}.db", settings=bounded, since=0),
            "redis": redis,
        }

    def claim(self, number: int, until: int, now: int) -> dict[str, bool | None]:
        """What each says; None is unavailable."""
        found: dict[str, bool | None] = {}
        for kind, store in self.kinds.items():
            try:
                found[kind] = store.claim(key(number), until, now)
            except Unavailable:
                found[kind] = None
        return found

    def close(self) -> None:
        self.kinds["sqlite"].close()
        self.kinds["redis"].close()


class Machine(RuleBasedStateMachine):
    """A message is a key with the `until` that it was signed with; the server's clock is the true one."""

    server: Valkey
    folder: str
    bound = 1_000_000

    def __init__(self) -> None:
        super().__init__()
        self.stores = Stores(self.server, self.folder, self.bound)
        self.now = self.furthest = int(time.time())
        self.messages: list[int] = []
        self.accepted: dict[str, set[int]] = {kind: set() for kind in self.stores.kinds}

    def move(self, seconds: int) -> None:
        self.now += seconds
        self.furthest = max(self.furthest, self.now)

    @rule(life=st.sampled_from([1, 2, LIFE]))
    def a_message_arrives(self, life: int) -> None:
        self.messages.append(self.now + life)
        self.claim(len(self.messages) - 1)

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def a_message_arrives_again(self, data: st.DataObject) -> None:
        self.claim(data.draw(st.integers(0, len(self.messages) - 1)))

    def claim(self, number: int) -> None:
        until = self.messages[number]
        if self.now >= until:
            return  # refused for its age before a store is asked
        for kind, found in self.stores.claim(number, until, self.now).items():
            if found is None:
                assert self.may_be_unavailable(kind, until), f"{kind} had no answer"
            elif found:
                assert number not in self.accepted[kind], f"{kind} accepted a message twice"
                self.accepted[kind].add(number)
            else:
                assert number in self.accepted[kind], f"{kind} refused a message that it had not seen"

    def may_be_unavailable(self, kind: str, until: int) -> bool:
        raise NotImplementedError

    def teardown(self) -> None:
        self.stores.close()


class Steady(Machine):
    """With a clock that only goes ahead, and room, there is always an answer, and it is the model's."""

    @rule(seconds=st.integers(0, 2 * LIFE))
    def time_goes_on(self, seconds: int) -> None:
        self.move(seconds)

    def may_be_unavailable(self, kind: str, until: int) -> bool:  # noqa: ARG002 - never
        return False


class Jumping(Machine):
    """With a clock that jumps either way, and little room: no answer for three causes only, and never a second yes."""

    bound = BOUND

    @rule(seconds=st.sampled_from([1, 2, 60, 300, 86_400, -1, -300, -86_400]))
    def the_clock_jumps(self, seconds: int) -> None:
        self.move(seconds)

    @precondition(lambda self: len(self.messages) < 3 * BOUND)
    @rule()
    def many_messages_arrive(self) -> None:
        for _ in range(BOUND // 2):
            self.a_message_arrives(LIFE)

    def may_be_unavailable(self, kind: str, until: int) -> bool:
        if kind == "redis":  # whose bound is the server's memory
            return self.now < int(time.time()) - MARGIN
        return len(self.accepted[kind]) >= BOUND or until <= self.furthest


@pytest.fixture(scope="module")
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as name:
        yield name


@pytest.mark.parametrize("machine", [Steady, Jumping])
def test_all_stores_behave_alike(machine: type[Machine], server: Valkey, folder: str) -> None:
    """RP-01, RP-10, RP-11, HS-24: claims, time moving either way, expiry, bounds."""
    bound_to = type(machine.__name__, (machine,), {"server": server, "folder": folder})
    run_state_machine_as_test(
        bound_to,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
