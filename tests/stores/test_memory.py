"""The replay store in memory: each message once, whatever the clock does, in bounded space."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from threading import Barrier

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.stores import MemoryReplayStore

NOW = 1_800_000_000
LIFE = 90  # of a message, at most, in the tests below


def key(number: int) -> bytes:
    return sha256(str(number).encode()).digest()


def unavailable(store: MemoryReplayStore, number: int, until: int, now: int) -> None:
    with pytest.raises(Unavailable) as caught:
        store.claim(key(number), until, now)
    assert caught.value.reason is Reason.REPLAY_STORE_UNAVAILABLE
    assert caught.value.http_status == 503


def test_a_key_is_claimed_once() -> None:
    """RP-01."""
    store = MemoryReplayStore(since=0)
    assert store.claim(key(1), NOW + 90, NOW) is True
    for now in (NOW, NOW + 1, NOW + 89):
        assert store.claim(key(1), NOW + 90, now) is False
    assert store.claim(key(2), NOW + 90, NOW) is True
    assert len(store) == 2


@pytest.mark.parametrize("others", [0, 1, 2, 50])
def test_a_key_is_known_until_the_last_second(others: int) -> None:
    """RP-11: also when others have come and gone meanwhile, with longer and shorter lives."""
    store = MemoryReplayStore(since=0)
    store.claim(key(0), NOW + 90, NOW)
    for number in range(1, others + 1):
        now = NOW + number
        assert store.claim(key(number), now + (1 if number % 2 else 200), now) is True
    assert store.claim(key(0), NOW + 90, NOW + 89) is False


def test_a_key_with_a_long_life_is_not_dropped_with_those_of_short_ones() -> None:
    """RP-11, HS-24: a generation lives as long as the longest of it."""
    store = MemoryReplayStore(since=0)
    store.claim(key(1), NOW + 1, NOW)
    store.claim(key(0), NOW + 90, NOW)
    store.claim(key(2), NOW + 2, NOW)
    for number, now in enumerate(range(NOW + 1, NOW + 10), start=3):
        assert store.claim(key(number), now + 1, now) is True
        assert store.claim(key(0), NOW + 90, now) is False


def test_what_has_expired_is_forgotten() -> None:
    """RP-07, RP-10: space is bounded by two lives' worth of claims."""
    store = MemoryReplayStore(since=0)
    for number in range(10_000):
        assert store.claim(key(number), NOW + number + LIFE, NOW + number) is True
        assert len(store) <= 2 * LIFE + 2


def test_a_full_store_fails_closed() -> None:
    """RP-10, RP-12."""
    store = MemoryReplayStore(max_entries=2, since=0)
    assert store.claim(key(1), NOW + 90, NOW)
    assert store.claim(key(2), NOW + 90, NOW)
    unavailable(store, 3, NOW + 90, NOW)
    assert store.claim(key(1), NOW + 90, NOW) is False
    assert len(store) == 2
    unavailable(store, 3, NOW + 90, NOW + 89)


def test_a_full_store_opens_again_when_its_keys_have_expired() -> None:
    store = MemoryReplayStore(max_entries=2, since=0)
    for number in (1, 2):
        store.claim(key(number), NOW + 90, NOW)
    assert store.claim(key(3), NOW + 180, NOW + 90) is True


def test_a_clock_that_jumped_ahead_and_came_back_is_no_second_chance() -> None:
    """TM-13: what may have been dropped is neither a yes nor a no."""
    store = MemoryReplayStore(since=0)
    assert store.claim(key(1), NOW + 90, NOW)
    for number in (2, 3, 4):
        assert store.claim(key(number), NOW + 10_000 + number * 100, NOW + 9_000 + number * 100)
    unavailable(store, 1, NOW + 90, NOW)
    unavailable(store, 5, NOW + 90, NOW)
    assert store.claim(key(4), NOW + 10_400, NOW) is False


def test_a_clock_that_went_back_a_little_does_not_matter() -> None:
    store = MemoryReplayStore(since=0)
    assert store.claim(key(1), NOW + 90, NOW)
    assert store.claim(key(2), NOW + 80, NOW - 10) is True
    assert store.claim(key(1), NOW + 90, NOW - 10) is False


class YieldingKey(bytes):
    """A key that lets another thread run each time that it is looked up."""

    __slots__ = ()

    def __hash__(self) -> int:
        os.sched_yield()
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other)


def test_of_a_hundred_threads_one_claims_a_key() -> None:
    """RP-02: the look and the claim are one step."""
    for number in range(10):
        store, start = MemoryReplayStore(since=0), Barrier(100)

        def attempt(_: int, store: MemoryReplayStore = store, start: Barrier = start, number: int = number) -> bool:
            start.wait()
            return store.claim(YieldingKey(key(number)), NOW + 90, NOW)

        with ThreadPoolExecutor(100) as pool:
            assert sum(pool.map(attempt, range(100))) == 1
        assert len(store) == 1


@pytest.mark.parametrize("size", [0, -1])
def test_a_store_for_nothing_is_refused(size: int) -> None:
    with pytest.raises(ConfigurationError):
        MemoryReplayStore(max_entries=size, since=0)


class Claims(RuleBasedStateMachine):
    """The store against a dictionary, with a clock that mostly goes ahead and sometimes jumps either way.

    A message is a key with the `until` that it was signed with; it never has another one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryReplayStore(max_entries=30, since=0)
        self.now = NOW
        self.furthest = NOW
        self.messages: list[int] = []
        self.accepted: set[int] = set()

    @rule(seconds=st.sampled_from([1, 2, 60]))
    def time_goes_on(self, seconds: int) -> None:
        self.now += seconds
        self.furthest = max(self.furthest, self.now)

    @rule(seconds=st.sampled_from([-86_400, -300, -1, 300, 86_400]))
    def the_clock_jumps(self, seconds: int) -> None:
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
            return  # refused for its age before the store is asked
        size = len(self.store)
        try:
            claimed = self.store.claim(key(number), until, self.now)
        except Unavailable:
            # For two causes only: no space, or a clock that has been further ahead than this message lives.
            assert size >= 30 or until <= self.furthest
            return
        if claimed:
            assert number not in self.accepted, "a message was accepted twice"
            self.accepted.add(number)
        else:
            assert number in self.accepted, "a message was refused that nobody had seen"

    @invariant()
    def space_is_bounded(self) -> None:
        assert len(self.store) <= 30


Claims.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestClaims = Claims.TestCase


class SteadyClaims(RuleBasedStateMachine):
    """With a clock that only goes ahead there is always an answer, and it is the dictionary's."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryReplayStore(since=0)
        self.now = NOW
        self.known: dict[int, int] = {}
        self.new = 0

    @rule(seconds=st.integers(0, 2 * LIFE))
    def time_goes_on(self, seconds: int) -> None:
        self.now += seconds
        self.known = {number: until for number, until in self.known.items() if until > self.now}

    @rule(number=st.integers(0, 5), life=st.integers(1, LIFE))
    def a_message_arrives(self, number: int, life: int) -> None:
        claimed = self.store.claim(key(number), self.now + life, self.now)
        if number in self.known:
            assert claimed is False
        elif claimed:
            self.known[number] = self.now + life

    @rule(life=st.integers(1, LIFE))
    def a_new_message_arrives(self, life: int) -> None:
        self.new += 1
        assert self.store.claim(key(1_000 + self.new), self.now + life, self.now) is True


SteadyClaims.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSteadyClaims = SteadyClaims.TestCase
