"""Drill D12: two identity servers on one PostgreSQL are restarted in turn, under load of mixed revisions.

    python -m tests.drills.d12_rolling_restarts [--rounds 40] [--pause 3] [--interval 30] [--life 20] [--json]

Clients and verifiers have their identities of both servers, one from each. Clients sign by the revisions 06 and 07; the
verifiers accept both, or 07 alone. Every server is stopped with SIGTERM and started again, in turn, while keys rotate.
A WIT lives for `--life` seconds and has more than half of them left when its server goes; a restart has to be over by
then, and `longest_restart_seconds` says how long the longest one took on this machine. The drill passes when

- no request fails between revisions that match;
- every request fails between those that do not;
- the memory of this process, which holds clients and verifiers, is flat: it grows by 32 MiB at most after the first
  round, and so does that of a server from its first start to its last.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.drills.d1_d2_identity import Load
from tests.drills.stored import configured, identity_server
from tests.stores.postgresql import postgresql
from wimse.credentials import UnverifiedWIT
from wimse.profiles.http_signature import REVISION_06, REVISION_07
from wimse.workload_api import WorkloadAPISource

__all__ = ["Figures", "drill"]

GROWTH_KIB = 32 * 1024


@dataclass
class Figures:
    """What came of it; `failures` is empty when the drill passes."""

    restarts: int = 0
    longest_restart_seconds: float = 0
    requests: Counter[str] = field(default_factory=Counter)
    memory_kib: list[int] = field(default_factory=list)
    server_memory_kib: list[int] = field(default_factory=list)
    signers: int = 0
    failures: list[str] = field(default_factory=list)


def resident_kib(pid: int) -> int:
    """Resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


async def _turn(loads: dict[str, Load], stop: asyncio.Event) -> None:
    while not stop.is_set():
        for load in loads.values():
            load.one()
            await asyncio.sleep(0.01)


async def _restart_in_turn(
    configs: list[Path], stacks: list[contextlib.AsyncExitStack], figures: Figures, rounds: int, pause: float
) -> None:
    for _ in range(rounds):
        for config, stack in zip(configs, stacks, strict=True):
            stopped_at = time.monotonic()
            await stack.aclose()  # SIGTERM, and wait
            process = await stack.enter_async_context(identity_server(config, end=signal.SIGTERM))
            seconds = round(time.monotonic() - stopped_at, 2)
            figures.longest_restart_seconds = max(figures.longest_restart_seconds, seconds)
            figures.restarts += 1
            await asyncio.sleep(pause)
            figures.server_memory_kib.append(resident_kib(process.pid))
        figures.memory_kib.append(resident_kib(os.getpid()))


def _judge(figures: Figures, loads: dict[str, Load]) -> None:
    for name, load in loads.items():
        figures.requests[f"{name}: good"] += load.good
        figures.requests.update({f"{name}: {code}": number for code, number in load.bad.items()})
        matching = not name.startswith("mismatch")
        if (matching and (load.bad or not load.good)) or (not matching and (load.good or not load.bad)):
            figures.failures.append(f"{name}: {load.good} good, and {dict(load.bad)}")
    for series in (figures.memory_kib, figures.server_memory_kib):
        if max(series) - series[0] > GROWTH_KIB:
            figures.failures.append(f"memory grew: {series}")


async def drill(*, rounds: int, pause: float, interval: int, life: int = 20) -> Figures:
    """Run it.

    Args:
        rounds: how often both servers are restarted.
        pause: between two restarts, in seconds.
        interval: of the rotation of keys, in seconds.
        life: of what is issued, in seconds.
    """
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder, postgresql() as url:
        path = Path(folder)
        secret = path / "url"
        secret.touch(mode=0o600)
        secret.write_text(url)
        store = f'postgresql_url_file = "{secret}"'
        configs = [configured(path, store, name=name, life=life, interval=interval) for name in ("one", "two")]
        async with contextlib.AsyncExitStack() as outer:
            stacks = [await outer.enter_async_context(contextlib.AsyncExitStack()) for _ in configs]
            for config, stack in zip(configs, stacks, strict=True):
                await stack.enter_async_context(identity_server(config, end=signal.SIGTERM))
            one, two = [
                await outer.enter_async_context(WorkloadAPISource(f"unix://{path}/{name}")) for name in ("one", "two")
            ]
            both = (REVISION_07, REVISION_06)
            loads = {
                "07 at 07": Load(one, two),
                "06 at both": Load(two, one, revision=REVISION_06, accepted=both),
                "07 at both": Load(two, one, accepted=both),
                "mismatch, 06 at 07": Load(one, two, revision=REVISION_06),
            }
            stop = asyncio.Event()
            turning = asyncio.create_task(_turn(loads, stop))
            await _restart_in_turn(configs, stacks, figures, rounds, pause)
            stop.set()
            await turning
    wits = [UnverifiedWIT.parse(each) for load in loads.values() for each in load.wits]
    figures.signers = len({each.jws.header["kid"] for each in wits})
    _judge(figures, loads)
    return figures


def main() -> None:
    """Run, print, and end with status 1 when the drill fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--pause", type=float, default=3.0)
    parser.add_argument("--interval", type=int, default=30)
    parser.add_argument("--life", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = asyncio.run(
        drill(rounds=arguments.rounds, pause=arguments.pause, interval=arguments.interval, life=arguments.life)
    )
    document = {"passed": not figures.failures, **vars(figures)}
    sys.stdout.write(json.dumps(document, indent=2 if not arguments.json else None) + "\n")
    sys.exit(1 if figures.failures else 0)


if __name__ == "__main__":
    main()
