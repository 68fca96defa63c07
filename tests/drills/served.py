"""The application that the drills of the replay stores load: a real server, real stores, and a clock that can be moved.

What it accepts, it counts by what the store had said of that very request: whoever drills can tell a request that was
let in because the store did not answer from one that was let in although the store answered.

`/control` is exempt: it says what was counted, and moves the clock of this process (``?ahead=300``), as somebody who
sets the clock of the machine would.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from tests.ports import free_port
from tests.servers.support import DOMAIN, SERVER, _wait_for
from wimse.authentication import Authenticator, Decision, LaxReplayStore, Outcome, TargetAudience, member_of
from wimse.credentials import TrustBundle, TrustBundles, TrustDomain, WorkloadCredential, WorkloadSnapshot
from wimse.keys import PrivateKey
from wimse.servers.asgi import WimseMiddleware
from wimse.stores import AsyncRedisReplayStore, MemoryReplayStore, SQLiteReplayStore
from wimse.testing import FixedSource

SETTINGS = "WIMSE_DRILL"


class Clock:
    """The time of day, and how far it is from the truth."""

    def __init__(self) -> None:
        self._true = time.time
        self.ahead = 0

    def __call__(self) -> float:
        return self._true() + self.ahead


SAID: ContextVar[str] = ContextVar("SAID", default="nothing")  # of the request of this task: new, known, nothing


class Heard:
    """A store, and what it said."""

    def __init__(self, store: Any) -> None:
        self.store = store

    @property
    def since(self) -> int:
        return int(self.store.since)

    def claim(self, key: bytes, until: int, now: int) -> bool | Awaitable[bool]:
        claimed = self.store.claim(key, until, now)
        return note(claimed) if isinstance(claimed, bool) else self._awaited(claimed)

    async def _awaited(self, claim: Awaitable[bool]) -> bool:
        return note(await claim)


def note(claimed: bool) -> bool:
    SAID.set("new" if claimed else "known")
    return claimed


class Counted:
    """What the server has seen."""

    def __init__(self) -> None:
        self.accepted: Counter[str] = Counter()  # by the application itself: a nonce above 1 is a replay
        self.as_new: Counter[str] = Counter()  # of these, those of which the store said that they are new
        self.said: Counter[str] = Counter()  # what it had said of those that were accepted
        self.reasons: Counter[str] = Counter()
        self.slowest: dict[str, float] = {}
        self.fastest = 0.0

    def __call__(self, decision: Decision) -> None:
        reason = "accepted" if decision.outcome is Outcome.ACCEPTED else getattr(decision.reason, "code", "fault")
        self.reasons[reason] += 1
        seconds = decision.total_seconds or 0.0
        self.slowest[reason] = max(self.slowest.get(reason, 0.0), seconds)
        self.fastest = min(self.fastest, seconds)


def store_of(kind: str, place: str, max_entries: int) -> Any:
    if kind == "redis":
        return AsyncRedisReplayStore(place)
    return SQLiteReplayStore(place) if kind == "sqlite" else MemoryReplayStore(max_entries=max_entries)


def make() -> Any:
    clock = Clock()
    time.time = clock
    settings = json.loads(os.environ[SETTINGS])
    domain = TrustDomain.parse(settings["trust_domain"])
    bundles = TrustBundles(TrustBundle.parse(domain, settings["bundle"].encode()))
    credential = WorkloadCredential.from_wit(settings["wit"], PrivateKey.from_jwk(settings["key"]))
    store = store_of(settings["kind"], settings["place"], settings["max_entries"])
    counted = Counted()
    heard = Heard(store)
    # Where it says that a message is new, and may have forgotten it, the message is let in without an answer.
    replay = LaxReplayStore(heard, opened=lambda _: SAID.set("nothing")) if settings["lax"] else heard

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            if isinstance(store, AsyncRedisReplayStore):
                await store.check()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await receive()
        content = b""
        if scope["path"] == "/control":
            query = parse_qs(scope["query_string"].decode())
            clock.ahead = int(query.get("ahead", [str(clock.ahead)])[0])
            content = json.dumps(report(counted, replay)).encode()
        else:
            nonce, said = scope["wimse"].nonce, SAID.get()
            counted.accepted[nonce] += 1
            counted.said[said] += 1
            counted.as_new[nonce] += said == "new"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": content})

    return WimseMiddleware(
        application,
        authenticator=Authenticator(
            bundles=bundles,
            audience=TargetAudience(settings["origin"]),
            replay=replay,
            policy=member_of(domain),
            observer=counted,
            clock=time.monotonic,
        ),
        source=FixedSource(WorkloadSnapshot(credential, bundles)),
        scheme="http",
        sign_all=False,
        exempt=["/control"],
    )


def report(counted: Counted, replay: Any) -> dict[str, Any]:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return {
        "accepted": sum(counted.accepted.values()),
        "accepted_twice": sum(times > 1 for times in counted.accepted.values()),
        "accepted_as_new_twice": sum(times > 1 for times in counted.as_new.values()),
        "accepted_when_said": dict(counted.said),
        "reasons": dict(counted.reasons),
        "slowest_seconds": counted.slowest,
        "fastest_seconds": counted.fastest,
        "unchecked": getattr(replay, "unchecked", 0),
        "resident_mib": pages * 4_096 / 1_048_576,
    }


@contextlib.contextmanager
def serving(kind: str, place: str = "", *, lax: bool = False, max_entries: int = 1_000_000) -> Iterator[str]:
    """Run it under granian; gives its origin."""
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    credential = SERVER.fixed.credential
    key: Any = credential.key
    settings = {
        "origin": origin,
        "trust_domain": str(DOMAIN.trust_domain),
        "bundle": DOMAIN.bundle.to_json().decode(),
        "wit": credential.wit,
        "key": key.to_jwk(),
        "kind": kind,
        "place": place,
        "lax": lax,
        "max_entries": max_entries,
    }
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--backlog", "2048", "--no-log", "tests.drills.served:app"],
        env={**os.environ, SETTINGS: json.dumps(settings)},
        stderr=subprocess.DEVNULL,  # each refusal is a line there; what matters is counted
        start_new_session=True,
    )
    try:
        _wait_for(port, process)
        yield origin
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


app = make() if SETTINGS in os.environ else None
