"""Drill D5: the server's clock is set ahead and back, by 5 minutes and by a day, with a canary.

    python -m tests.drills.d5_clock [--messages 50] [--json]

For each kind of store, and each of the four steps: honest messages get errors of time and no others while the clocks
are apart; callers whose clock was moved as well are served, or told that the store cannot say; when the clock is right
again everybody is served; and nothing that was ever accepted is accepted again, at any time, by any clock. How long a
decision took never comes out below nothing or absurdly long, since that clock goes on steadily.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.drills.canary import Canary
from tests.drills.messages import Caller, Message, Sender, bad_messages
from tests.drills.served import serving
from tests.valkey import valkey
from wimse.errors import Reason

STEPS = (300, -300, 86_400, -86_400)
OF_TIME = {
    Reason.SIGNATURE_EXPIRED,
    Reason.SIGNATURE_NOT_YET_VALID,
    Reason.TOKEN_EXPIRED,
    Reason.TOKEN_NOT_YET_VALID,
    Reason.TOKEN_LIFETIME,  # counted from now
}


class Drill:
    """One server, and all that it ever accepted."""

    def __init__(self, sender: Sender, origin: str, messages: int) -> None:
        self._sender = sender
        self._origin = origin
        self._messages = messages
        self.accepted: list[Message] = []

    async def honest(self, *, ahead: int = 0, anew: bool = True) -> Counter[int]:
        """Statuses of new messages; who gets a 503 signs anew, as callers do, but for where nothing else can come."""
        caller, statuses = Caller(self._origin, ahead=ahead), Counter[int]()
        while statuses.total() - (statuses[503] if anew else 0) < self._messages:
            assert statuses.total() < 10 * self._messages, statuses
            message = caller.message()
            status = await self._sender.send(message)
            statuses[status] += 1
            if status == 200:
                self.accepted.append(message)
        return statuses

    async def replays(self) -> Counter[int]:
        """Statuses of everything that was ever accepted."""
        return Counter([await self._sender.send(message) for message in self.accepted])

    async def reasons(self) -> Counter[str]:
        """How often each reason was given so far."""
        return Counter((await self._sender.control())["reasons"])

    async def step(self, ahead: int) -> dict[str, Any]:
        """Set the clock, and set it right again."""
        await self._sender.control(ahead=ahead)
        before = await self.reasons()
        found: dict[str, Any] = {"apart": await self.honest(), "replays_apart": await self.replays()}
        new = {reason for reason, count in (await self.reasons()).items() if count > before[reason]}
        # The canary's own reasons are among these: they are the same before and after, and none of an honest message.
        found["reasons_apart"] = sorted(new)
        found["moved_too"] = await self.honest(ahead=ahead, anew=ahead > 0)
        found["replays_moved"] = await self.replays()
        await self._sender.control(ahead=0)
        # A store that dropped what had expired by the wrong clock says nothing of messages as old as those.
        found["until_served_seconds"] = await self._sender.until_served(Caller(self._origin))
        found["right_again"] = await self.honest()
        found["replays_right_again"] = await self.replays()
        await self._sender.control(ahead=ahead)
        found["replays_moved_again"] = await self.replays()
        await self._sender.control(ahead=0)
        return found


async def against(kind: str, place: str, messages: int, ahead: int) -> dict[str, Any]:
    """One kind of store, one step of the clock."""
    with serving(kind, place) as origin:
        async with Sender(origin) as sender, Canary(sender.send, bad_messages(origin)) as canary:
            run = Drill(sender, origin, messages)
            await sender.until_served(Caller(origin))
            found: dict[str, Any] = {"right": await run.honest(), **await run.step(ahead)}
            report = await sender.control()
    found |= {"canary": canary.statuses, "server": report}
    # A store does not know what was before it began, nor a shared one what its own clock says is long past.
    expected = {"right": 200, "apart": 400, "moved_too": 503 if ahead < 0 else 200, "right_again": 200}
    for name, status in expected.items():
        assert found[name][status] == messages, f"{kind} {ahead:+d}: {found}"
        assert set(found[name]) <= {status, 503}, f"{kind} {ahead:+d}: {found}"
    assert {each.code for each in OF_TIME} & set(found["reasons_apart"]), f"{kind} {ahead:+d}: {found}"
    replays = [name for name in found if name.startswith("replays")]
    assert all(set(found[name]) <= {400, 503} for name in replays), f"{kind} {ahead:+d}: {found}"
    assert report["accepted_twice"] == 0
    assert report["fastest_seconds"] >= 0
    assert max(report["slowest_seconds"].values()) < 5
    return found


def drill(messages: int, steps: Iterable[int] = STEPS) -> dict[str, Any]:
    """All kinds and steps; raises where it fails."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, valkey() as server:
        for ahead in steps:
            places = {"memory": "", "sqlite": str(Path(folder) / f"{ahead}.db"), "redis": server.url}
            for kind, place in places.items():
                found[f"{kind} {ahead:+d}"] = asyncio.run(against(kind, place, messages, ahead))
    return found


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description="Drill D5: the clock is set ahead and back")
    parser.add_argument("--messages", type=int, default=50, help="in each phase")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = drill(arguments.messages)
    sys.stdout.write(json.dumps(found, indent=None if arguments.json else 2) + "\n")


if __name__ == "__main__":
    main()
