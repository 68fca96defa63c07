"""Drill D8: 10,000 different nonces, and one nonce 1,000 times at once; each is accepted exactly once.

    python -m tests.drills.d8_nonces [--nonces 10000] [--copies 1000] [--json]

For each kind of store, with a canary. What is accepted is counted by the application itself. Memory is bounded: the
resident set of the server grows by less than 32 MiB; and a store in memory that has room for half of the nonces refuses
the rest rather than forget.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tests.drills.canary import Canary
from tests.drills.messages import Caller, Message, Sender, bad_messages
from tests.drills.served import serving
from tests.valkey import valkey

GROWTH_MIB = 32
AT_ONCE = 32
MOST_UNAVAILABLE = 0.5  # of the honest: a machine that is busy elsewhere is slow; what is accepted counts


async def send_all(sender: Sender, messages: list[Message]) -> Counter[int]:
    """Send each once, many at a time."""
    statuses: Counter[int] = Counter()
    left = iter(messages)

    async def work() -> None:
        for message in left:
            statuses[await sender.send(message)] += 1

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return statuses


async def accepted(sender: Sender, caller: Caller, nonces: int) -> Counter[int]:
    """See that so many nonces are accepted. Who gets a 503 signs anew, as callers do: the store was too slow to say."""
    statuses: Counter[int] = Counter()
    while statuses[200] < nonces:
        statuses += await send_all(sender, [caller.message() for _ in range(nonces - statuses[200])])
        assert statuses[503] <= nonces * MOST_UNAVAILABLE, statuses
    return statuses


async def against(kind: str, place: str, nonces: int, copies: int) -> dict[str, Any]:
    """One kind of store."""
    with serving(kind, place) as origin:
        caller = Caller(origin)
        async with (
            Sender(origin, connections=200) as sender,
            Canary(sender.send, bad_messages(origin)) as canary,
        ):
            await sender.until_served(caller)
            before = await sender.control()
            statuses = await accepted(sender, caller, nonces)
            one = caller.message()
            of_one = Counter(await asyncio.gather(*(sender.send(one) for _ in range(copies))))
            after = await sender.control()
    growth = after["resident_mib"] - before["resident_mib"]
    found = {"nonces": statuses, "copies": of_one, "growth_mib": growth, "canary": canary.statuses}
    assert (statuses[200], set(statuses) - {200, 503}) == (nonces, set()), f"{kind}: {statuses}"
    assert of_one[200] == 1, f"{kind}: one nonce was accepted {of_one[200]} times"
    assert {200, 400} <= set(of_one) <= {200, 400, 503}, f"{kind}: {of_one}"
    assert after["accepted"] - before["accepted"] == nonces + 1
    assert after["accepted_twice"] == 0
    assert growth < GROWTH_MIB, f"{kind}: the server grew by {growth:.0f} MiB"
    return found


async def without_room(nonces: int) -> dict[str, Any]:
    """A store in memory for half of them."""
    room = nonces // 2
    with serving("memory", max_entries=room) as origin:
        caller = Caller(origin)
        async with Sender(origin) as sender, Canary(sender.send, bad_messages(origin)) as canary:
            messages = [caller.message() for _ in range(nonces)]
            statuses = await send_all(sender, messages)
            again = await send_all(sender, messages)
            report = await sender.control()
    assert statuses == {200: room, 503: nonces - room}, statuses
    assert again == {400: room, 503: nonces - room}, again
    assert report["accepted_twice"] == 0
    return {"nonces": statuses, "again": again, "canary": canary.statuses}


def drill(nonces: int, copies: int) -> dict[str, Any]:
    """All kinds; raises where it fails."""
    found: dict[str, Any] = {"memory": asyncio.run(against("memory", "", nonces, copies))}
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder) / "claims.db")
        found["sqlite"] = asyncio.run(against("sqlite", place, nonces, copies))
    with valkey() as server:
        found["redis"] = asyncio.run(against("redis", server.url, nonces, copies))
    found["without_room"] = asyncio.run(without_room(min(nonces, 2_000)))
    return found


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description="Drill D8: many nonces, and one many times at once")
    parser.add_argument("--nonces", type=int, default=10_000)
    parser.add_argument("--copies", type=int, default=1_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = drill(arguments.nonces, arguments.copies)
    sys.stdout.write(json.dumps(found, indent=None if arguments.json else 2) + "\n")


if __name__ == "__main__":
    main()
