"""Drill D11: a poisoned or stale trust bundle, and a flood of unknown keys, under load.

    python -m tests.drills.d11_bundles [--seconds 10] [--json]

A server keeps the bundle of its callers' trust domain from an HTTPS endpoint. Honest callers call all the time; so does
a canary, whose every request is bad. Phase by phase the endpoint misbehaves. The drill passes when

- not one request of the canary gets a 2xx, in any phase;
- the endpoint is never asked more often than the refresh interval says, whatever the canary names;
- the last good bundle serves every honest request until it is too old, and then every one is refused with 503;
- an empty key set refuses all within the refresh bound;
- once the endpoint is well again, honest requests are served within the refresh bound.

What a caller is answered is counted by phase, after a moment in which the phase has come to be known everywhere.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from socket import AF_INET, IPPROTO_TCP, SOCK_STREAM, socket
from typing import Any, Final

import httpx2
import uvicorn

from tests.sources.publisher import Publisher, publishing
from wimse.authentication import Authenticator, ClientAuthenticator, TargetAudience, any_trusted, expect
from wimse.clients.httpx import SigningTransport
from wimse.credentials import TrustBundle, WorkloadSnapshot
from wimse.keys import PrivateKey
from wimse.servers.asgi import WimseMiddleware
from wimse.sources import BundleSettings, TrustBundleKeeper, WebBundleEndpoint
from wimse.stores import MemoryReplayStore
from wimse.testing import InMemoryTrustDomain

__all__ = ["Figures", "drill"]

REFRESH_SECONDS: Final = 0.1
WIT_SECONDS: Final = 20
HONEST_CALLERS: Final = 2
PATIENCE: Final = 30.0
ENOUGH: Final = 5  # answers for a phase, at least
SERVED, CLOSED, NO_KEY = 200, 503, 400


@dataclass
class Figures:
    """What came of it.

    Attributes:
        answers: for each phase, how often honest callers got which status.
        canary: how often the canary got which status, over all.
        fetches: how often the endpoint was asked, and how often at most it might have been.
        seconds_to_change: for each phase, until the first honest answer was what the phase asks for.
        failures: what the drill fails for; none when it passes.
    """

    answers: dict[str, Counter[int]] = field(default_factory=dict)
    canary: Counter[int] = field(default_factory=Counter)
    fetches: tuple[int, int] = (0, 0)
    seconds_to_change: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {
            "passed": not self.failures,
            "failures": self.failures,
            "answers": {phase: dict(counted) for phase, counted in self.answers.items()},
            "canary": dict(self.canary),
            "fetches": self.fetches[0],
            "fetches_at_most": self.fetches[1],
            "seconds_to_change": {phase: round(each, 3) for phase, each in self.seconds_to_change.items()},
        }


class Issuing:
    """A source of identity that renews itself well before its token's end."""

    def __init__(self, domain: InMemoryTrustDomain, path: str, *, always_new: bool = False) -> None:
        self.domain, self.path, self.always_new = domain, path, always_new
        self._current: WorkloadSnapshot | None = None

    def snapshot(self) -> WorkloadSnapshot:
        now = int(time.time())
        if self.always_new or self._current is None or self._current.credential.expires_at - now < WIT_SECONDS / 2:
            credential = self.domain.credential(self.path, now=now, lifetime=WIT_SECONDS)
            self._current = WorkloadSnapshot(credential, self.domain.bundles)
        return self._current


async def application(_: Any, receive: Any, send: Any) -> None:
    """Serve whoever gets here."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


@contextmanager
def serving(app: Any, listening: Any) -> Iterator[None]:
    """Run uvicorn in a thread."""
    server = uvicorn.Server(uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        until = time.monotonic() + PATIENCE
        while not server.started and time.monotonic() < until:
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


class Drill:
    """One run."""

    def __init__(self, url: str, publisher: Publisher, seconds: float) -> None:
        self.url, self.publisher, self.seconds = url, publisher, seconds
        self.figures = Figures()
        self.domain, self.impostor, self.foreign = (
            InMemoryTrustDomain(),
            InMemoryTrustDomain(),  # of the same name, with a key of its own under the same kid
            InMemoryTrustDomain("spiffe://elsewhere.example"),
        )
        self.sequence = 0
        self.answered: Counter[int] = Counter()
        self._over = threading.Event()

    # ---------------------------------------------------------------------------------------- who calls

    def _post(self, client: httpx2.Client) -> int:
        return client.post(self.url, content=b"hello").status_code

    def _client(self, source: Any) -> httpx2.Client:
        judge = ClientAuthenticator(source, server=expect(any_trusted), require_signed_response=False)
        inner = httpx2.HTTPTransport(trust_env=False)
        return httpx2.Client(transport=SigningTransport(inner, judge), trust_env=False, timeout=PATIENCE)

    def call_honestly(self) -> None:
        with self._client(Issuing(self.domain, "/caller")) as client:
            while not self._over.is_set():
                self.answered[self._post(client)] += 1

    def call_badly(self) -> None:
        """The canary: another key under the right kid, kids that nobody knows, another domain, no signature."""
        sources = [Issuing(each, "/caller", always_new=True) for each in (self.impostor, self.foreign)]
        flood = InMemoryTrustDomain()
        with ExitStack() as stack:
            clients = [stack.enter_context(self._client(each)) for each in sources]
            clients.append(stack.enter_context(self._client(Issuing(flood, "/caller", always_new=True))))
            clients.append(stack.enter_context(httpx2.Client(trust_env=False, timeout=PATIENCE)))
            number = 0
            while not self._over.is_set():
                number += 1
                flood.key = PrivateKey.generate(kid=f"flood-{number}")
                self.figures.canary[self._post(clients[number % len(clients)])] += 1

    # ---------------------------------------------------------------------------------------- what happens

    def publish(self, *keys: PrivateKey, sequence: int | None = None) -> None:
        """Serve a good bundle with these keys; with a new sequence unless one is given."""
        if sequence is None:
            self.sequence += 1
        self.publisher.status, self.publisher.headers = 200, {}
        self.publisher.redirects = {}
        self.publisher.chunks = lambda content: iter([content])
        self.publisher.content = self.bundle(*keys, sequence=self.sequence if sequence is None else sequence).to_json()

    def bundle(self, *keys: PrivateKey, sequence: int) -> TrustBundle:
        public = tuple(each.public_key for each in keys)
        return TrustBundle(trust_domain=self.domain.trust_domain, wit_keys=public, sequence=sequence)

    def phase(self, name: str, expected: int, change: Callable[[], object]) -> None:
        """Let something happen, wait until honest callers notice, and then count what they get."""
        began = time.monotonic()
        change()
        self.answered = Counter()
        while not self.answered[expected]:
            if time.monotonic() - began > PATIENCE:
                self.figures.failures.append(f"{name}: no honest request was answered with {expected}")
                return
            time.sleep(0.005)
        self.figures.seconds_to_change[name] = time.monotonic() - began
        time.sleep(2 * REFRESH_SECONDS)  # requests that were under way, and every caller's next one
        counted = self.answered = Counter()
        until = time.monotonic() + self.seconds
        while time.monotonic() < until or (counted.total() < ENOUGH and time.monotonic() - began < PATIENCE):
            time.sleep(0.01)
        got = dict(counted)
        self.figures.answers[name] = Counter(got)
        if set(got) != {expected}:
            self.figures.failures.append(f"{name}: honest requests got {sorted(got)} instead of {expected} alone")

    def run(self, max_age: float) -> None:
        mine, new = self.domain.key, PrivateKey.generate(kid="new")
        poisons: dict[str, Callable[[], object]] = {
            "errors": lambda: setattr(self.publisher, "status", 500),
            "half a document": lambda: setattr(self.publisher, "content", self.publisher.content[:-9]),
            "a private key": lambda: setattr(self.publisher, "content", _with_private(self.impostor.key)),
            "more than the limit": lambda: setattr(self.publisher, "chunks", lambda _: iter([b" " * 2**20] * 40)),
            "a rollback": lambda: self.publish(self.impostor.key, sequence=0),
            "a redirect": lambda: setattr(self.publisher, "redirects", {"/jwks.json": "https://localhost:1/"}),
        }
        began, asked_before = time.monotonic(), self.publisher.fetches
        self.phase("at first", SERVED, lambda: None)
        for name, poison in poisons.items():
            self.publish(mine)
            time.sleep(3 * REFRESH_SECONDS)  # so that each poison has all of the maximal age
            self.phase(name, SERVED, poison)
        self.phase("well again", SERVED, lambda: self.publish(mine))
        self.phase("a new key beside", SERVED, lambda: self.publish(mine, new))
        self.phase("no key at all", NO_KEY, self.publish)
        self.phase("a rollback from none", NO_KEY, lambda: self.publish(mine, sequence=1))
        self.phase("keys again", SERVED, lambda: self.publish(mine))
        self.phase("away until too old", CLOSED, lambda: setattr(self.publisher, "status", 500))
        if self.figures.seconds_to_change["away until too old"] < max_age - 2 * REFRESH_SECONDS:
            self.figures.failures.append("the last good bundle was not kept until it was too old")
        self.phase("back", SERVED, lambda: self.publish(mine))
        fetched = self.publisher.fetches - asked_before
        self.figures.fetches = fetched, int((time.monotonic() - began) / REFRESH_SECONDS) + 2

    def with_callers(self, max_age: float) -> Figures:
        callers = [threading.Thread(target=self.call_honestly) for _ in range(HONEST_CALLERS)]
        callers.append(threading.Thread(target=self.call_badly))
        for each in callers:
            each.start()
        try:
            self.run(max_age)
        finally:
            self._over.set()
            for each in callers:
                each.join(PATIENCE)
        figures = self.figures
        if any(200 <= status < 300 for status in figures.canary):
            figures.failures.append("a request of the canary was served")
        if not figures.canary:
            figures.failures.append("the canary has not called")
        if figures.fetches[0] > figures.fetches[1]:
            figures.failures.append("the endpoint was asked more often than it is refreshed")
        return figures


def _with_private(key: PrivateKey) -> bytes:
    return json.dumps({"keys": [{**key.to_jwk(), "use": "wit-svid"}], "spiffe_sequence": 10_000}).encode()


def drill(*, seconds: float, max_age: float, directory: Path) -> Figures:
    """Run the drill.

    Args:
        seconds: for which each phase is watched.
        max_age: of the last good bundle, in seconds; more than a phase takes.
        directory: for the endpoint's certificate.
    """
    settings = BundleSettings(
        default_refresh=timedelta(seconds=REFRESH_SECONDS),
        min_refresh=timedelta(seconds=REFRESH_SECONDS),
        max_refresh=timedelta(seconds=REFRESH_SECONDS),
        first_retry=timedelta(seconds=REFRESH_SECONDS),
        file_interval=timedelta(seconds=REFRESH_SECONDS),
        max_age=timedelta(seconds=max_age),
    )
    with publishing(directory) as publisher, socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) as listening:
        # With its protocol: only then does asyncio send small answers at once.
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
        run = Drill(f"{origin}/orders", publisher, seconds)
        run.publish(run.domain.key)
        domain = run.domain.trust_domain
        source = WebBundleEndpoint(domain, publisher.url, ssl_context=publisher.trust, settings=settings)
        with TrustBundleKeeper(source, settings=settings) as keeper:
            app = WimseMiddleware(
                application,
                authenticator=Authenticator(
                    bundles=keeper,
                    audience=TargetAudience(origin),
                    replay=MemoryReplayStore(),
                    policy=any_trusted,
                ),
                source=None,
                scheme="http",
            )
            with serving(app, listening):
                return run.with_callers(max_age)


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description="Drill D11: poisoned and stale bundles, and a flood of keys")
    parser.add_argument("--seconds", type=float, default=10.0, help="for which each phase is watched")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # each refusal is logged, and there are thousands
    with tempfile.TemporaryDirectory() as directory:
        figures = drill(seconds=options.seconds, max_age=options.seconds + 5, directory=Path(directory))
    found = figures.to_dict()
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        for name, value in found.items():
            sys.stdout.write(f"{name:20} {value}\n")
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
