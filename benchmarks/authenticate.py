#!/usr/bin/env python3
"""What a whole `authenticate` costs beside one raw verification with the workload's key, as a ratio.

    benchmarks/authenticate.py [--json] [--rounds N]

A revision 07 request with 1 KB of content, P-256, a replay store in memory. `warm`: the WIT was seen before; `cold`: it
was not, so that its own signature is verified and its key is loaded too; each of these requests has a WIT and a key of
its own, as after a renewal. Each takes turns with the raw call in one process; each figure is
the median over the rounds of the ratio within a round.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace

from core import Call, Make, ratio, raw_calls

from wimse.authentication import Authenticator, any_trusted
from wimse.httpsig import Fields, Request
from wimse.profiles.http_signature import REVISION_07, SignatureSettings, sign_request
from wimse.stores.memory import MemoryReplayStore
from wimse.testing import InMemoryTrustDomain

NOW, AUDIENCE, CONTENT = 1_800_000_000, "https://orders.example/orders/1", b"x" * 1_024
BATCH = 10


def measure(rounds: int) -> dict[str, float]:
    """All figures."""
    domain = InMemoryTrustDomain("spiffe://example.com")
    caller = domain.credential("/client", now=NOW)
    head = Request(
        method="POST",
        target="/orders/1?notify=yes",
        authority="orders.example",
        fields=Fields([("Host", "orders.example"), ("Content-Type", "application/octet-stream")]),
    )
    settings = SignatureSettings()

    def requests(*, renewed: bool) -> Iterator[Request]:
        # A nonce is good once: as many requests as there are calls, each of which nothing is known.
        for number in range(rounds * BATCH):
            nonce = f"nonce-{number:08}"
            sender = domain.credential("/client", now=NOW) if renewed else caller
            signed = sign_request(head, CONTENT, sender, revision=REVISION_07, settings=settings, now=NOW, nonce=nonce)
            yield replace(head, fields=Fields(tuple(signed.request.fields)))

    def calls(*, renewed: bool) -> tuple[Make, Call]:
        entrance = Authenticator(
            bundles=domain.bundles,
            audience=AUDIENCE,
            replay=MemoryReplayStore(since=0),
            policy=any_trusted,
        )
        left = requests(renewed=renewed)
        return (lambda: next(left)), (lambda request: entrance.authenticate(request, CONTENT, now=NOW))

    _, raw = raw_calls(caller.key, b"x" * 1_600)
    warm, raw_us = ratio(raw, *calls(renewed=False), rounds)
    cold, _ = ratio(raw, *calls(renewed=True), rounds)
    return {"warm_ratio": warm, "cold_ratio": cold, "raw_verify_us": raw_us}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--rounds", type=int, default=60, help="how often the calls take turns")
    arguments = parser.parse_args()
    found = measure(arguments.rounds)
    if arguments.json:
        json.dump(found, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    sys.stdout.write(
        f"authenticate, times one raw verification ({found['raw_verify_us']:.0f} µs): "
        f"WIT seen before {found['warm_ratio']:.2f}, first sight {found['cold_ratio']:.2f}\n"
    )


if __name__ == "__main__":
    main()
