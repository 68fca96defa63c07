"""One request, a hundred times at once, in several processes that share a store: it is accepted once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest

from tests.authentication.forge import CONTENT, NOW, entrance, forge_request
from tests.clients.drawing import WORKERS, in_processes
from tests.valkey import Valkey, valkey
from wimse.errors import WimseError
from wimse.httpsig import Request
from wimse.stores import (
    AsyncRedisReplayStore,
    RedisReplaySettings,
    RedisReplayStore,
    SQLiteReplaySettings,
    SQLiteReplayStore,
)

TIMES = 25  # in each process
PATIENT = timedelta(seconds=10)
REDIS = RedisReplaySettings(timeout=PATIENT)
# Python 3.12 warns of every fork of a process that has threads, as this one does.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@pytest.fixture
def server() -> Iterator[Valkey]:
    with valkey() as started:
        with RedisReplayStore(started.url) as store:
            store.check()
        yield started


def in_threads(kind: str, place: str, request: Request) -> Counter[str]:
    store: SQLiteReplayStore | RedisReplayStore = (
        SQLiteReplayStore(place, settings=SQLiteReplaySettings(timeout=PATIENT), since=0)
        if kind == "sqlite"
        else RedisReplayStore(place, settings=REDIS)
    )
    judge, start = entrance(replay=store), Barrier(TIMES)

    def attempt(_: int) -> str:
        start.wait(30)
        try:
            return str(judge.authenticate(request, CONTENT, now=NOW).identity)
        except WimseError as error:
            return error.reason.code

    with store, ThreadPoolExecutor(TIMES) as pool:
        return Counter(pool.map(attempt, range(TIMES)))


def in_tasks(place: str, request: Request) -> Counter[str]:
    async def all_of_them() -> Counter[str]:
        async with AsyncRedisReplayStore(place, settings=REDIS) as store:
            judge = entrance(replay=store)

            async def attempt() -> str:
                try:
                    return str((await judge.authenticate_async(request, CONTENT, now=NOW)).identity)
                except WimseError as error:
                    return error.reason.code

            return Counter(await asyncio.gather(*(attempt() for _ in range(TIMES))))

    return asyncio.run(all_of_them())


def check(found: list[Counter[str]]) -> None:
    together = sum(found, Counter[str]())
    assert together.pop("replayed") == WORKERS * TIMES - 1
    assert list(together.values()) == [1]
    assert next(iter(together)).startswith("spiffe://")


def test_threads_of_processes_that_share_a_file(tmp_path: Path) -> None:
    """RP-02, RP-03, HS-24."""
    check(in_processes("fork", in_threads, "sqlite", str(tmp_path / "claims.db"), forge_request()))


def test_threads_of_processes_that_share_a_server(server: Valkey) -> None:
    """RP-02, RP-03, HS-24."""
    check(in_processes("fork", in_threads, "redis", server.url, forge_request()))


def test_tasks_of_processes_that_share_a_server(server: Valkey) -> None:
    """RP-02, RP-03, HS-24."""
    check(in_processes("fork", in_tasks, server.url, forge_request()))
