"""Drill D3: the signing key of WITs is rotated, tainted and revoked, again and again, under load.

    python -m tests.drills.d3_signing_keys [--rounds 10] [--json]

A client signs requests and a server verifies them, each from a source of its own, all the time. An operator changes
keys in the store of the identity server, which runs as a process. In each round

- the active key is rotated: no request fails;
- it is tainted, and revoked as soon as the client has a WIT of the next key: no request fails;
- the active key is revoked without a warning: the verifier refuses what it signed within the refresh bound, the client
  has a WIT of the next key within it as well, and from then on no request fails.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.drills.d1_d2_identity import Load
from tests.drills.stored import NAME, configured, identity_server
from wimse.cli.issuer_store import opened_store
from wimse.credentials import TrustDomain, UnverifiedWIT
from wimse.issuer import KeySet, KeyUse
from wimse.issuer.rotation import revoke, rotate, taint
from wimse.stores.issuer import SQLIssuerStore, change_keys
from wimse.workload_api import WorkloadAPISource, load_config

__all__ = ["Figures", "drill"]

PATIENCE = 20.0
BOUND_SECONDS = 5.0  # the server looks at its store every 0.5 s; the rest is for a busy machine
DELAY_SECONDS = 3  # of publication, as it is configured below
DOMAIN = TrustDomain("spiffe", NAME)


@dataclass
class Figures:
    """What came of it; `failures` is empty when the drill passes."""

    requests: Counter[str] = field(default_factory=Counter)
    renewal_seconds: dict[str, list[float]] = field(default_factory=dict)
    refusal_seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Operator:
    """Changes keys, and waits under load for what comes of it."""

    def __init__(self, store: SQLIssuerStore, load: Load, figures: Figures) -> None:
        self.store, self.load, self.figures = store, load, figures

    def change(self, change: Callable[[KeySet, int], KeySet]) -> None:
        now = int(time.time())
        change_keys(self.store, lambda keys: change(keys, now), now=now)

    def active(self) -> str:
        key = self.store.load().keys.active(KeyUse.WIT)
        assert key is not None
        return key.kid

    def ready(self) -> bool:
        key = self.store.load().keys.prepared(KeyUse.WIT)
        return key is not None and time.time() >= key.prepared_at + DELAY_SECONDS

    def signer(self) -> str:
        return str(UnverifiedWIT.parse(self.load.client.snapshot().credential.wit).jws.header["kid"])

    def published(self, kid: str) -> bool:
        bundle = self.load.server.snapshot().bundles[DOMAIN]
        return any(each.kid == kid for each in bundle.wit_keys)

    async def until(self, what: str, condition: Callable[[], bool]) -> float:
        """Wait, with a request every 10 ms, and give how long it took."""
        began = looked = time.monotonic()
        while True:
            self.load.one()
            await asyncio.sleep(0.01)
            if time.monotonic() - looked > 0.1:
                looked = time.monotonic()
                if condition():
                    return looked - began
            if time.monotonic() - began > PATIENCE:
                raise RuntimeError(f"it takes too long until {what}")

    async def renewed(self, phase: str, old: str) -> None:
        took = await self.until(f"the WIT is renewed ({phase})", lambda: self.signer() != old)
        self.figures.renewal_seconds.setdefault(phase, []).append(round(took, 2))

    def count(self, phase: str, before: tuple[int, Counter[str]], *, may_fail: bool = False) -> None:
        good, bad = self.load.good - before[0], self.load.bad - before[1]
        self.figures.requests[f"{phase}: good"] += good
        self.figures.requests.update({f"{phase}: {code}": number for code, number in bad.items()})
        if not good or (bad and not may_fail):
            self.figures.failures.append(f"{phase}: {good} good, and {dict(bad)}")

    def counted(self) -> tuple[int, Counter[str]]:
        return self.load.good, Counter(self.load.bad)

    async def round(self) -> None:
        """Everything once."""
        await self._rotated()
        await self._tainted()
        await self._revoked()

    async def _rotated(self) -> None:
        before, old = self.counted(), self.active()
        self.change(lambda keys, now: rotate(keys, KeyUse.WIT, now=now))
        await self.renewed("rotated", old)
        await self.until("the next key may sign", self.ready)
        self.count("rotated", before)

    async def _tainted(self) -> None:
        before, old = self.counted(), self.active()
        self.change(lambda keys, now: taint(keys, old, now=now))
        await self.renewed("tainted", old)
        self.change(lambda keys, now: revoke(keys, old, now=now))
        await self.until("the tainted key has left the bundle", lambda: not self.published(old))
        await self.until("the next key may sign", self.ready)
        self.count("tainted", before)

    async def _revoked(self) -> None:
        before, old = self.counted(), self.active()
        self.change(lambda keys, now: revoke(keys, old, now=now))
        took = await self.until("the revoked key has left the bundle", lambda: not self.published(old))
        self.figures.refusal_seconds.append(round(took, 2))
        await self.renewed("revoked", old)
        if max(took, self.figures.renewal_seconds["revoked"][-1]) > BOUND_SECONDS:
            self.figures.failures.append("what a revoked key signed was not refused or not replaced in time")
        self.count("revoked", before, may_fail=True)
        before = self.counted()
        await self.until("the next key may sign", self.ready)
        self.count("after a revocation", before)


async def drill(*, rounds: int) -> Figures:
    """Run it.

    Args:
        rounds: how often each of the three is done.
    """
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        config = configured(path, f'sqlite = "{path}/issuer.db"', life=10, interval=86_400, publications=1)
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(identity_server(config))
            client = await stack.enter_async_context(WorkloadAPISource(f"unix://{path}/s"))
            server = await stack.enter_async_context(WorkloadAPISource(f"unix://{path}/s"))
            store = stack.enter_context(opened_store(load_config(config)))
            operator = Operator(store, Load(client, server), figures)
            await operator.until("the next key may sign", operator.ready)
            for _ in range(rounds):
                await operator.round()
    return figures


def main() -> None:
    """Run, print, and end with status 1 when the drill fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = asyncio.run(drill(rounds=arguments.rounds))
    document = {"passed": not figures.failures, **vars(figures)}
    sys.stdout.write(json.dumps(document, indent=2 if not arguments.json else None) + "\n")
    sys.exit(1 if figures.failures else 0)


if __name__ == "__main__":
    main()
