"""The bundle endpoint on the network, by granian: with certificate files (https_web) or an X.509-SVID (https_spiffe).

The certificate of an X.509-SVID lives for an hour or so. When its source has a newer one, a second server takes the
port beside the first, which then ends. A connection that the first has not accepted yet is lost with it; whoever
fetches a bundle tries again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from wimse.credentials import X509Snapshot, X509Source
from wimse.errors import ConfigurationError, Reason, Unavailable
from wimse.servers.bundle_endpoint import BundleEndpoint

__all__ = ["BundleServerSettings", "serve_bundle_with_files", "serve_bundle_with_svid"]

_START_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
_OVERLAP_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleServerSettings:
    """Where the endpoint listens.

    Attributes:
        address: an IP address of this machine. Default 127.0.0.1: to be seen from outside has to be asked for.
        port: TCP port. Default 8443.
        certificate_interval: how often a newer certificate is looked for. Default 10 s.
        backpressure: requests at one time. Default 256.

    Raises on construction:
        ConfigurationError: for a port out of range, or what is not positive.
    """

    address: str = "127.0.0.1"
    port: int = 8_443
    certificate_interval: timedelta = timedelta(seconds=10)
    backpressure: int = 256

    def __post_init__(self) -> None:
        if not 0 < self.port < 65_536:
            raise ConfigurationError("port must be between 1 and 65535")
        if self.certificate_interval <= timedelta(0) or self.backpressure <= 0:
            raise ConfigurationError("certificate_interval and backpressure must be positive")


@contextlib.asynccontextmanager
async def serve_bundle_with_files(
    app: BundleEndpoint, certificate: Path, key: Path, settings: BundleServerSettings
) -> AsyncIterator[None]:
    """Serve in the profile https_web, inside the `async with`.

    Args:
        app: what is served.
        certificate: the chain, PEM.
        key: its private key, PEM.
        settings: where.

    Raises:
        ConfigurationError: when the files cannot be read or the port cannot be had.
    """
    for path in (certificate, key):
        if not os.access(path, os.R_OK):
            raise ConfigurationError(f"cannot read {path}")
    async with _Running(app, certificate, key, settings):
        yield


@contextlib.asynccontextmanager
async def serve_bundle_with_svid(
    app: BundleEndpoint, source: X509Source, settings: BundleServerSettings
) -> AsyncIterator[None]:
    """Serve in the profile https_spiffe, inside the `async with`: with the newest certificate of `source`.

    Args:
        app: what is served.
        source: of the server's own X.509-SVID.
        settings: where.

    Raises:
        ConfigurationError: when the port cannot be had.
        Unavailable: when there is no certificate to begin with.
    """
    snapshot = source.x509_snapshot()
    running = await _with_svid(app, snapshot, settings)
    renewing = asyncio.create_task(_renew(app, source, settings, snapshot, running))
    try:
        yield
    finally:
        renewing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await renewing


async def _renew(
    app: BundleEndpoint, source: X509Source, settings: BundleServerSettings, served: X509Snapshot, running: _Running
) -> None:
    try:
        while True:
            await asyncio.sleep(settings.certificate_interval.total_seconds())
            try:
                newest = source.x509_snapshot()
                if newest.credential is served.credential:
                    continue
                beside = await _with_svid(app, newest, settings)
            except (Unavailable, ConfigurationError):
                continue  # the old one is served on: clients see themselves whether it has expired
            old, running, served = running, beside, newest
            try:
                await asyncio.sleep(_OVERLAP_SECONDS)  # that somebody listens does not show which of the two does
            finally:
                await old.stop()
    finally:
        await running.stop()


async def _with_svid(app: BundleEndpoint, snapshot: X509Snapshot, settings: BundleServerSettings) -> _Running:
    credential = snapshot.credential
    if credential is None:
        raise Unavailable(Reason.CREDENTIAL_UNAVAILABLE, "the bundle endpoint has no X.509-SVID to show")
    directory, path = _written(credential.to_pem())
    try:
        running = _Running(app, path, path, settings, directory)
    except BaseException:
        directory.cleanup()
        raise
    await running.start()
    return running


def _written(pem: bytes) -> tuple[tempfile.TemporaryDirectory[str], Path]:
    # granian reads files, and when it does is its own affair: they are there for as long as the server is, 0600, and
    # in memory where there is /dev/shm.
    shared = Path("/dev/shm")  # noqa: S108 - the directory within it is new and 0700
    directory = tempfile.TemporaryDirectory(prefix="wimse-", dir=shared if shared.is_dir() else None)
    path = Path(directory.name) / "svid.pem"
    path.touch(mode=0o600)
    path.write_bytes(pem)
    return directory, path


class _Running:
    """One granian server in this event loop."""

    def __init__(
        self,
        app: BundleEndpoint,
        certificate: Path,
        key: Path,
        settings: BundleServerSettings,
        directory: tempfile.TemporaryDirectory[str] | None = None,
    ) -> None:
        self._directory = directory
        try:
            from granian.constants import Interfaces, SSLProtocols
            from granian.server.embed import Server
        except ImportError:
            raise ConfigurationError("this needs granian: pip install 'wimse[inspector]'") from None
        self._settings = settings
        try:
            self._server: Any = Server(
                app,
                address=settings.address,
                port=settings.port,
                interface=Interfaces.ASGI,
                websockets=False,
                backpressure=settings.backpressure,
                log_enabled=False,
                ssl_cert=certificate,
                ssl_key=key,
                # §5 asks for Mozilla's intermediate compatibility, which has 1.2 too; older ones granian does not know.
                ssl_protocol_min=SSLProtocols.tls12,
            )
        except Exception:  # noqa: BLE001 - of many types; none of their texts, which may quote the key
            raise ConfigurationError("certificate and key of the bundle endpoint cannot be used") from None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: when it does not come to listen within 10 s.
        """
        self._task = asyncio.create_task(self._server.serve())
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not self._task.done():
                    with contextlib.suppress(OSError):
                        _, writer = await asyncio.open_connection(self._settings.address, self._settings.port)
                        writer.close()
                        return
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            pass
        except BaseException:
            await self.stop()
            raise
        await self.stop()
        raise ConfigurationError("the bundle endpoint cannot listen there")

    async def stop(self) -> None:
        """End the server; an error of its own is not ours to tell any more."""
        task, self._task = self._task, None
        if task is not None:
            self._server.stop()
            await asyncio.wait((task,))
        if self._directory is not None:
            self._directory.cleanup()
