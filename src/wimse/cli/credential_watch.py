"""What `wimse credentials` does: sources, what of them goes into which file, and what is done after a renewal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import click

from wimse.cli import output
from wimse.credentials import TrustBundles, WorkloadIdentifier, WorkloadSnapshot, X509Snapshot
from wimse.credentials.bundle_map import bundle_map_json
from wimse.errors import ConfigurationError, WimseError
from wimse.keys import PrivateKey
from wimse.workload_api import (
    GenerationWriter,
    JWTCredential,
    SourceSettings,
    WorkloadAPIJWTSource,
    WorkloadAPISource,
    WorkloadAPIX509Source,
)
from wimse.workload_api.address import EndpointAddress
from wimse.workload_api.files import PRIVATE, PUBLIC

__all__ = ["After", "Found", "Wanted", "fetch_once", "watch_for_ever"]

_LOOK_SECONDS: Final = 0.5  # for what tells nobody: an identity that is withdrawn, a JWT-SVID's half life


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to get, and from where."""

    kinds: tuple[str, ...]
    audiences: tuple[str, ...]
    address: EndpointAddress
    identity: WorkloadIdentifier | None
    settings: SourceSettings


@dataclass(frozen=True, slots=True)
class Found:
    """One credential as files: content and mode by name."""

    identity: str
    expires_at: int
    files: Mapping[str, tuple[bytes, int]]


@dataclass(frozen=True, slots=True)
class After:
    """What to do after a renewal."""

    command: tuple[str, ...] = ()
    seconds: float = 30.0
    pid: int | None = None
    signal: signal.Signals | None = None

    async def run(self) -> None:
        """Run the command, send the signal; say what fails."""
        if self.command:
            try:
                process = await asyncio.create_subprocess_exec(*self.command, stdin=asyncio.subprocess.DEVNULL)
            except OSError as error:
                output.show_warning(f"--exec: {error.strerror}")
            else:
                await self._wait(process)
        if self.pid is not None and self.signal is not None:
            try:
                os.kill(self.pid, self.signal)
            except OSError as error:
                output.show_warning(f"--signal-pid: {error.strerror}")

    async def _wait(self, process: asyncio.subprocess.Process) -> None:
        try:
            status = await asyncio.wait_for(process.wait(), self.seconds)
        except TimeoutError:
            output.show_warning(f"--exec: it did not end within {self.seconds:g} s, and is ended")
            status = 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if status:
            output.show_warning(f"--exec: it ended with status {status}")


def fetch_once(wanted: Wanted, directory: str | None) -> dict[str, Found]:
    """Get everything once, and write it where a directory is given.

    Raises:
        ConfigurationError: for a directory that cannot be used.
        Unavailable, Refused: as the sources; Failed when the agent lacks the kind.
    """
    writer = None if directory is None else GenerationWriter(directory)
    logging.getLogger("wimse").addHandler(logging.NullHandler())  # what is wrong is said once, by the error

    async def get() -> dict[str, Found]:
        async with _sources(wanted, lambda: None) as read:
            return {kind: await each() for kind, each in read.items()}

    found: dict[str, Found] = asyncio.run(_said(get()))
    if writer is not None:
        writer.write(_merged(found))
    return found


def watch_for_ever(wanted: Wanted, directory: str, after: After, *, as_json: bool) -> None:
    """Keep the files new until SIGINT or SIGTERM; raises as `fetch_once` while there was no first snapshot."""
    writer = GenerationWriter(directory)
    asyncio.run(_said(_watch(wanted, writer, after, as_json=as_json)))


async def _said(work: Any) -> Any:
    try:
        return await work
    except ConfigurationError as error:  # the command line is sound, so it is the agent that lacks something
        raise output.Failed(error.detail, error) from None


async def _watch(wanted: Wanted, writer: GenerationWriter, after: After, *, as_json: bool) -> None:
    changed, told = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    written: dict[str, Found] | None = None
    stopping = asyncio.create_task(told.wait())
    async with _sources(wanted, changed.set) as read:
        while not told.is_set():
            changed.clear()
            found = await _everything(read)
            if found != written and await _write(writer, found):
                _tell(found, as_json=as_json)
                if written is not None:
                    running = asyncio.create_task(after.run())
                    await asyncio.wait((stopping, running), return_when=asyncio.FIRST_COMPLETED)
                    running.cancel()  # it is done, or we are told to stop
                    await asyncio.gather(running, return_exceptions=True)
                written = found
            waiting = asyncio.create_task(changed.wait())
            await asyncio.wait((stopping, waiting), timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()


async def _everything(read: Mapping[str, Callable[[], Any]]) -> dict[str, Found]:
    """What there is now: a kind that is withdrawn, or has expired, is left out."""
    found: dict[str, Found] = {}
    for kind, each in read.items():
        with contextlib.suppress(WimseError):  # which the source has logged
            found[kind] = await each()
    return found


async def _write(writer: GenerationWriter, found: dict[str, Found]) -> bool:
    try:
        await asyncio.to_thread(writer.write, _merged(found))
    except OSError as error:
        output.show_warning(f"the files cannot be written, and are as they were: {error.strerror}")
        return False
    return True


def _tell(found: dict[str, Found], *, as_json: bool) -> None:
    document = {kind: {"identity": each.identity, "expires_at": each.expires_at} for kind, each in found.items()}
    if as_json:
        click.echo(json.dumps({"written_at": int(time.time()), **document}))
        return
    told = ", ".join(f"{kind} {each.identity} until {each.expires_at}" for kind, each in found.items())
    click.echo(f"written: {output.clean(told) or 'nothing, for there is no identity'}")


def _merged(found: Mapping[str, Found]) -> dict[str, tuple[bytes, int]]:
    return {name: file for each in found.values() for name, file in each.files.items()}


@contextlib.asynccontextmanager
async def _sources(wanted: Wanted, changed: Callable[[], None]) -> AsyncIterator[dict[str, Callable[[], Any]]]:
    """For each kind what reads its newest credential; `changed` is called when there is another one."""
    read: dict[str, Callable[[], Any]] = {}
    common = (wanted.address, wanted.identity)
    async with contextlib.AsyncExitStack() as stack:
        if "wit" in wanted.kinds:
            wit = await stack.enter_async_context(
                WorkloadAPISource(*common, settings=wanted.settings, on_renewal=lambda _: changed())
            )
            read["wit"] = lambda: _wit(wit.snapshot())
        if "x509" in wanted.kinds:
            x509 = await stack.enter_async_context(
                WorkloadAPIX509Source(*common, settings=wanted.settings, on_renewal=lambda _: changed())
            )
            read["x509"] = lambda: _x509(x509.x509_snapshot())
        if "jwt" in wanted.kinds:
            jwt = await stack.enter_async_context(
                WorkloadAPIJWTSource(*common, settings=wanted.settings, on_renewal=lambda _: changed())
            )
            read["jwt"] = lambda: _jwt(jwt, wanted.audiences)
        yield read


async def _wit(snapshot: WorkloadSnapshot) -> Found:
    credential = snapshot.credential
    assert isinstance(credential.key, PrivateKey)  # noqa: S101 - the Workload API gives no other
    files = {
        "wit.jwt": (credential.wit.encode("ascii"), PRIVATE),
        "wit-key.jwk": (json.dumps(credential.key.to_jwk()).encode("ascii"), PRIVATE),
        "wit-bundles.json": (_bundle_map(snapshot.bundles, credential.identity), PUBLIC),
    }
    return Found(str(credential.identity), credential.expires_at, files)


async def _x509(snapshot: X509Snapshot) -> Found:
    credential = snapshot.credential
    assert credential is not None  # noqa: S101 - the Workload API gives no snapshot without one
    files = {
        "svid.pem": (_pem(credential.certificates), PUBLIC),
        "svid-key.pem": (credential.key.to_pem(), PRIVATE),
        "svid-bundle.pem": (_pem(snapshot.bundles[credential.identity.trust_domain].x509_authorities), PUBLIC),
        "svid-bundles.json": (_bundle_map(snapshot.bundles, credential.identity), PUBLIC),
    }
    return Found(str(credential.identity), credential.expires_at, files)


async def _jwt(source: WorkloadAPIJWTSource, audiences: tuple[str, ...]) -> Found:
    made: JWTCredential = await source.token(*audiences)
    files = {
        "jwt-svid.jwt": (made.token.encode("ascii"), PRIVATE),
        "jwt-bundles.json": (_bundle_map(source.bundles(), made.identity), PUBLIC),
    }
    return Found(str(made.identity), made.expires_at, files)


def _pem(certificates: tuple[bytes, ...]) -> bytes:
    return "".join(ssl.DER_cert_to_PEM_cert(each) for each in certificates).encode("ascii")


def _bundle_map(bundles: TrustBundles, identity: WorkloadIdentifier) -> bytes:
    """The bundles of one scheme as a bundle map, which names trust domains without theirs: that of our identity."""
    chosen = (bundle for domain, bundle in bundles.items() if domain.scheme == identity.trust_domain.scheme)
    return bundle_map_json(TrustBundles(*chosen))
