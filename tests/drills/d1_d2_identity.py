"""Drills D1 and D2: the identity server is killed and started again; identities are renewed under load.

    python -m tests.drills.d1_d2_identity [--life 24] [--short 8] [--long 30] [--seconds 60] [--json]

A client signs requests and a server verifies them, each from a source of its own, all the time. The drill passes when

- D2: no request fails while WITs are renewed, and the key always fits the WIT;
- D1, away for `--short` seconds, which is less than what is left of a WIT: no request fails, neither while the server
  is away nor while it comes back;
- D1, away for `--long` seconds, until WITs have expired: the client gets a clear local error, nothing is signed with an
  expired WIT, and within 5 s of the server's return requests succeed again.

The server is killed with SIGKILL. Its keys are in a SQLite file, so it is the same authority when it is back. With
`--life 24` an outage of 30 s is longer than a WIT lives.
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
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.drills.stored import configured, identity_server
from wimse.authentication import Authenticator, ClientAuthenticator, any_trusted, expect
from wimse.credentials import UnverifiedWIT
from wimse.errors import Reason, WimseError
from wimse.httpsig import Fields, Request
from wimse.keys import PublicKey
from wimse.profiles.http_signature import REVISION_07, Revision
from wimse.stores import MemoryReplayStore
from wimse.workload_api import WorkloadAPISource

__all__ = ["Figures", "drill"]

PATIENCE = 20.0
AUDIENCE = "https://orders.example/orders/1"
LOCAL = {Reason.CREDENTIAL_EXPIRED, Reason.CREDENTIAL_UNAVAILABLE}


@dataclass
class Figures:
    """What came of it; `failures` is empty when the drill passes."""

    requests: Counter[str] = field(default_factory=Counter)
    renewals: int = 0
    local_errors: Counter[str] = field(default_factory=Counter)
    signed_with_expired_wit: int = 0
    recovery_seconds: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


class Load:
    """One request after the other, signed and verified, each judged."""

    def __init__(
        self,
        client: WorkloadAPISource,
        server: WorkloadAPISource,
        *,
        revision: Revision = REVISION_07,
        accepted: Sequence[Revision] = (REVISION_07,),
    ) -> None:
        self.client, self.server = client, server
        self.signer = ClientAuthenticator(client, server=expect(any_trusted), revision=revision)
        self.entrance = Authenticator(
            bundles=server, audience=AUDIENCE, replay=MemoryReplayStore(), policy=any_trusted, revision=accepted
        )
        self.good = 0
        self.bad: Counter[str] = Counter()
        self.expired_signed = 0
        self.wits: set[str] = set()

    def one(self) -> None:
        head = Request(method="GET", target="/orders/1", authority="orders.example", fields=Fields([]))
        now, nonce = int(time.time()), f"nonce-{time.monotonic_ns():024}"
        try:
            signed = self.signer.sign(head, b"", now=now, nonce=nonce)
            wit = next(value for name, value in signed.request.fields if name.lower() == "workload-identity-token")
            claims: Any = UnverifiedWIT.parse(wit).jws.claims
            self.expired_signed += claims["exp"] <= now
            credential = self.client.snapshot().credential
            confirmed: Any = UnverifiedWIT.parse(credential.wit).jws.claims["cnf"]
            if not PublicKey.from_jwk(confirmed["jwk"]).same_key(credential.key.public_key):
                self.bad["key_of_another_wit"] += 1
            self.entrance.authenticate(signed.request, b"", now=now)
        except WimseError as error:
            self.bad[error.reason.code] += 1
            return
        self.good += 1
        self.wits.add(wit)

    def renewed(self, old: set[str]) -> bool:
        """Whether the client has a WIT of the server that is there now."""
        return self.client.snapshot().credential.wit not in old

    async def during(self, seconds: float) -> tuple[int, Counter[str]]:
        good, bad = self.good, Counter(self.bad)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.one()
            await asyncio.sleep(0.01)
        return self.good - good, self.bad - bad


async def drill(*, life: int, short: float, long: float, seconds: float) -> Figures:
    """Run both drills.

    Args:
        life: of a WIT, in seconds.
        short: the outage that nobody may notice, in seconds.
        long: the outage that outlasts the WITs, in seconds.
        seconds: of renewals under load.
    """
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        config = configured(Path(folder), f'sqlite = "{folder}/issuer.db"', life=life, interval=86_400)
        address = f"unix://{folder}/s"
        async with contextlib.AsyncExitStack() as stack:
            async with identity_server(config):
                client = await stack.enter_async_context(WorkloadAPISource(address))
                server = await stack.enter_async_context(WorkloadAPISource(address))
                load = Load(client, server)
                await _phase(figures, "renewals", load, seconds)
                figures.renewals = len(load.wits) - 1
            await _phase(figures, "short_outage", load, short)
            async with identity_server(config):
                before = Counter(load.bad)
                await _recovered(figures, load, "after the short outage")
                if load.bad != before:
                    figures.failures.append(f"requests failed while it came back: {dict(load.bad - before)}")
                await _phase(figures, "between", load, 1.0)
            _, figures.local_errors = await load.during(long)
            async with identity_server(config):
                await _recovered(figures, load, "after the long outage")
                await _phase(figures, "afterwards", load, 1.0)
    figures.signed_with_expired_wit = load.expired_signed
    if load.expired_signed:
        figures.failures.append("something was signed with an expired WIT")
    if not figures.renewals:
        figures.failures.append("no WIT was renewed")
    if not figures.local_errors or set(figures.local_errors) - {each.code for each in LOCAL}:
        figures.failures.append("there was no clear local error while there was no identity")
    return figures


async def _phase(figures: Figures, name: str, load: Load, seconds: float) -> None:
    good, bad = await load.during(seconds)
    figures.requests[f"{name}: good"] = good
    figures.requests.update({f"{name}: {code}": number for code, number in bad.items()})
    if bad or not good:
        figures.failures.append(f"requests failed in the phase {name}: {dict(bad)}")


async def _recovered(figures: Figures, load: Load, when: str) -> None:
    """Until ten requests in a row succeed with a WIT of the new server."""
    began, row, old = time.monotonic(), 0, set(load.wits)
    while row < 10:
        before = load.good
        load.one()
        row = row + 1 if load.good > before and load.renewed(old) else 0
        if time.monotonic() - began > PATIENCE:
            break
        await asyncio.sleep(0.02)
    took = time.monotonic() - began
    if took > 5:
        figures.failures.append(f"{when} it took {took:.1f} s to recover")
    figures.recovery_seconds[when] = round(took, 2)


def main() -> None:
    """Run, print, and end with status 1 when the drill fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--life", type=int, default=24)
    parser.add_argument("--short", type=float, default=8)
    parser.add_argument("--long", type=float, default=30)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = asyncio.run(
        drill(life=arguments.life, short=arguments.short, long=arguments.long, seconds=arguments.seconds)
    )
    document = {"passed": not figures.failures, **vars(figures)}
    sys.stdout.write(json.dumps(document, indent=2 if not arguments.json else None) + "\n")
    sys.exit(1 if figures.failures else 0)


if __name__ == "__main__":
    main()
