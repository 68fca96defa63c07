"""Claims by a process of its own: `python -m tests.stores.claimers KIND PLACE KEY UNTIL NOW TIMES`.

It says that it is ready, waits for a line, claims one key that many times at once, and prints what came of each.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from threading import Barrier
from typing import Any

from wimse.errors import Unavailable
from wimse.stores import (
    AsyncRedisReplayStore,
    RedisReplaySettings,
    RedisReplayStore,
    SQLiteReplaySettings,
    SQLiteReplayStore,
)

PATIENT = timedelta(seconds=10)


def store_of(kind: str, place: str) -> Any:
    """A store that waits long: what is shown is how often a key is claimed, not how soon."""
    if kind == "sqlite":
        return SQLiteReplayStore(place, settings=SQLiteReplaySettings(timeout=PATIENT))
    settings = RedisReplaySettings(timeout=PATIENT)
    return (
        AsyncRedisReplayStore(place, settings=settings)
        if kind == "tasks"
        else RedisReplayStore(place, settings=settings)
    )


def in_threads(store: Any, key: bytes, until: int, now: int, times: int) -> list[str]:
    start = Barrier(times)

    def attempt(_: int) -> str:
        start.wait()
        try:
            return str(store.claim(key, until, now))
        except Unavailable as error:
            return error.detail

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(attempt, range(times)))


async def in_tasks(store: Any, key: bytes, until: int, now: int, times: int) -> list[str]:
    async def attempt() -> str:
        try:
            return str(await store.claim(key, until, now))
        except Unavailable as error:
            return error.detail

    async with store:
        return list(await asyncio.gather(*(attempt() for _ in range(times))))


def main() -> None:
    kind, place, key, until, now, times = sys.argv[1:]
    store = store_of(kind, place)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    arguments = (store, bytes.fromhex(key), int(until), int(now), int(times))
    found = asyncio.run(in_tasks(*arguments)) if kind == "tasks" else in_threads(*arguments)
    json.dump(Counter(found), sys.stdout)


def claim_from_processes(kinds: list[str], place: str, claim: tuple[bytes, int, int], times: int) -> Counter[str]:
    """What came of all claims of one process for each kind."""
    key, until, now = claim
    arguments = (key.hex(), str(until), str(now), str(times))
    found: Counter[str] = Counter()
    with ExitStack() as stack:
        processes = []
        for kind in kinds:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.stores.claimers", kind, place, *arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)  # one that failed leaves none waiting
            processes.append(process)
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            said, _ = process.communicate(timeout=60)
            found.update(json.loads(said))
    return found


if __name__ == "__main__":
    main()
