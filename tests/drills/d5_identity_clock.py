"""Drill D5 for the identity server: its clock is set ahead and back, by 5 minutes, an hour, a day and a month.

    python -m tests.drills.d5_identity_clock [--json]

The server is the real command, under libfaketime: all of the process sees a clock that jumps, while clients and timers
do not. Everything that it ever issues is kept. The drill passes when

- nothing outlives its key: each token and certificate ends before the key that signed it does, and as long as it lives,
  by the server's clock, that key is published;
- nothing is signed with a key that was not published before, by the server's clock, for the publication delay;
- after a jump ahead it issues by the new time at once, or, where its keys have ended, as soon as the next ones have
  been published for long enough;
- after a jump back by more than `clock_setback` it issues nothing of any kind, says so in its log, and is not healthy;
  as soon as the clock is right it issues again, without a restart;
- a start whose clock is behind is refused with a sentence that says what to do, by what the store remembers and by what
  the audit log does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.cli.support import environment
from tests.drills.faked_clock import FakedClock
from tests.drills.stored import NAME, configured
from wimse.cli.issuer_store import opened_store
from wimse.credentials import TrustDomain
from wimse.credentials.jws import UnverifiedJWS
from wimse.errors import Unavailable
from wimse.issuer import KeyState
from wimse.workload_api import EndpointAddress, WorkloadAPIClient, load_config
from wimse.workload_api.health import ask_health

__all__ = ["Figures", "drill"]

DOMAIN = TrustDomain("spiffe", NAME)
KINDS = ("wit", "jwt", "x509")
AHEAD = (300, 3600, 86_400, 2_592_000)
BACK = (300, 86_400)
LIFE, INTERVAL = 60, 1800
PATIENCE = 40.0
DELAY = 3  # the publication delay of the configuration below


@dataclass(frozen=True)
class Token:
    """Something that was issued.

    Attributes:
        kind: ``wit``, ``jwt`` or ``x509``.
        kid: of the key that signed it; of a certificate its issuer's key identifier.
        expires_at: as it says itself.
        issued_at: by the server's clock.
        newest_at: the newest time of the server's clock until then: setbacks that are forgiven unpublish nothing.
    """

    kind: str
    kid: str
    expires_at: int
    issued_at: float
    newest_at: float


def _signed(kind: str, text: str) -> tuple[str, str, int]:
    jws = UnverifiedJWS.parse(text)
    claims: Any = jws.claims
    return kind, str(jws.header["kid"]), int(claims["exp"])


def _certified(certificate: bytes) -> tuple[str, str, int]:
    leaf = x509.load_der_x509_certificate(certificate)
    issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    return "x509", (issuer or b"").hex(), int(leaf.not_valid_after_utc.timestamp())


@dataclass
class Figures:
    """What came of it; `failures` is empty when the drill passes."""

    issued: int = 0
    signers: int = 0
    until_issued_seconds: dict[str, float] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


class Drill:
    """One server whose clock jumps, and all that it ever issued."""

    def __init__(self, folder: Path, figures: Figures) -> None:
        self.clock = FakedClock(folder)
        self.config = configured(folder, f'sqlite = "{folder}/issuer.db"', life=LIFE, interval=INTERVAL, publications=1)
        self.audit = folder / "audit.log"
        self.config.write_text(f'audit_log = "{self.audit}"\n{self.config.read_text()}')
        self.figures = figures
        self.tokens: list[Token] = []
        self.first = frozenset[str]()  # the first keys sign at once
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> tuple[bool, str]:
        """Start the server; give whether it is ready, and the last line of its log if it is not."""
        log = self.config.with_suffix(".log")
        command = (sys.executable, "-m", "wimse", "identity-server", "run", "--config", str(self.config))
        with log.open("ab") as file:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=file, env=environment(**self.clock.environment)
            )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
        if line.startswith(b"ready"):
            return True, ""
        await self._process.wait()
        return False, log.read_text().splitlines()[-1]

    async def stop(self) -> None:
        """Stop the server with SIGTERM, if there is one."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await asyncio.wait_for(self._process.wait(), PATIENCE)

    async def fetch(self, *kinds: str) -> None:
        """Fetch one of each kind, and keep them.

        Raises:
            WimseError: when the server refuses one.
        """
        async with WorkloadAPIClient(f"unix://{self.config.with_suffix('')}") as client:
            for kind in kinds:
                if kind == "wit":
                    found = _signed(kind, (await anext(aiter(client.watch_wit_svids()))).svids[0].wit_svid)
                elif kind == "jwt":
                    found = _signed(kind, (await client.fetch_jwt_svids(["orders"])).svids[0].svid)
                else:
                    found = _certified((await anext(aiter(client.watch_x509_svids()))).svids[0].x509_svid)
                newest_at = max(self.clock.now, *(each.newest_at for each in self.tokens), 0)
                self.tokens.append(Token(*found, issued_at=self.clock.now, newest_at=newest_at))

    async def until_issued(self, name: str, bound: float) -> None:
        """Wait until it issues, for `bound` seconds at most."""
        began = time.monotonic()
        while True:
            try:
                await self.fetch(*KINDS)
            except Unavailable:
                if time.monotonic() - began > bound:
                    self.figures.failures.append(f"{name}: nothing is issued")
                    return
                await asyncio.sleep(0.1)
            else:
                break
        self.figures.until_issued_seconds[name] = round(time.monotonic() - began, 2)
        self.check(name)

    async def refuses(self, name: str) -> None:
        """See that it issues nothing, and says so."""
        for kind in KINDS * 2:
            try:
                await self.fetch(kind)
            except Unavailable as error:
                self.figures.refusals[f"{name}, {kind}"] = error.detail
            else:
                self.figures.failures.append(f"{name}: it issues a {kind}")
        healthy, _ = await ask_health(EndpointAddress.parse(f"unix://{self.config.with_suffix('')}"), PATIENCE)
        if healthy:
            self.figures.failures.append(f"{name}: it is healthy")
        if "the clock has gone back" not in self.config.with_suffix(".log").read_text():
            self.figures.failures.append(f"{name}: the log does not say so")

    def check(self, name: str) -> None:
        """Compare everything that was ever issued with the keys as they are now."""
        with opened_store(load_config(self.config)) as store:
            keys = store.load().keys.keys
        known = {each.kid: each for each in keys} | {_key_identifier(each.chain): each for each in keys if each.chain}
        self.first = self.first or frozenset(each.kid for each in keys if each.state is KeyState.ACTIVE)
        for token in self.tokens:
            if token.expires_at <= self.clock.now:
                continue  # it is nobody's concern any more
            key = known.get(token.kid)
            if key is None or key.state is KeyState.REVOKED:
                self.figures.failures.append(f"{name}: a {token.kind} lives whose key is gone")
            elif token.expires_at > key.not_after:
                self.figures.failures.append(f"{name}: a {token.kind} outlives its key")
            elif key.kid not in self.first and key.prepared_at + DELAY > token.newest_at + 1:
                self.figures.failures.append(f"{name}: a {token.kind} of a key that was not published")
            if not token.issued_at < token.expires_at <= token.issued_at + LIFE + 1:
                self.figures.failures.append(f"{name}: a {token.kind} lives too long, or not at all")


def _key_identifier(chain: Iterable[bytes]) -> str:
    certificate = x509.load_der_x509_certificate(next(iter(chain)))
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()


async def _jump(run: Drill, *, ahead: Iterable[int], back: Iterable[int]) -> None:
    await run.until_issued("at first", 5)
    for seconds in ahead:
        run.clock.set(run.clock.ahead + seconds)
        # Keys may have ended: the next ones are made, and published for long enough.
        await run.until_issued(f"ahead by {seconds} s", PATIENCE)
        if abs(run.tokens[-1].expires_at - run.clock.now - LIFE) > PATIENCE:
            run.figures.failures.append(f"ahead by {seconds} s: it does not issue by the new time")
    right = run.clock.ahead
    run.clock.set(right - 30)
    await run.until_issued("back by 30 s, which is forgiven", 5)
    for seconds in back:
        run.clock.set(right - seconds)
        await run.refuses(f"back by {seconds} s")
        run.clock.set(right)
        await run.until_issued(f"right again after {seconds} s", PATIENCE)


async def _start_behind(run: Drill) -> None:
    """Starts with a clock that is behind: by what the store remembers, and by what the audit log does."""
    right = run.clock.ahead
    await run.stop()
    refused: dict[str, str] = {}
    run.clock.set(right - 86_400)
    _, refused["behind the store"] = await run.start()
    run.clock.set(-86_400)
    _, refused["behind the audit log"] = await run.start()
    run.clock.set(-3_600 * 24 * 365 * 40)
    _, refused["years behind"] = await run.start()
    run.figures.refusals |= refused
    sentences = ("behind the newest time in the issuer's database: set it right", "the audit log was written", "years")
    for (name, line), sentence in zip(refused.items(), sentences, strict=True):
        if sentence not in line:
            run.figures.failures.append(f"a start {name}: {line}")
    run.clock.set(right)
    started, line = await run.start()
    if not started:
        run.figures.failures.append(f"the right clock: {line}")
        return
    await run.until_issued("started with the right clock", PATIENCE)


async def drill(*, ahead: Iterable[int] = AHEAD, back: Iterable[int] = BACK) -> Figures:
    """Run it.

    Args:
        ahead: jumps of the clock while the server runs, in seconds, one after the other.
        back: jumps by so many seconds, each followed by one to the right time.
    """
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        run = Drill(Path(folder), figures)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(run.stop)
            started, line = await run.start()
            if not started:
                raise RuntimeError(f"the identity server does not start: {line}")
            await _jump(run, ahead=ahead, back=back)
            await _start_behind(run)
        figures.issued = len(run.tokens)
        figures.signers = len({each.kid for each in run.tokens})
    return figures


def main() -> None:
    """Run, print, and end with status 1 when the drill fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = asyncio.run(drill())
    document = {"passed": not figures.failures, **vars(figures)}
    sys.stdout.write(json.dumps(document, indent=2 if not arguments.json else None) + "\n")
    sys.exit(1 if figures.failures else 0)


if __name__ == "__main__":
    main()
