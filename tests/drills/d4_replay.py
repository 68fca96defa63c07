"""Drill D4: the replay store is slow, down, and comes back empty; then it is flushed. All under load, with a canary.

    python -m tests.drills.d4_replay [--seconds 5] [--json]

Strict: while the store cannot say, every request is answered with 503 by a decision within 250 ms, no message that was
accepted before is accepted again, ever, and service comes back by itself. Lax: every honest request is served, and each
one that was let in without the store is counted; what the store answered counts all the same, so that no message of
which it said that it knows it is accepted, and none twice of which it said that it is new. On a busy machine it may not
answer in time at any time: then a replay is let in as it was asked for, and is among those that are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

from tests.drills.canary import Canary
from tests.drills.messages import Caller, Message, Sender, bad_messages
from tests.drills.served import serving
from tests.valkey import Valkey, valkey

LIMIT_SECONDS = 0.25
CALLERS = 4
REPEATERS = 16
REMEMBERED = 200  # messages that are sent again after every phase


class Load:
    """Honest callers, and somebody who repeats what they sent."""

    def __init__(self, sender: Sender, origin: str) -> None:
        self._sender = sender
        self._caller = Caller(origin)
        self.accepted: list[Message] = []
        self.replays: Counter[int] = Counter()

    async def for_a_while(self, seconds: float, *, replay: bool) -> Counter[int]:
        """The statuses that the honest ones got."""
        statuses: Counter[int] = Counter()
        until = time.monotonic() + seconds

        async def call() -> None:
            while time.monotonic() < until:
                message = self._caller.message()
                status = await self._sender.send(message)
                statuses[status] += 1
                if status == 200:
                    self.accepted.append(message)

        await asyncio.gather(*(call() for _ in range(CALLERS)))
        repeated = iter(self.accepted[-REMEMBERED:] if replay else ())

        async def repeat() -> None:
            for message in repeated:
                self.replays[await self._sender.send(message)] += 1

        await asyncio.gather(*(repeat() for _ in range(REPEATERS)))
        return statuses

    async def until_served(self) -> float:
        """How long it takes until somebody is served again."""
        return await self._sender.until_served(self._caller)


def check_served(phase: str, statuses: Counter[int]) -> None:
    """See that the honest were served, but for the few that a busy machine was too slow for."""
    assert set(statuses) <= {200, 503}, f"{phase}: {statuses}"
    assert statuses[200] > 9 * statuses[503], f"{phase}: {statuses}"


async def strict(server: Valkey, seconds: float, limit_seconds: float) -> dict[str, Any]:
    """Closed while the store cannot say."""
    found: dict[str, Any] = {}
    with serving("redis", server.url) as origin:
        async with Sender(origin) as sender, Canary(sender.send, bad_messages(origin)) as canary:
            load = Load(sender, origin)
            found["until_begun_seconds"] = await load.until_served()
            found["up"] = await load.for_a_while(seconds, replay=True)
            with server.standing_still():
                found["slow"] = await load.for_a_while(seconds, replay=True)
            found["until_back_after_slow_seconds"] = await load.until_served()
            server.kill()
            found["down"] = await load.for_a_while(seconds, replay=True)
            server.start()  # empty: what was accepted before is forgotten there
            found["until_back_after_down_seconds"] = await load.until_served()
            found["back"] = await load.for_a_while(seconds, replay=True)
            with server.admin() as admin:
                admin.flushall()
            found["until_back_after_flush_seconds"] = await load.until_served()
            found["flushed"] = await load.for_a_while(seconds, replay=True)
            report = await sender.control()
        found |= {"replays": load.replays, "canary": canary.statuses, "server": report}
    for phase in ("slow", "down"):
        assert set(found[phase]) == {503}, f"{phase}: {found[phase]}"
    for phase in ("up", "back", "flushed"):
        check_served(phase, found[phase])
    assert set(load.replays) <= {400, 503}, "a replay was accepted"
    assert load.replays[400] > 0
    assert load.replays[503] > 0
    assert report["accepted_twice"] == 0
    assert report["slowest_seconds"]["replay_store_unavailable"] < limit_seconds, report["slowest_seconds"]
    return found


async def lax(server: Valkey, seconds: float) -> dict[str, Any]:
    """Open while the store cannot say, and counted."""
    found: dict[str, Any] = {}
    with serving("redis", server.url, lax=True) as origin:
        async with Sender(origin) as sender, Canary(sender.send, bad_messages(origin)) as canary:
            load = Load(sender, origin)
            found["up"] = await load.for_a_while(seconds, replay=True)
            before = (await sender.control())["unchecked"]
            with server.standing_still():
                found["slow"] = await load.for_a_while(seconds, replay=False)
            server.kill()
            found["down"] = await load.for_a_while(seconds, replay=False)
            away = await sender.control()
            server.start()
            found["flushed"] = await load.for_a_while(seconds, replay=True)
            report = await sender.control()
        found |= {"replays": load.replays, "canary": canary.statuses, "server": report}
    for phase in ("up", "slow", "down", "flushed"):
        assert set(found[phase]) == {200}, f"{phase}: {found[phase]}"
    assert away["unchecked"] - before == found["slow"][200] + found["down"][200]
    said = report["accepted_when_said"]
    assert said.get("known", 0) == 0, "a message that the store knew was accepted"
    assert report["accepted_as_new_twice"] == 0, "the store called a message new twice"
    assert report["unchecked"] == said["nothing"], "what was let in without an answer is not what was counted"
    assert set(load.replays) <= {200, 400}, load.replays
    assert load.replays[400] > 0
    return found


def drill(seconds: float, limit_seconds: float = LIMIT_SECONDS) -> dict[str, Any]:
    """Both policies; raises where it fails."""
    with valkey() as server:
        found = {"strict": asyncio.run(strict(server, seconds, limit_seconds))}
    with valkey() as server:
        return found | {"lax": asyncio.run(lax(server, seconds))}


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description="Drill D4: the replay store down, slow, flushed")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each phase")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = drill(arguments.seconds)
    sys.stdout.write(json.dumps(found, indent=None if arguments.json else 2) + "\n")


if __name__ == "__main__":
    main()
