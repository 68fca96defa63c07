"""What stores do when their process is forked: the child has what it needs, and neither is misled by the other."""

from __future__ import annotations

import asyncio
import os
import time
from ast import literal_eval
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import pytest

from tests.stores.claimers import PATIENT, claim_from_processes
from tests.stores.opening import clock, key, settings
from tests.valkey import Valkey
from wimse.errors import Unavailable
from wimse.stores import (
    AsyncRedisReplayStore,
    MemoryReplayStore,
    RedisReplayStore,
    SQLiteReplaySettings,
    SQLiteReplayStore,
    forks,
)

NOW = 1_800_000_000
PATIENCE = 20.0
SLOW = SQLiteReplaySettings(timeout=PATIENT)
# Python 3.12 warns of every fork of a process that has threads, as this one does.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


class Child:
    """A forked process that does one thing, and says what came of it."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._reading, writing = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                said = repr(work())
            except BaseException as error:  # noqa: BLE001 - whatever it is, the parent says it
                said = repr(error)
            os.write(writing, said.encode())
            os._exit(0)
        os.close(writing)

    def said(self) -> str:
        """Wait for it."""
        until = time.monotonic() + PATIENCE
        while os.waitpid(self._pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > until:
                os.kill(self._pid, 9)
                os.waitpid(self._pid, 0)
                return "nothing: it hangs"
            time.sleep(0.005)
        said = os.read(self._reading, 10_000).decode()
        os.close(self._reading)
        return said


class Pair:
    """Two pipes: one waits until the other goes on."""

    def __init__(self) -> None:
        self._ends = os.pipe()

    def go(self) -> None:
        os.write(self._ends[1], b"x")

    def wait(self) -> None:
        os.read(self._ends[0], 1)


@contextmanager
def claiming(store: Any, until: int, now: int) -> Iterator[None]:
    """Other threads claim all the time."""
    end = Event()

    def claim(thread: int) -> None:
        number = 0
        while not end.is_set():
            number += 1
            with suppress(Unavailable):
                store.claim(key(1_000_000 * thread + number), until, now)

    threads = [Thread(target=claim, args=(thread,)) for thread in (1, 2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        end.set()
        for thread in threads:
            thread.join(PATIENCE)


@pytest.mark.parametrize("used", [False, True])
def test_a_file_is_shared_with_a_forked_process(tmp_path: Path, used: bool) -> None:
    """RP-03: whichever of both claims first."""
    with SQLiteReplayStore(tmp_path / "claims.db", settings=SLOW, since=0) as store:
        if used:
            assert store.claim(key(0), NOW + 90, NOW) is True

        def work() -> list[bool]:
            return [store.claim(key(number), NOW + 90, NOW) for number in (0, 1)]

        assert Child(work).said() == f"[{not used}, True]"
        assert store.claim(key(1), NOW + 90, NOW) is False


@pytest.mark.parametrize("own", [False, True])
def test_a_forked_process_does_not_take_its_parents_locks_for_its_own(tmp_path: Path, own: bool) -> None:
    """RP-03, RP-02: once the parent is gone, others would take away what the child writes to."""
    path, parent_done, child_done = tmp_path / "claims.db", Pair(), Pair()
    store = SQLiteReplayStore(path, settings=SLOW, since=0)
    assert store.claim(key(0), NOW + 90, NOW) is True

    def work() -> list[bool]:
        used = SQLiteReplayStore(path, settings=SLOW, since=0) if own else store
        found = [used.claim(key(1), NOW + 90, NOW)]
        child_done.go()
        parent_done.wait()
        return [*found, used.claim(key(2), NOW + 90, NOW)]

    child = Child(work)
    child_done.wait()
    store.close()
    assert claim_from_processes(["sqlite"], str(path), (key(1), NOW + 90, NOW), 1) == {"False": 1}
    parent_done.go()
    assert child.said() == "[True, True]"
    assert claim_from_processes(["sqlite"], str(path), (key(2), NOW + 90, NOW), 1) == {"False": 1}


def test_a_file_that_was_carried_into_a_fork_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RP-03, RP-12: forked by something that tells nobody, neither the store nor a new one for its file is used."""
    path = tmp_path / "claims.db"
    with SQLiteReplayStore(path, settings=SLOW, since=0) as store:
        assert store.claim(key(0), NOW + 90, NOW) is True
        monkeypatch.setattr(SQLiteReplayStore, "before_fork", lambda _: None)
        assert "forked" in Child(lambda: store.claim(key(1), NOW + 90, NOW)).said()
        assert "forked" in Child(lambda: SQLiteReplayStore(path, settings=SLOW, since=0)).said()
        assert store.claim(key(1), NOW + 90, NOW) is True


def test_a_store_in_memory_begins_anew_in_a_forked_process() -> None:
    """RP-04: a worker that takes another one's place does not know what that one accepted, until now."""
    store = MemoryReplayStore()
    ahead = MemoryReplayStore(since=store.since + 31)
    everything = MemoryReplayStore(since=0)
    assert store.claim(key(0), clock() + 90, clock()) is True
    before, began = clock(), store.since
    while clock() == before:
        time.sleep(0.01)  # so that it is later than the store's own beginning

    def work() -> tuple[int, int, int, bool]:
        return store.since, ahead.since, everything.since, store.claim(key(0), clock() + 90, clock())

    forked = clock()
    since, later, none, claimed = literal_eval(Child(work).said())
    assert forked + 1 <= since <= clock() + 1
    assert forked + 31 <= later <= clock() + 32
    assert (none, claimed) == (0, False)
    assert store.since == began, "the parent goes on as before"


class SlowKey(bytes):
    """A key that takes its time to be looked up, and lets others run."""

    __slots__ = ()

    def __hash__(self) -> int:
        time.sleep(0.001)
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other)


def test_a_fork_in_the_middle_of_others_claims_leaves_a_store_that_works(tmp_path: Path) -> None:
    """RP-02: no lock of a thread that the child does not have, and no half of a claim."""
    memory = MemoryReplayStore(since=0)
    file = SQLiteReplayStore(tmp_path / "claims.db", settings=SLOW, since=0)

    class Slow:
        def claim(self, name: bytes, until: int, now: int) -> bool:
            return memory.claim(SlowKey(name), until, now)

    with file, claiming(Slow(), NOW + 90, NOW), claiming(file, NOW + 90, NOW):
        for turn in range(10):

            def work(turn: int = turn) -> list[bool]:
                return [store.claim(key(turn), NOW + 90, NOW) for store in (memory, file)]

            assert Child(work).said() == "[True, True]"
            assert file.claim(key(turn), NOW + 90, NOW) is False


def test_a_fork_in_the_middle_of_a_making_leaves_the_child_able_to_make() -> None:
    """The thread that was making something is not in the child."""
    held, end = Event(), Event()

    def hold() -> None:
        with forks.making():
            held.set()
            end.wait(PATIENCE)

    def make() -> str:
        with forks.making():
            return "made"

    thread = Thread(target=hold)
    thread.start()
    held.wait(PATIENCE)
    Timer(0.05, end.set).start()
    assert Child(make).said() == "'made'"
    assert end.is_set(), "it forked in the middle"
    thread.join(PATIENCE)
    assert make() == "made"


def test_a_server_is_shared_with_a_forked_process(server: Valkey) -> None:
    """RP-03: the child has connections of its own."""
    with RedisReplayStore(server.url, settings=settings(timeout=PATIENT)) as store:
        store.check()
        assert store.claim(key(0), clock() + 90, clock()) is True

        def work() -> list[bool]:
            return [store.claim(key(number), clock() + 90, clock()) for number in (0, 1)]

        assert Child(work).said() == "[False, True]"
        assert store.claim(key(1), clock() + 90, clock()) is False
        assert store.claim(key(2), clock() + 90, clock()) is True


@pytest.mark.parametrize("used", [False, True])
def test_an_asynchronous_store_that_was_used_is_not_carried_into_a_fork(server: Valkey, used: bool) -> None:
    """RP-03, RP-12: its connections belong to the parent's loop; one that was only made is for the child as well."""
    with asyncio.Runner() as runner:
        store = AsyncRedisReplayStore(server.url, settings=settings(timeout=PATIENT))

        async def claim(number: int) -> bool:
            return await store.claim(key(number), clock() + 90, clock())

        if used:
            runner.run(store.check())
            assert runner.run(claim(0)) is True

        async def begin_and_claim() -> bool:
            await store.check()
            return await claim(1)

        said = Child(lambda: asyncio.run(begin_and_claim())).said()
        assert "forked" in said if used else said == "True"
        assert runner.run(claim(1)) is used
        runner.run(store.close())
